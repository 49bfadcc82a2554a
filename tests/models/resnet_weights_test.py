import jax
import numpy as np
import pytest
from flax import traverse_util
from safetensors.numpy import save_file

from kpdiscovery.models import published, resnet, resnet_weights
from kpdiscovery.types import UserError
from tests.models import torch_resnet

MODEL = resnet.make('resnet18', width=4, num_classes=5)


def tensors(name='resnet18', width=4, classes=5, prefix=''):
    depths, bottleneck = resnet.SHAPES[name]
    made = torch_resnet.tensors(
        depths, bottleneck=bottleneck, width=width, classes=classes
    )
    return {f'{prefix}{key}': value for key, value in made.items()}


def saved(tmp_path, content):
    save_file(content, tmp_path / 'resnet.safetensors')
    return tmp_path / 'resnet.safetensors'


def refusal(tmp_path, content, model=MODEL):
    path = saved(tmp_path, content)
    with pytest.raises(UserError) as caught:
        resnet_weights.load(path, model)
    message = str(caught.value)
    assert '\n' not in message and str(path) in message
    return message


@pytest.mark.parametrize('name', ['resnet18', 'resnet50'])
@pytest.mark.parametrize('prefix', ['', 'module.backbone.'])
def test_every_tensor_lands_where_it_belongs(tmp_path, name, prefix):
    model = resnet.make(name, width=4, num_classes=5)
    content = tensors(name, prefix=prefix)
    outside = {'classifier.weight': np.zeros(3, np.float32)} if prefix else {}
    variables = resnet_weights.load(saved(tmp_path, content | outside), model)
    like = published.like(model)
    assert jax.tree.structure(variables) == jax.tree.structure(like)
    leaves = traverse_util.flatten_dict(variables, sep='/')
    table = published.table(resnet_weights.FAMILY, like, prefix=prefix)
    assert {entry.key for entry in table.values()} == {
        key for key in content if 'num_batches' not in key
    }
    for path, leaf in leaves.items():
        assert leaf.dtype == np.float32
        want = content[table[path].key]
        if path.endswith('kernel'):
            want = np.einsum('oi...->...io', want)
        np.testing.assert_array_equal(leaf, want, path)


@pytest.mark.parametrize(
    'ours, theirs',
    [
        ('params/conv1/kernel', 'conv1.weight'),
        ('params/bn1/scale', 'bn1.weight'),
        ('batch_stats/bn1/mean', 'bn1.running_mean'),
        ('params/layer2_0/conv2/kernel', 'layer2.0.conv2.weight'),
        ('params/layer3_1/bn2/bias', 'layer3.1.bn2.bias'),
        ('params/layer4_0/downsample_0/kernel', 'layer4.0.downsample.0.weight'),
        ('params/layer4_0/downsample_1/scale', 'layer4.0.downsample.1.weight'),
        (
            'batch_stats/layer4_0/downsample_1/var',
            'layer4.0.downsample.1.running_var',
        ),
        ('params/fc/kernel', 'fc.weight'),
        ('params/fc/bias', 'fc.bias'),
    ],
)
def test_names_by_hand(ours, theirs):
    assert (
        published.table(resnet_weights.FAMILY, published.like(MODEL))[ours].key
        == theirs
    )


def test_a_trunk_leaves_the_classifier_and_counters_alone(tmp_path):
    content = tensors(classes=1000)
    path = saved(tmp_path, content)
    trunk = resnet_weights.load(path, MODEL.clone(num_classes=0))
    assert 'fc' not in trunk['params']
    message = refusal(tmp_path, content)
    assert "'fc.bias' for parameter 'params/fc/bias' must have shape (5,)" in message


def test_higher_resolution_has_the_same_parameters(tmp_path):
    path = saved(tmp_path, tensors())
    a = resnet_weights.load(path, MODEL)
    b = resnet_weights.load(path, MODEL.clone(last_stride=1))
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize(
    'got, want, message',
    [
        (
            'resnet18',
            'resnet50',
            'the file is of resnet18 (2+2+2+2 basic blocks), '
            'wanted resnet50 (3+4+6+3 bottleneck blocks)',
        ),
        ('resnet34', 'resnet50', 'of resnet34 (3+4+6+3 basic blocks), wanted resnet50'),
        ('resnet34', 'resnet18', 'of resnet34 (3+4+6+3 basic blocks), wanted resnet18'),
        ('resnet50', 'resnet101', 'wanted resnet101 (3+4+23+3 bottleneck blocks)'),
    ],
)
def test_another_architecture_is_one_line(tmp_path, got, want, message):
    model = resnet.make(want, width=4)
    assert message in refusal(tmp_path, tensors(got, width=1), model)


def test_no_resnet_at_all(tmp_path):
    content = {'features.0.weight': np.zeros((4, 3, 3, 3), np.float32)}
    assert 'no tensors of a ResNet (layer1.0...) in it' in refusal(tmp_path, content)
    unknown = {'layer1.0.conv1.weight': np.zeros((4, 4, 3, 3), np.float32)}
    want = 'the file is of a ResNet of 1+0+0+0 basic blocks, wanted resnet18'
    assert want in refusal(tmp_path, unknown)


def test_several_networks_in_one_file(tmp_path):
    content = tensors(prefix='student.') | tensors(prefix='teacher.')
    want = "several networks in it, 'student.', 'teacher.'; save the tensors of one"
    assert want in refusal(tmp_path, content)


@pytest.mark.parametrize('key', ['layer3.1.conv1.weight', 'bn1.running_var', 'fc.bias'])
def test_a_missing_tensor_is_named(tmp_path, key):
    content = tensors(prefix='model.')
    del content[f'model.{key}']
    message = refusal(tmp_path, content)
    assert f"no tensor 'model.{key}' for parameter" in message
    assert '1 of 102 tensors are missing' in message


def test_a_superfluous_tensor_is_named(tmp_path):
    content = tensors() | {'layer1.0.conv1.bias': np.zeros(4, np.float32)}
    want = (
        "tensor 'layer1.0.conv1.bias' of shape (4,) has no place in the network "
        '(1 such); is the file of another one?'
    )
    assert want in refusal(tmp_path, content)


def test_a_wrong_shape_is_named(tmp_path):
    message = refusal(tmp_path, tensors(width=8), MODEL)
    want = "'bn1.running_mean' for parameter 'batch_stats/bn1/mean' must have shape"
    assert f'{want} (4,), got (8,); is the file of another network?' in message
    turned = tensors()
    turned['conv1.weight'] = np.zeros((7, 7, 3, 4), np.float32)
    want = "'params/conv1/kernel' must have shape (4, 3, 7, 7), got (7, 7, 3, 4)"
    assert want in refusal(tmp_path, turned)
    small = MODEL.clone(small_stem=True)
    want = 'must have shape (4, 3, 3, 3), got (4, 3, 7, 7)'
    assert want in refusal(tmp_path, tensors(), small)

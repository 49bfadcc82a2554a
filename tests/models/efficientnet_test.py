import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from PIL import Image, ImageOps
from safetensors.numpy import save_file

from kpdiscovery.models import efficientnet, published
from kpdiscovery.models.backbones import Backbone
from kpdiscovery.types import UserError
from tests.models import torch_efficientnet

SMALL = efficientnet.EfficientNet(width=4, num_classes=5)
TRUNK = SMALL.clone(num_classes=0)
DALMATIAN = 251  # Of ImageNet's classes.


@pytest.fixture(scope='module')
def tensors():
    return torch_efficientnet.tensors(classes=5)


@pytest.fixture(scope='module')
def path(tensors, tmp_path_factory):
    path = tmp_path_factory.mktemp('lite0') / 'lite0.safetensors'
    save_file(tensors, path)
    return path


@pytest.fixture(scope='module')
def variables(path):
    return efficientnet.load(path, SMALL)


def pictures(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize('size', [(64, 32), (41, 47)], ids=['even', 'odd'])
def test_maps_equal_a_float64_forward_pass(tensors, variables, size):
    images = pictures(2, *size, 3)
    want = torch_efficientnet.forward(tensors, images)
    got = jax.jit(SMALL.apply)(variables, images)
    assert set(got) == set(want)
    for name, value in got.items():
        assert value.shape == want[name].shape
        assert np.abs(want[name]).max() > 0.1  # Not a dead network.
        error = np.abs(value - want[name]).max() / np.abs(want[name]).max()
        assert error < 1e-4, (name, error)


def test_a_last_stage_without_stride_has_the_cells_between_too(variables):
    """Kernels then reach over as many pixels as before."""
    images = pictures(1, 64, 32, 3)
    fine = SMALL.clone(last_stride=1)
    assert fine.strides['head'] == 16 and SMALL.strides['head'] == 32
    coarse, fine = (jax.jit(net.apply)(variables, images) for net in (SMALL, fine))
    assert fine['head'].shape == (1, 4, 2, 80)
    for name in ('stage6', 'stage7', 'head'):
        np.testing.assert_allclose(fine[name][:, 1::2, 1::2], coarse[name], atol=1e-4)
    np.testing.assert_array_equal(fine['stage5'], coarse['stage5'])


def test_the_published_network():
    shapes = published.like(efficientnet.EfficientNet(num_classes=1000))['params']
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 4_652_008
    net = efficientnet.EfficientNet()
    strides, channels = net.strides, net.channels
    assert list(strides.values()) == [2, 2, 4, 8, 16, 16, 32, 32, 32]
    assert list(channels.values()) == [32, 16, 24, 40, 80, 112, 192, 320, 1280]
    assert net.pyramid == ('stage1', 'stage2', 'stage3', 'stage5', 'head')


def test_nothing_is_computed_after_the_last_tap(path):
    part = TRUNK.clone(taps=('stage5', 'stage2'))
    variables = efficientnet.load(path, part)
    blocks = {name for name in variables['params'] if name.startswith('blocks')}
    assert blocks == {f'blocks_{i}' for i in range(11)}
    assert 'conv_head' not in variables['params']
    images = jax.ShapeDtypeStruct((1, 20, 16, 3), jnp.float32)
    maps = jax.eval_shape(part.apply, variables, images)
    shapes = {name: leaf.shape for name, leaf in maps.items()}
    assert shapes == {'stage2': (1, 5, 4, 1), 'stage5': (1, 2, 1, 7)}
    assert part.strides == {'stage2': 4, 'stage5': 16}


def test_training_renews_the_statistics_and_reaches_every_parameter(path):
    images, part = pictures(4, 16, 16, 3), TRUNK.clone(taps=('stage2',))
    variables = efficientnet.load(path, part)

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def gradients(params):
        state = {**variables, 'params': params}
        maps, new = part.apply(state, images, train=True, mutable=['batch_stats'])
        return (maps['stage2'] ** 2).sum(), new['batch_stats']

    flat = functools.partial(traverse_util.flatten_dict, sep='/')
    got, new = map(flat, gradients(variables['params']))
    old = flat(variables['batch_stats'])
    assert len(new) == 2 * (1 + 2 + 3 + 3)
    for name, value in new.items():
        assert (value != old[name]).any(), name
    for name, value in got.items():
        assert np.isfinite(value).all() and np.abs(value).max() > 0, name


def test_bfloat16_computes_low_and_keeps_float32_variables():
    low = SMALL.clone(dtype=jnp.bfloat16)
    image = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    like = published.like(low)
    maps = jax.eval_shape(low.apply, like, image)
    assert {leaf.dtype for leaf in jax.tree.leaves(like)} == {jnp.dtype('float32')}
    assert {maps[name].dtype for name in low.strides} == {jnp.dtype('bfloat16')}
    assert maps['logits'].dtype == jnp.float32


def refusal(tmp_path, content, model=SMALL):
    save_file(content, tmp_path / 'w.safetensors')
    with pytest.raises(UserError) as caught:
        efficientnet.load(tmp_path / 'w.safetensors', model)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_a_trunk_leaves_the_classifier_and_prefixes_alone(tmp_path, tensors, variables):
    content = {f'net.{key}': value for key, value in tensors.items()}
    save_file({**content, 'other': np.zeros(2)}, tmp_path / 'w.safetensors')
    trunk = efficientnet.load(tmp_path / 'w.safetensors', TRUNK)
    assert 'fc' not in trunk['params']
    np.testing.assert_array_equal(
        trunk['params']['blocks_3']['depthwise_conv']['kernel'],
        variables['params']['blocks_3']['depthwise_conv']['kernel'],
    )


def test_files_that_do_not_fit(tmp_path, tensors):
    lacking = {k: v for k, v in tensors.items() if k != '_blocks.9._bn1.running_var'}
    assert "no tensor '_blocks.9._bn1.running_var'" in refusal(tmp_path, lacking)
    extra = tensors | {'_blocks.0._se_reduce.weight': np.zeros(3, np.float32)}
    assert "'_blocks.0._se_reduce.weight' of shape (3,) has" in refusal(tmp_path, extra)
    deeper = tensors | {'_blocks.22._bn1.bias': np.zeros(3, np.float32)}
    want = 'of an EfficientNet (23 blocks), wanted efficientnet_lite0 (16 blocks)'
    assert want in refusal(tmp_path, deeper)
    other = {'layer1.0.conv1.weight': np.zeros((4, 4, 3, 3), np.float32)}
    assert 'no tensors of an EfficientNet (_blocks.0...)' in refusal(tmp_path, other)
    wide = torch_efficientnet.tensors(divisor=8)
    assert 'must have shape' in refusal(tmp_path, wide, TRUNK)


@pytest.mark.parametrize(
    ('options', 'shape', 'message'),
    [
        ({}, (1, 31, 40, 3), r'H, W >= 32, got \(1, 31, 40, 3\)'),
        ({'taps': ('stage3',)}, (1, 40, 7, 3), 'H, W >= 8'),
        ({}, (1, 40, 40, 1), r'\[B, H, W, 3\] .* got \(1, 40, 40, 1\)'),
        ({'last_stride': 4}, (1, 64, 64, 3), 'last_stride must be 1 or 2, got 4'),
        (
            {'taps': ('stage8',)},
            (1, 64, 64, 3),
            r"taps must be some of .*\('stage8',\)",
        ),
        ({'taps': ()}, (1, 64, 64, 3), 'taps must be some of'),
    ],
)
def test_options_and_pictures_that_make_no_maps(options, shape, message):
    with pytest.raises(ValueError, match=message):
        TRUNK.clone(**options).apply({}, jnp.zeros(shape))


def test_gray_pictures_are_told():
    with pytest.raises(ValueError, match=r'must be \[..., 3\] floats in \[0, 1\]'):
        Backbone(TRUNK).apply({}, jnp.zeros((1, 32, 32, 1)))


def test_dalmatians_are_dalmatians(network, shared_data):
    """The whole way, the file's names, padding, scaling, against a thing known."""
    files = sorted((shared_data / 'animals').glob('dalmatian_*.jpg'))[::3]
    images = np.stack([_cropped(path) for path in files])
    net = efficientnet.EfficientNet(num_classes=1000, taps=('head',))
    variables = {kind: {'net': tree} for kind, tree in
                 efficientnet.load(network('efficientnet_lite0'), net).items()}  # fmt: skip
    logits = jax.jit(Backbone(net).apply)(variables, images)['logits']
    assert (logits.argmax(axis=-1) == DALMATIAN).mean() >= 0.9, len(files)


def _cropped(path):
    """The middle of a picture, 224 of 256 pixels, in [0, 1]."""
    image = Image.open(path).convert('RGB')
    whole = ImageOps.fit(image, (256, 256), Image.Resampling.BICUBIC)
    return np.asarray(whole, np.float32)[16:-16, 16:-16] / 255


def test_a_head_may_keep_what_lies_above_6(variables):
    images = 40 * pictures(1, 64, 64, 3)
    closed, opened = (
        jax.jit(net.apply)(variables, images)['head']
        for net in (TRUNK, TRUNK.clone(head='relu'))
    )
    assert opened.max() > 6
    np.testing.assert_array_equal(closed, np.minimum(opened, 6))

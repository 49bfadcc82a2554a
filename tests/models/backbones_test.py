import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from kpdiscovery.models import backbones, resnet, vgg, weights
from kpdiscovery.types import UserError
from tests.models import torch_resnet


def shapes_of(backbone, *shape):
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(backbone.init_with_output, jax.random.key(0), images)


@pytest.mark.parametrize('name', backbones.NAMES)
def test_strides_and_channels_are_those_of_the_maps(name):
    backbone = backbones.build(name, width=8)
    maps, variables = shapes_of(backbone, 2, 75, 98, 3)
    assert set(maps) == set(backbone.strides) == set(backbone.channels)
    upwards = -1 if name == 'vgg16' else 1  # VGG's sizes are rounded down.
    for key, value in maps.items():
        stride = backbone.strides[key]
        sides = [upwards * (upwards * -side // stride) * -1 for side in (75, 98)]
        assert value.shape == (2, *sides, backbone.channels[key]), key
    assert set(variables['params']) == {'net'}
    assert ('batch_stats' in variables) == (name != 'vgg16')


def test_the_published_sizes():
    maps, _ = shapes_of(backbones.build('resnet50'), 1, 448, 448, 3)
    assert maps['stage4'].shape == (1, 14, 14, 2048)
    maps, _ = shapes_of(backbones.build('resnet50', last_stride=1), 1, 448, 448, 3)
    assert maps['stage4'].shape == (1, 28, 28, 2048)
    maps, _ = shapes_of(backbones.build('resnet18', small_stem=True), 1, 64, 64, 3)
    assert maps['stage4'].shape == (1, 4, 4, 512)
    maps, variables = shapes_of(
        backbones.build('vgg16', taps=('pool3', 'pool4')), 1, 224, 224, 3
    )
    assert maps['pool3'].shape == (1, 28, 28, 256)
    assert maps['pool4'].shape == (1, 14, 14, 512)
    assert sum(x.size for x in jax.tree.leaves(variables)) == 7_635_264


def test_vgg_gives_every_pooling_and_what_it_pools():
    want = ('relu1_2', 'pool1', 'relu2_2', 'pool2', 'relu3_3', 'pool3',
            'relu4_3', 'pool4', 'relu5_3', 'pool5')  # fmt: skip
    assert want == backbones.VGG_TAPS


def test_a_loaded_resnet_normalises_its_pictures(tmp_path):
    tensors = torch_resnet.tensors((2, 2, 2, 2), bottleneck=False, width=4, classes=9)
    save_file(tensors, tmp_path / 'w.safetensors')
    backbone = backbones.build('resnet18', width=4, last_stride=1)
    variables = backbones.load(tmp_path / 'w.safetensors', backbone)
    images = np.random.default_rng(0).random((2, 34, 27, 3), np.float32)
    got = jax.jit(backbone.apply)(variables, images)
    mean, std = (np.array([[[v]]]) for v in (vgg.IMAGENET_MEAN, vgg.IMAGENET_STD))
    normal = ((images - mean) / std).transpose(0, 3, 1, 2)
    want = torch_resnet.forward(tensors, normal, last_stride=1)
    for name in resnet.MAPS:
        turned = got[name].transpose(0, 3, 1, 2)
        atol = 1e-4 * np.abs(want[name]).max()
        np.testing.assert_allclose(turned, want[name], rtol=0, atol=atol)


def test_training_is_passed_on():
    backbone = backbones.Backbone(resnet.ResNet((1, 1, 1, 1), width=4))
    image = jnp.full((2, 16, 16, 3), 0.5)
    like = shapes_of(backbone, 2, 16, 16, 3)[1]
    variables = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.1), like)
    for train in (False, True):
        run = functools.partial(backbone.apply, train=train, mutable=['batch_stats'])
        _, new = jax.jit(run)(variables, image)
        old_mean = variables['batch_stats']['net']['bn1']['mean']
        moved = new['batch_stats']['net']['bn1']['mean'] != old_mean
        assert moved.all() == train and moved.any() == train


def test_a_loaded_vgg_normalises_and_is_what_the_file_holds(tmp_path):
    backbone = backbones.build('vgg16', width=8, taps=('relu1_2', 'pool2'))
    like = shapes_of(backbone, 1, 16, 16, 3)[1]['params']['net']
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape) / 5, like)
    table = weights.vgg16_table()
    weights.save(tmp_path / 'w.safetensors', params, table)
    variables = backbones.load(tmp_path / 'w.safetensors', backbone)
    images = rng.random((2, 17, 19, 3), np.float32)
    got = backbone.apply(variables, images, train=True)
    alone = backbone.net.apply({'params': params}, vgg.normalize_imagenet(images))
    for name, value in alone.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-4)
    assert got['pool2'].shape == (2, 4, 4, 16)
    with pytest.raises(UserError, match='no such file'):
        backbones.load(tmp_path / 'x', backbone)


@pytest.mark.parametrize(
    'name, options, message',
    [
        ('resnet', {}, r"backbone must be one of \('resnet18', .* got 'resnet'"),
        ('resnet18', {'width': 0}, 'width must be at least 1, got 0'),
        ('resnet18', {'last_stride': 3}, 'last_stride must be 1 or 2, got 3'),
        ('resnet18', {'taps': ('pool3',)}, 'resnet18 gives all its maps'),
        ('vgg16', {'last_stride': 1}, 'vgg16 has no last_stride'),
        ('vgg16', {'small_stem': True}, 'no small_stem'),
        ('vgg16', {'frozen': 'pool3'}, 'no frozen'),
        ('resnet18', {'frozen': 'stage5'}, 'frozen must be one of'),
        ('efficientnet_lite0', {'frozen': 'head'}, 'frozen must be one of'),
    ],
)
def test_what_cannot_be_built(name, options, message):
    with pytest.raises(ValueError, match=message):
        backbones.build(name, **options)


def test_images_must_be_floats():
    backbone = backbones.build('resnet18', width=4)
    with pytest.raises(ValueError, match=r'floats in \[0, 1\], got uint8'):
        backbone.apply({}, jnp.zeros((1, 8, 8, 3), jnp.uint8))

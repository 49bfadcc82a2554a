import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from jax.sharding import NamedSharding, PartitionSpec

from kpdiscovery.models import published, resnet
from tests.models import torch_resnet

SMALL = resnet.ResNet((1, 1, 1, 1), width=4)


def flat(tree):
    return traverse_util.flatten_dict(tree, sep='/')


def drawn(model, seed=0):
    """Variables from numpy: compiling Flax's initialisers takes seconds."""
    rng = np.random.default_rng(seed)

    def draw(name, leaf):
        if name.endswith(('scale', 'var')):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        spread = np.sqrt(2 / np.prod(leaf.shape[:-1])) if 'kernel' in name else 0.1
        return rng.normal(size=leaf.shape, scale=spread).astype(np.float32)

    shapes = flat(published.like(model))
    leaves = {name: draw(name, leaf) for name, leaf in shapes.items()}
    return traverse_util.unflatten_dict(leaves, sep='/')


def pictures(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def ours(tensors, model):
    """Variables from torchvision's tensors, by rules of its own."""
    variables = {}
    for name in flat(published.like(model)):
        *where, leaf = name.split('/')[1:]
        module = '.'.join(where).replace('_', '.')
        stat = {'mean': 'running_mean', 'var': 'running_var', 'bias': 'bias'}
        tensor = tensors[f'{module}.{stat.get(leaf, "weight")}']
        if leaf == 'kernel':
            tensor = np.einsum('oi...->...io', tensor)
        variables[name] = tensor
    return traverse_util.unflatten_dict(variables, sep='/')


@pytest.mark.parametrize(
    'name, classes, count',
    [
        ('resnet18', 0, 11_176_512),
        ('resnet18', 200, 11_279_112),
        ('resnet34', 0, 21_284_672),
        ('resnet50', 0, 23_508_032),
        ('resnet101', 0, 42_500_160),
    ],
)
def test_parameter_counts_are_the_published_ones(name, classes, count):
    params = published.like(resnet.make(name, num_classes=classes))['params']
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


@pytest.mark.parametrize(
    'model',
    [
        resnet.make('resnet18', width=8, num_classes=5),
        resnet.ResNet((2, 1, 1, 1), bottleneck=True, width=8, last_stride=1),
        resnet.ResNet((1, 1, 2, 1), width=8, small_stem=True),
    ],
    ids=['resnet18', 'bottleneck', 'small stem'],
)
def test_maps_equal_a_float64_forward_pass(model):
    tensors = torch_resnet.tensors(
        model.depths,
        bottleneck=model.bottleneck,
        width=model.width,
        stem=3 if model.small_stem else 7,
        classes=model.num_classes,
    )
    images = pictures(2, 3, 33, 40)
    want = torch_resnet.forward(
        tensors,
        images,
        last_stride=model.last_stride,
        pool=not model.small_stem,
    )
    variables = ours(tensors, model)
    got = jax.jit(model.apply)(variables, images.transpose(0, 2, 3, 1))
    assert set(got) == set(want)
    for name, value in got.items():
        turned = value if name == 'logits' else value.transpose(0, 3, 1, 2)
        assert np.abs(want[name]).max() > 0.1  # Not a dead network.
        error = np.abs(turned - want[name]).max() / np.abs(want[name]).max()
        assert error < 1e-4, (name, error)


@pytest.mark.parametrize('name', ['resnet18', 'resnet50'])
@pytest.mark.parametrize('last_stride', [1, 2])
@pytest.mark.parametrize('small_stem', [False, True])
def test_strides_and_channels_are_those_of_the_maps(name, last_stride, small_stem):
    model = resnet.make(name, width=8, last_stride=last_stride, small_stem=small_stem)
    images = jax.ShapeDtypeStruct((1, 75, 98, 3), jnp.float32)
    maps, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), images)
    assert set(maps) == set(resnet.MAPS)  # jax orders them by name.
    assert resnet.MAPS == tuple(model.strides) == tuple(model.channels)
    for name, value in maps.items():
        sides = [-(-side // model.strides[name]) for side in (75, 98)]
        assert value.shape == (1, *sides, model.channels[name]), name
    assert model.strides['stage4'] == 16 * last_stride // (2 if small_stem else 1)
    other = published.like(model.clone(last_stride=3 - last_stride))
    assert jax.tree.all(jax.tree.map(lambda a, b: a.shape == b.shape, variables, other))


def test_cells_are_centred_on_every_stride_th_pixel():
    """65 = 32 * 2 + 1: the mirrored picture then has the mirrored maps, exactly."""
    variables = drawn(SMALL)
    mirrored = lambda x: x + x[:, ::-1] if x.ndim == 4 else x
    variables['params'] = jax.tree.map(mirrored, variables['params'])
    images = pictures(1, 65, 65, 3)
    run = jax.jit(SMALL.apply)
    for name, there in run(variables, images[:, :, ::-1]).items():
        here = run(variables, images)[name]
        assert here.shape[2] == 64 // SMALL.strides[name] + 1
        np.testing.assert_allclose(there, here[:, :, ::-1], rtol=1e-4, atol=1e-4)


def test_training_renews_the_running_statistics():
    variables, images = drawn(SMALL), pictures(4, 21, 18, 3)
    run = jax.jit(functools.partial(SMALL.apply, train=True, mutable=['batch_stats']))
    maps, new = run(variables, images)
    norm, old = variables['params']['bn1'], variables['batch_stats']['bn1']
    kernel = np.einsum('hwio->oihw', variables['params']['conv1']['kernel'])
    stem = torch_resnet.conv(images.transpose(0, 3, 1, 2).astype(float), kernel, 2)
    mean, var = stem.mean((0, 2, 3)), stem.var((0, 2, 3))
    stats = new['batch_stats']['bn1']
    np.testing.assert_allclose(stats['mean'], 0.9 * old['mean'] + 0.1 * mean, atol=1e-5)
    np.testing.assert_allclose(stats['var'], 0.9 * old['var'] + 0.1 * var, rtol=1e-4)
    centred = stem.transpose(0, 2, 3, 1) - mean[None, None, None]
    scale = (norm['scale'] / np.sqrt(var + 1e-5))[None, None, None]
    want = np.maximum(centred * scale + norm['bias'][None, None, None], 0)
    np.testing.assert_allclose(maps['stem'], want, atol=1e-4)
    for name, value in flat(new['batch_stats']).items():
        assert (value != flat(variables['batch_stats'])[name]).all(), name


def test_frozen_statistics_stay():
    variables, images = drawn(SMALL), pictures(2, 16, 16, 3)
    _, new = jax.jit(functools.partial(SMALL.apply, mutable=['batch_stats']))(
        variables, images
    )
    jax.tree.map(
        np.testing.assert_array_equal, new['batch_stats'], variables['batch_stats']
    )


def test_statistics_are_those_of_the_whole_batch_on_devices_and_axes():
    variables, images = drawn(SMALL), pictures(8, 16, 16, 3)
    run = functools.partial(SMALL.apply, train=True, mutable=['batch_stats'])
    _, whole = jax.jit(run)(variables, images)
    mesh = jax.make_mesh((8,), ('data',))
    spread = jax.device_put(images, NamedSharding(mesh, PartitionSpec('data')))
    _, sharded = jax.jit(run)(variables, spread)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4)
    jax.tree.map(close, sharded['batch_stats'], whole['batch_stats'])
    named = SMALL.clone(axis_name='data')
    run = functools.partial(named.apply, train=True, mutable=['batch_stats'])
    each = jax.jit(jax.vmap(run, in_axes=(None, 0), axis_name='data'))
    _, split = each(variables, images.reshape(4, 2, 16, 16, 3))
    first = jax.tree.map(lambda x: x[0], split['batch_stats'])
    jax.tree.map(close, first, whole['batch_stats'])


def test_gradients_are_finite_and_reach_every_parameter():
    model = SMALL.clone(bottleneck=True, num_classes=3)
    variables, images = drawn(model), pictures(2, 64, 64, 3)

    def loss(params):
        state = {'params': params, 'batch_stats': variables['batch_stats']}
        maps, _ = model.apply(state, images, train=True, mutable=['batch_stats'])
        return (maps['logits'] ** 2).sum()

    gradients = flat(jax.jit(jax.grad(loss))(variables['params']))
    for name, value in gradients.items():
        assert np.isfinite(value).all() and np.abs(value).max() > 0, name


def test_bfloat16_computes_low_and_keeps_float32_variables():
    low = SMALL.clone(dtype=jnp.bfloat16, num_classes=3)
    images = pictures(4, 32, 32, 3)
    variables = drawn(low)
    shapes = published.like(low)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype('float32')}
    run = functools.partial(low.apply, train=True, mutable=['batch_stats'])
    maps, new = jax.eval_shape(run, variables, images)
    assert {maps[name].dtype for name in resnet.MAPS} == {jnp.dtype('bfloat16')}
    assert maps['logits'].dtype == jnp.float32
    assert {x.dtype for x in jax.tree.leaves(new)} == {jnp.dtype('float32')}
    got = jax.jit(low.apply)(variables, images)['stage2'].astype(jnp.float32)
    want = jax.jit(low.clone(dtype=jnp.float32).apply)(variables, images)['stage2']
    np.testing.assert_allclose(got, want, atol=0.02 * want.max())


def test_kernels_start_he_normal_by_fan_out():
    shapes = published.like(SMALL)
    model = SMALL.clone(width=16)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    params = variables['params']
    kernel = params['layer4_0']['conv2']['kernel']
    assert kernel.shape == (3, 3, 128, 128)
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (9 * 128)), rtol=0.01)
    assert abs(kernel.mean()) < 1e-3
    np.testing.assert_array_equal(params['layer4_0']['bn2']['scale'], 1)
    np.testing.assert_array_equal(variables['batch_stats']['bn1']['var'], 1)
    assert jax.tree.structure(shapes) == jax.tree.structure(variables)


@pytest.mark.parametrize(
    'options, message',
    [
        ({'last_stride': 4}, 'last_stride must be 1 or 2, got 4'),
        ({'depths': (1, 2)}, r'depths must be four numbers >= 1, got \(1, 2\)'),
    ],
)
def test_options_that_make_no_network(options, message):
    with pytest.raises(ValueError, match=message):
        published.like(resnet.ResNet(**options))


def test_wrong_images_and_unknown_names():
    with pytest.raises(ValueError, match=r'\[B, H, W, 3\], got \(1, 8, 8, 1\)'):
        SMALL.apply({}, jnp.zeros((1, 8, 8, 1)))
    with pytest.raises(ValueError, match=r"one of \['resnet101', .* got 'resnet9'"):
        resnet.make('resnet9')

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from kpdiscovery.models import hourglass


def count(module, shape):
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


@pytest.mark.parametrize(
    'module, channels, want',
    [
        (hourglass.ConvBlock(128), 64, 73_152),
        (hourglass.ConvBlock(128), 128, 101_824),
        (hourglass.ConvBlock(256), 128, 291_712),
        (hourglass.ConvBlock(256), 256, 406_400),
        (hourglass.Hourglass(), 256, 5_283_200),
        (hourglass.Head(1), 256, 472_961),
        (hourglass.Head(256), 256, 538_496),
    ],
)
def test_parameters_of_the_reference_table(module, channels, want):
    assert count(module, (1, 16, 16, channels)) == want


def test_whole_networks_have_the_parameters_of_the_reference():
    """Stage 1: trunk and both heads; stage 2: trunk and one head of K channels."""
    trunk = count(hourglass.Trunk(), (1, 256, 256, 3))
    head = lambda out: count(hourglass.Head(out), (1, 8, 8, 256))
    assert trunk + head(1) + head(256) == 6_770_945
    stage_2 = {k: trunk + head(k) for k in (10, 30, 100, 250)}
    assert stage_2 == {10: 6_234_762, 30: 6_239_902, 100: 6_257_892, 250: 6_296_442}


def filled(module, x, seed=0):
    """Parameters from numpy; scales and shifts are not left at 1 and 0."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    draw = lambda leaf: rng.normal(0.2, 0.4, leaf.shape).astype(np.float32)
    return jax.tree.map(draw, shapes)


def pre(params, x, groups):
    """Group norm, ReLU and convolution of one picture in float64."""
    h, w, c = x.shape
    grouped = x.reshape(h, w, groups, c // groups)
    mean = grouped.mean((0, 1, 3), keepdims=True)
    var = grouped.var((0, 1, 3), keepdims=True)
    x = ((grouped - mean) / np.sqrt(var + 1e-5)).reshape(h, w, c)
    x = np.maximum(x * params['norm']['scale'] + params['norm']['bias'], 0)
    kernel = np.asarray(params['conv']['conv']['kernel'], np.float64)
    return np.stack(
        [sum(ndimage.correlate(x[..., i], kernel[..., i, o], mode='constant')
             for i in range(c)) for o in range(kernel.shape[-1])], -1)  # fmt: skip


def conv_block(params, x, groups):
    a = pre(params['a'], x, groups)
    b = pre(params['b'], a, groups)
    c = pre(params['c'], b, groups)
    skip = pre(params['skip'], x, groups) if 'skip' in params else x
    return np.concatenate([a, b, c], -1) + skip


def pooled(x):
    h, w, c = x.shape
    return x.reshape(h // 2, 2, w // 2, 2, c).mean((1, 3))


def numpy_hourglass(params, x, groups):
    across = conv_block(params['across'], x, groups)
    lower = conv_block(params['down'], pooled(x), groups)
    if 'inner' in params:
        lower = numpy_hourglass(params['inner'], lower, groups)
    else:
        lower = conv_block(params['bottom'], lower, groups)
    return across + np.kron(conv_block(params['up'], lower, groups), np.ones((2, 2, 1)))


def test_blocks_match_float64():
    x = np.random.default_rng(1).normal(size=(1, 4, 6, 4)).astype(np.float32)
    for width in (4, 8):
        module = hourglass.ConvBlock(width, groups=1)
        variables = filled(module, x)
        want = conv_block(variables['params'], x[0].astype(np.float64), 1)
        np.testing.assert_allclose(module.apply(variables, x)[0], want, atol=1e-4)


def test_hourglass_matches_float64():
    x = np.random.default_rng(1).normal(size=(1, 8, 12, 4)).astype(np.float32)
    module = hourglass.Hourglass(depth=2, features=4, groups=1)
    variables = filled(module, x)
    want = numpy_hourglass(variables['params'], x[0].astype(np.float64), 1)
    got = jax.jit(module.apply)(variables, x)[0]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3)


def test_trunk_gives_maps_of_a_quarter():
    module = hourglass.Trunk(features=8, depth=1, groups=1)
    image = np.random.default_rng(0).random((2, 32, 48, 3), np.float32)
    got = jax.jit(module.apply)(filled(module, image), image)
    assert got.shape == (2, 8, 12, 8)
    assert np.isfinite(got).all()


def test_sizes_that_do_not_fit():
    module = hourglass.Trunk(features=8, depth=2, groups=2)
    with pytest.raises(ValueError, match='divisible by 16 .*depth 2'):
        jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 24, 32, 3)))

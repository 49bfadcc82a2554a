import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from kpdiscovery.methods.tusk.network import Encoder
from kpdiscovery.models import unet

TINY = unet.UNet(out=2, width=4, levels=2, groups=2)


def count(module, channels):
    image = jax.ShapeDtypeStruct((1, 16, 16, channels), jnp.float32)
    shapes = jax.eval_shape(module.init, jax.random.key(0), image)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


@pytest.fixture(scope='module')
def tiny():
    """Variables and a picture; scales and shifts are not left at 1 and 0."""
    rng = np.random.default_rng(0)
    image = rng.random((2, 8, 12, 3), dtype=np.float32)
    shapes = jax.eval_shape(TINY.init, jax.random.key(0), image)
    fill = lambda leaf: rng.normal(0.4, 0.6, leaf.shape).astype(np.float32)
    return jax.tree.map(fill, shapes), image


@pytest.mark.parametrize(
    'module, channels, want',
    [
        (unet.UNet(32), 3, 1_950_720),
        (Encoder(), 3, 1_960_323),
        (unet.UNet(3), 32, 1_958_115),
        (unet.UNet(4), 32, 1_958_148),
    ],
)
def test_parameters_of_the_paper(module, channels, want):
    assert count(module, channels) == want


def test_the_score_head_has_9603_parameters():
    assert count(Encoder(), 3) - count(unet.UNet(32), 3) == 9_603


def test_blocks_of_the_reference_table():
    image = jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32)
    params = jax.eval_shape(unet.UNet(32).init, jax.random.key(0), image)['params']
    size = lambda block: sum(math.prod(x.shape) for x in jax.tree.leaves(params[block]))
    want = {
        'down1': 10_272,
        'down2': 55_680,
        'down3': 221_952,
        'down4': 886_272,
        'up3': 590_592,
        'up2': 147_840,
        'up1': 37_056,
        'last': 33 * 32,
    }
    assert {block: size(block) for block in params} == want


@pytest.mark.parametrize('shape', [(2, 3, 5, 2), (1, 1, 4, 1), (1, 7, 2, 3)])
def test_upsampling_aligns_corners_as_scipy_does(rng, shape):
    x = rng.normal(size=shape).astype(np.float32)
    want = ndimage.zoom(x, (1, 2, 2, 1), order=1)
    np.testing.assert_allclose(unet.upsample(x), want, atol=1e-5)


def test_upsampling_a_ramp_by_hand():
    x = jnp.array([0.0, 3.0]).reshape(1, 1, 2, 1)
    got = unet.upsample(x)[0, :, :, 0]
    np.testing.assert_allclose(got, [(0, 1, 2, 3), (0, 1, 2, 3)], atol=1e-6)


# The same network in float64 numpy.


def convolve(x, p):
    kernel, bias = p['conv']['kernel'].astype(float), p['conv']['bias']
    side = kernel.shape[0] // 2
    padded = np.pad(x, [(0, 0), (side, side), (side, side), (0, 0)])
    views = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[:2], (1, 2))
    return np.einsum('bhwcij,ijco->bhwo', views, kernel) + bias


def normalize(x, p, groups):
    b, h, w, c = x.shape
    split = x.reshape(b, h * w, groups, c // groups)
    mean = split.mean((1, 3), keepdims=True)
    variance = split.var((1, 3), keepdims=True)
    unit = ((split - mean) / np.sqrt(variance + 1e-5)).reshape(x.shape)
    return unit * p['scale'] + p['bias']


def double_conv(x, p, groups):
    for i in range(2):
        x = normalize(convolve(x, p[f'conv{i}']), p[f'norm{i}'], groups)
        x = np.maximum(x, 0)
    return x


def forward(x, p, groups):
    top = double_conv(x, p['down1'], groups)
    b, h, w, c = top.shape
    half = top.reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))
    deep = double_conv(half, p['down2'], groups)
    up = ndimage.zoom(deep, (1, 2, 2, 1), order=1)
    return convolve(
        double_conv(np.concatenate([up, top], -1), p['up1'], groups), p['last']
    )


def test_forward_pass_agrees_with_numpy(tiny):
    variables, image = tiny
    want = forward(image.astype(float), variables['params'], groups=2)
    got = jax.jit(TINY.apply)(variables, image)
    assert want.std() > 0.1
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_bfloat16_computes_low_and_keeps_parameters_high(tiny):
    variables, image = tiny
    low = TINY.clone(dtype=jnp.bfloat16)
    params = jax.eval_shape(low.init, jax.random.key(0), image)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype('float32')}
    got = jax.jit(low.apply)(variables, image)
    assert got.dtype == jnp.bfloat16
    want = TINY.apply(variables, image)
    error = jnp.abs(got.astype(jnp.float32) - want)
    assert error.mean() < 0.05 * jnp.abs(want).max()


def test_convolutions_start_within_one_over_root_fan_in():
    image = jnp.zeros((1, 8, 8, 3))
    params = jax.jit(unet.Conv(64).init)(jax.random.key(0), image)['params']['conv']
    bound = 1 / np.sqrt(27)
    for leaf in params.values():
        assert 0.9 * bound < jnp.abs(leaf).max() <= bound
    np.testing.assert_allclose(params['kernel'].std(), bound / np.sqrt(3), rtol=0.05)
    np.testing.assert_allclose(params['kernel'].mean(), 0, atol=0.01)


@pytest.mark.parametrize('shape, levels', [((1, 12, 16, 3), 4), ((1, 16, 10, 3), 3)])
def test_sizes_that_do_not_halve_are_refused(shape, levels):
    step = 2 ** (levels - 1)
    with pytest.raises(ValueError, match=f'divisible by {step} .* got '):
        jax.eval_shape(
            unet.UNet(1, 4, levels, 2).init, jax.random.key(0), jnp.zeros(shape)
        )


def test_gradients_are_finite_on_a_constant_picture(tiny):
    variables, image = tiny
    flat = jnp.full(image.shape, 0.5)
    loss = lambda v: (TINY.apply(v, flat) ** 2).sum()
    grads = jax.jit(jax.grad(loss))(variables)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_upsampling_under_vmap_and_jit(rng):
    x = rng.normal(size=(2, 1, 3, 4, 2)).astype(np.float32)
    got = jax.jit(jax.vmap(unet.upsample))(x)
    np.testing.assert_allclose(got[1], unet.upsample(x[1]), atol=1e-6)
    assert issubclass(unet.UNet, nn.Module)

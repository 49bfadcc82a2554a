import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.losses.perceptual import feature_distance, perceptual
from kpdiscovery.models import backbones, vgg

TINY = backbones.Backbone(vgg.Vgg16(taps=('relu1_2', 'relu2_1'), blocks=((4, 4), (6,))))


def identity(images):
    return {'images': images}


def pictures(seed, shape=(2, 9, 12, 3)):
    return jnp.asarray(np.random.default_rng(seed).random(shape, np.float32))


@pytest.fixture(scope='module')
def extract():
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape, scale=0.2).astype(np.float32),
        jax.eval_shape(TINY.init, jax.random.key(0), pictures(0)),
    )
    return jax.jit(functools.partial(TINY.apply, variables))


def test_identity_features_by_hand():
    x = jnp.zeros((2, 2, 2, 1)).at[1, 0, 0, 0].set(1.0)
    y = jnp.full((2, 2, 2, 1), 0.5).at[0, 1, 1, 0].set(0.1)
    # Picture 0: .5 three times and .1; picture 1: 4 times .5.
    np.testing.assert_allclose(perceptual(x, y, identity, side=2), [0.4, 0.5])


def test_maps_are_summed_and_each_is_a_mean():
    x = {'a': jnp.zeros((1, 2, 2, 1)), 'b': jnp.zeros((1, 1, 1, 8))}
    y = {'b': jnp.full((1, 1, 1, 8), -3.0), 'a': jnp.full((1, 2, 2, 1), 2.0)}
    np.testing.assert_allclose(feature_distance(x, y), [5.0])


def test_features_in_bfloat16_are_compared_in_float32():
    x = {'a': jnp.full((1, 64, 64, 4), 1.0, jnp.bfloat16)}
    y = {'a': jnp.full((1, 64, 64, 4), 1.0 + 2**-7, jnp.bfloat16)}
    got = feature_distance(x, y)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, [2**-7])


def resize_by_interp(image, size):
    """`[H, W, C]` at half-pixel centres, clamped at the border; numpy's own lerp."""
    for axis, new in enumerate(size):
        old = image.shape[axis]
        at = (np.arange(new) + 0.5) * old / new - 0.5
        image = np.apply_along_axis(
            lambda row, at=at, old=old: np.interp(at, np.arange(old), row), axis, image
        )
    return image


@pytest.mark.parametrize(
    'shape, side, size',
    [
        ((2, 9, 12, 3), 24, (18, 24)),
        ((1, 13, 7, 3), 16, (16, 9)),  # 8.6 is rounded.
        ((2, 16, 20, 3), 7, (6, 7)),  # Down: no antialiasing.
        ((1, 3, 400, 3), 100, (1, 100)),
    ],
)
def test_resize_agrees_with_interpolation_by_numpy(shape, side, size):
    seen = []

    def record(images):
        seen.append(images)
        return identity(images)

    x, y = pictures(0, shape), pictures(1, shape)
    perceptual(x, y, record, side=side)
    for got, images in zip(seen, (x, y), strict=True):
        assert got.shape == (shape[0], *size, 3)
        want = resize_by_interp(np.asarray(images[-1], np.float64), size)
        np.testing.assert_allclose(got[-1], want, atol=1e-5)


def test_doubling_by_hand():
    """Weights 1/4 and 3/4, the border repeated."""
    x = jnp.array([0.0, 1.0, 0.0]).reshape(1, 1, 3, 1)
    seen = []
    perceptual(x, x, lambda v: seen.append(v) or identity(v), side=6)
    np.testing.assert_allclose(seen[0][0, 0, :, 0], [0, 0.25, 0.75, 0.75, 0.25, 0])


def test_default_side_is_224():
    shapes = []
    jax.eval_shape(
        lambda x: perceptual(x, x, lambda v: shapes.append(v.shape) or identity(v)),
        jax.ShapeDtypeStruct((3, 80, 60, 3), jnp.float32),
    )
    assert shapes == [(3, 224, 168, 3)] * 2


def test_equal_pictures_are_at_zero_and_order_does_not_matter(extract):
    x, y = pictures(0), pictures(1)
    np.testing.assert_array_equal(perceptual(x, x, extract, side=12), [0, 0])
    here, there = (perceptual(*xy, extract, side=12) for xy in ((x, y), (y, x)))
    assert (here > 0.01).all()
    np.testing.assert_allclose(here, there)


def test_examples_do_not_mix(extract):
    x, y = pictures(0), pictures(1)
    both = perceptual(x, y, extract, side=12)
    np.testing.assert_allclose(
        perceptual(x[1:], y[1:], extract, side=12), both[1:], rtol=1e-5
    )


def test_gradient_of_identity_features_by_hand():
    x, y = pictures(0), pictures(1)
    grads = jax.grad(
        lambda x, y: perceptual(x, y, identity, side=12).sum(), argnums=(0, 1)
    )(x, y)
    want = np.sign(x - y) / (9 * 12 * 3)
    np.testing.assert_allclose(grads[0], want, rtol=1e-6)
    np.testing.assert_allclose(grads[1], -want, rtol=1e-6)


def test_gradients_through_a_network_are_finite_even_at_zero(extract):
    @jax.jit
    def gradients(x, y):
        loss = lambda x, y: perceptual(x, y, extract, side=16).sum()
        return jax.grad(loss, argnums=(0, 1))(x, y)

    for grad in gradients(pictures(0), pictures(1)):
        assert jnp.isfinite(grad).all() and jnp.abs(grad).max() > 0
    for grad in gradients(pictures(0), pictures(0)):
        assert jnp.isfinite(grad).all()


def test_jit_and_vmap_agree_with_the_plain_call(extract):
    def loss(x, y):
        return perceptual(x, y, extract, side=16)

    x, y = pictures(0, (2, 2, 9, 12, 3)), pictures(1, (2, 2, 9, 12, 3))
    plain = [loss(*pair) for pair in zip(x, y, strict=True)]
    got = jax.jit(jax.vmap(loss))(x, y)
    np.testing.assert_allclose(got, np.stack(plain), rtol=1e-5)


def test_bad_inputs_print_what_they_got():
    x = pictures(0)
    with pytest.raises(ValueError, match=r'equal shapes, got \(2, 9, 12, 3\), \(1, 9'):
        perceptual(x, x[:1], identity)
    with pytest.raises(ValueError, match=r'floats in \[0, 1\], got uint8 \(2, 9, 12'):
        perceptual(x, x.astype(jnp.uint8), identity)
    with pytest.raises(ValueError, match=r'got float32 \(9, 12, 3\)'):
        perceptual(x[0], x[0], identity)
    with pytest.raises(
        ValueError, match=r"equal shapes, got \[\{'a': \(2,\)\}, \{\}\]"
    ):
        feature_distance({'a': jnp.zeros(2)}, {})
    with pytest.raises(ValueError, match='maps of equal shapes'):
        feature_distance({}, {})

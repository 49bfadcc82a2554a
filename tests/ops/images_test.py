import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from kpdiscovery.ops import images


def test_bytes_become_numbers_from_0_to_1():
    got = images.as_float(jnp.array([0, 51, 255], jnp.uint8))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, [0, 0.2, 1])


def test_numpy_pictures_too():
    got = images.as_float(np.array([0, 51], np.uint8))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, [0, 0.2])


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16, jnp.float16])
def test_floats_pass(dtype):
    got = images.as_float(jnp.array([0.25, 1.5], dtype))
    assert got.dtype == jnp.float32
    np.testing.assert_array_equal(got, [0.25, 1.5])


def test_the_same_size_is_the_same_picture():
    x = jnp.ones((2, 4, 5, 3))
    assert images.resize(x, (4, 5)) is x


@pytest.mark.parametrize('size', [(16, 16), (12, 40), (70, 20)])
def test_resizing_agrees_with_pillow(rng, size):
    picture = rng.random((35, 30)).astype(np.float32)
    want = Image.fromarray(picture).resize(size[::-1], Image.Resampling.BILINEAR)
    got = images.resize(jnp.asarray(picture)[..., None], size)[..., 0]
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_batches_and_gradients(rng):
    x = jnp.asarray(rng.random((2, 3, 8, 8, 1)), jnp.float32)
    whole = images.resize(x, (4, 5))
    assert whole.shape == (2, 3, 4, 5, 1)
    np.testing.assert_allclose(whole[1, 2], images.resize(x[1, 2], (4, 5)), atol=1e-6)
    grad = jax.grad(lambda x: images.resize(x, (4, 5)).sum())(x)
    np.testing.assert_allclose(grad.sum((2, 3, 4)), 20, rtol=1e-5)

import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads

from kpdiscovery import losses


def test_squared_error_by_hand():
    x, y = jnp.zeros((2, 2, 2, 1)), jnp.zeros((2, 2, 2, 1)).at[1, 0, 0, 0].set(3)
    np.testing.assert_allclose(losses.squared_error(x, y), [0, 9 / 4])


def test_squared_error_agrees_with_numpy_one_number_an_example(rng):
    x, y = rng.random((2, 3, 5, 4, 2)).astype(np.float32)
    want = ((x - y) ** 2).reshape(3, -1).mean(1)
    np.testing.assert_allclose(losses.squared_error(x, y), want, rtol=1e-5)
    np.testing.assert_allclose(losses.squared_error(y, x), want, rtol=1e-5)


def test_half_precision_is_reduced_in_float32():
    x = jnp.full((1, 200, 200, 1), 0.25, jnp.bfloat16)
    got = losses.squared_error(x, jnp.zeros_like(x))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, [0.0625])
    assert losses.equivariance(x, jnp.zeros_like(x)).dtype == jnp.float32


def test_equivariance_without_mask_is_the_squared_error(rng):
    x, y = rng.random((2, 3, 5, 4, 2)).astype(np.float32)
    want = losses.squared_error(x, y)
    np.testing.assert_allclose(losses.equivariance(x, y), want, rtol=1e-5)
    everywhere = np.ones((3, 5, 4), bool)
    got = losses.equivariance(x, y, valid=everywhere)
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_equivariance_counts_valid_pixels_only(rng):
    x, y = rng.random((2, 2, 4, 4, 3)).astype(np.float32)
    valid = rng.random((2, 4, 4)) < 0.4
    want = [((x[i] - y[i]) ** 2)[valid[i]].mean() for i in range(2)]
    got = losses.equivariance(x, y, valid=valid)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    spoilt = np.where(valid[..., None], y, 1e3).astype(np.float32)
    np.testing.assert_allclose(losses.equivariance(x, spoilt, valid=valid), got)


def test_no_valid_pixel_gives_zero_and_zero_gradients(rng):
    x, y = jnp.asarray(rng.random((2, 2, 3, 3, 1)), jnp.float32)
    valid = jnp.zeros((2, 3, 3), bool).at[1].set(True)
    loss = lambda x, y: losses.equivariance(x, y, valid=valid)
    assert loss(x, y)[0] == 0
    assert loss(x, y)[1] > 0
    for grad in jax.grad(lambda *xy: loss(*xy).sum(), argnums=(0, 1))(x, y):
        assert (grad[0] == 0).all()
        assert jnp.isfinite(grad).all()


def test_gradients_reach_both_sides(rng):
    x, y = rng.random((2, 2, 3, 3, 2)).astype(np.float32)
    valid = rng.random((2, 3, 3)) < 0.5
    loss = lambda x, y: losses.equivariance(x, y, valid=valid)
    check_grads(loss, (x, y), order=1, modes=['rev'], atol=1e-2, rtol=1e-2)


def test_jit_and_vmap(rng):
    x, y = rng.random((2, 2, 2, 3, 3, 1)).astype(np.float32)
    for loss in (losses.squared_error, losses.equivariance):
        got = jax.jit(jax.vmap(loss))(x, y)
        np.testing.assert_allclose(got[1], loss(x[1], y[1]), rtol=1e-5)

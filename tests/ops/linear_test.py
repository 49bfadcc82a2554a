import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from kpdiscovery.ops import linear

solve = jax.jit(linear.solve)


@pytest.mark.parametrize('shape', [(1, 1), (5, 2), (19, 2)])
def test_solutions_agree_with_numpy(rng, shape):
    n, m = shape
    a, b = rng.normal(size=(2, 3, n, n)), rng.normal(size=(2, 3, n, m))
    got = solve(a.astype(np.float32), b.astype(np.float32))
    np.testing.assert_allclose(got, np.linalg.solve(a, b), rtol=2e-2, atol=1e-3)


def test_zeros_on_the_diagonal_need_pivots():
    a = np.array([(0.0, 2, 0), (1, 0, 0), (0, 0, 4)], np.float32)
    got = solve(a, np.array([(2.0,), (3,), (8,)], np.float32))
    np.testing.assert_allclose(got, [(3,), (1,), (2,)])


def test_small_pivots_do_not_ruin_the_result():
    a = np.array([(1e-12, 1), (1, 1)], np.float32)
    got = solve(a, np.array([(1.0,), (2,)], np.float32))
    np.testing.assert_allclose(got, [(1,), (1,)], rtol=1e-5)


def test_singular_systems_are_not_finite():
    a = np.array([(1.0, 2), (2, 4)], np.float32)
    assert not jnp.isfinite(solve(a, np.ones((2, 1), np.float32))).all()


def test_gradients_and_vmap(rng):
    with jax.enable_x64(True):
        a, b = jnp.asarray(rng.normal(size=(2, 4, 4))), jnp.ones((2, 4, 1))
        np.testing.assert_allclose(
            jax.vmap(linear.solve)(a, b), np.linalg.solve(a, b), rtol=1e-9
        )
        check_grads(solve, (a[0], b[0]), order=1)

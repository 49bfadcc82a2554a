import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery.ops.reductions import mean_where

VALUES = jnp.array([[1.0, 2.0, jnp.nan], [4.0, jnp.nan, jnp.inf]])
WHERE = jnp.array([[True, True, False], [True, False, False]])


def test_by_hand():
    np.testing.assert_allclose(mean_where(VALUES, WHERE), 7 / 3)
    np.testing.assert_allclose(mean_where(VALUES, WHERE, axis=1), [1.5, 4])
    np.testing.assert_allclose(mean_where(VALUES, WHERE, axis=0), [2.5, 2, 0])
    assert mean_where(WHERE, WHERE) == 1  # Shares, too.


def test_nothing_counts():
    got, grad = jax.value_and_grad(mean_where)(VALUES, jnp.zeros_like(WHERE))
    assert got == 0
    np.testing.assert_array_equal(grad, 0)


def test_over_devices_it_is_the_mean_of_all_and_not_of_means():
    one = lambda values, where: mean_where(values, where, axis_name='devices')
    got = jax.vmap(one, axis_name='devices')(VALUES, WHERE)
    np.testing.assert_allclose(got, [7 / 3, 7 / 3])

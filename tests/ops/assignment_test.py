import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from kpdiscovery.ops.assignment import linear_assignment


@pytest.mark.parametrize('shape', [(5, 5), (3, 7), (7, 3), (1, 4)])
def test_total_cost_is_scipys(rng, shape):
    cost = rng.normal(size=(4, *shape)).astype(np.float32)
    got = np.asarray(jax.jit(linear_assignment)(cost))
    for one, columns in zip(cost, got, strict=True):
        used = columns[columns >= 0]
        assert len(used) == len(set(used.tolist())) == min(shape)
        rows, best = linear_sum_assignment(one)
        ours = one[columns >= 0, used].sum()
        np.testing.assert_allclose(ours, one[rows, best].sum(), rtol=1e-5)


def test_forbidden_pairs_are_left_out():
    inf = jnp.inf
    cost = jnp.array([[inf, 1.0, inf], [inf, 0.0, 50], [inf, inf, inf]])
    np.testing.assert_array_equal(linear_assignment(cost), [1, 2, -1])
    np.testing.assert_array_equal(
        linear_assignment(jnp.full((2, 2), jnp.nan)), [-1, -1]
    )


def test_bad_input():
    with pytest.raises(ValueError, match='cost must be'):
        linear_assignment(jnp.zeros((0, 3)))

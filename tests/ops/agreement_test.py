import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from kpdiscovery.ops.agreement import contingency, mutual_information

ROWS = jnp.array([0, 0, 1, -1, 2, 1])
COLUMNS = jnp.array([1, 1, 0, 1, -1, 2])
TABLE = [[0, 2, 0], [1, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_pairs_are_counted_by_hand():
    got = contingency(ROWS, COLUMNS, shape=(4, 3))
    np.testing.assert_array_equal(got, TABLE)
    assert got.dtype == jnp.int32  # Exact above 2**24, where float32 is not.


def test_pairs_of_all_devices_are_counted():
    one = lambda *labels: contingency(*labels, shape=(4, 3), axis_name='devices')
    split = (labels.reshape(2, 3) for labels in (ROWS, COLUMNS))
    for got in jax.vmap(one, axis_name='devices')(*split):
        np.testing.assert_array_equal(got, TABLE)


@pytest.mark.parametrize('agree', [mutual_information, jax.jit(mutual_information)])
def test_agreement_is_that_of_sklearn_in_numpy_and_jax(agree):
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 9, (2, 400))
    second = np.where(rng.random(400) < 0.5, first, second)
    table = np.asarray(contingency(first, second, shape=(9, 9)))
    want = normalized_mutual_info_score(first, second)
    np.testing.assert_allclose(agree(table), want, rtol=1e-5)


def test_agreement_of_nothing_and_of_single_clusters():
    assert mutual_information(np.zeros((2, 3), int)) == 0
    assert mutual_information(np.array([[7, 0], [0, 0]])) == 1
    assert mutual_information(np.array([[7, 7]])) == 0

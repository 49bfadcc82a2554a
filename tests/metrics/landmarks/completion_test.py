import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from kpdiscovery import metrics


@pytest.mark.parametrize('threshold', [1.0, 5.0, 300.0])
def test_one_gap_against_a_search_for_the_minimum(threshold):
    matrix = np.array([[1.0, 2.0], [2.0, np.nan]])
    weight = threshold * np.sqrt(4) * np.sqrt(9 / 3)

    def objective(x):
        values = np.linalg.svd([[1, 2], [2, x]], compute_uv=False)
        return weight * values.sum() + (values**2).sum() / 2

    got = metrics.complete_matrix(
        matrix, ~np.isnan(matrix), threshold=threshold, iterations=9999, tolerance=1e-9
    )
    want = minimize_scalar(objective, bounds=(-9, 9), method='bounded').x
    np.testing.assert_allclose(got, [[1, 2], [2, want]], atol=1e-4)
    if threshold == 300:  # By hand: |X|_*^2 = 9 + x^2 + 2 (4 - x) is least at x = 1.
        assert got[1, 1] == pytest.approx(1, abs=5e-3)


def low_rank(shape=(80, 20), rank=2, seed=0, gaps=0.15):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1]))
    return matrix, rng.uniform(size=shape) >= gaps


@pytest.mark.parametrize('shape', [(80, 20), (20, 80)])
def test_recovers_low_rank(shape):
    matrix, observed = low_rank(shape)
    got = metrics.complete_matrix(np.where(observed, matrix, np.nan), observed)
    np.testing.assert_array_equal(got[observed], matrix[observed])
    error = np.linalg.norm((got - matrix)[~observed])
    assert error < 0.01 * np.linalg.norm(matrix[~observed])


def test_unit_order_and_transposition_do_not_matter():
    matrix, observed = low_rank()
    want = metrics.complete_matrix(matrix, observed)
    got = metrics.complete_matrix(1e3 * matrix, observed)
    np.testing.assert_allclose(got, 1e3 * want, rtol=1e-6, atol=1e-6)
    got = metrics.complete_matrix(matrix.T, observed.T).T
    np.testing.assert_allclose(got, want, atol=1e-8)
    order = np.random.default_rng(3).permutation(len(matrix))
    got = metrics.complete_matrix(matrix[order], observed[order])
    np.testing.assert_allclose(got, want[order], atol=1e-8)


def test_trivial_matrices():
    matrix, observed = low_rank()
    got = metrics.complete_matrix(matrix, np.ones_like(observed))
    np.testing.assert_array_equal(got, matrix)
    zeros = np.zeros_like(matrix)
    np.testing.assert_array_equal(metrics.complete_matrix(zeros, observed), zeros)
    observed[4] = False
    assert np.abs(metrics.complete_matrix(matrix, observed)[4]).max() == 0
    assert metrics.complete_matrix([[3.0, 0.0]], [[True, False]])[0, 0] == 3


def test_bad_input():
    matrix, observed = low_rank()
    with pytest.raises(ValueError, match=r'\(80, 20\), \(80, 19\)'):
        metrics.complete_matrix(matrix, observed[:, 1:])
    with pytest.raises(ValueError, match='got 0 entries'):
        metrics.complete_matrix(matrix, np.zeros_like(observed))
    with pytest.raises(ValueError, match='1 not finite'):
        metrics.complete_matrix([[np.nan, 1.0]], np.ones((1, 2)))
    with pytest.raises(ValueError, match='> 0, got 0 and 500'):
        metrics.complete_matrix(matrix, observed, threshold=0)

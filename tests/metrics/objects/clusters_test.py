import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from kpdiscovery import metrics


def test_by_hand():
    # Two halves against a quarter and the rest: I = H(1/4) - 1/2 H(1/2) in bits.
    first, second = np.array([0, 0, 1, 1]), np.array([3, 1, 1, 1])
    one = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    want = (one - 0.5) / ((1 + one) / 2)
    got = metrics.normalized_mutual_information(first, second)
    assert got == pytest.approx(want)


@pytest.mark.parametrize('clusters', [1, 2, 30])
def test_matches_sklearn(clusters):
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 15, 700), rng.integers(0, clusters, 700)
    second = np.where(rng.uniform(size=700) < 0.5, first % clusters, second)
    got = metrics.normalized_mutual_information(first, second)
    assert got == pytest.approx(normalized_mutual_info_score(first, second))


def test_numbering_shape_and_order_do_not_matter():
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 5, (2, 40, 6))
    want = metrics.normalized_mutual_information(first, second)
    order = rng.permutation(5)
    got = metrics.normalized_mutual_information(second.ravel(), order[first.ravel()])
    assert got == pytest.approx(want)
    same = metrics.normalized_mutual_information(first, 2 * order[first])
    assert same == pytest.approx(1)


def test_what_has_no_label_is_left_out():
    first, second = np.array([0, 0, 1, 1, -1, 5]), np.array([2, 2, 0, 0, 7, -1])
    assert metrics.normalized_mutual_information(first, second) == pytest.approx(1)


def test_edge_cases():
    one = np.zeros(5, int)
    assert metrics.normalized_mutual_information(one, one) == 1
    assert metrics.normalized_mutual_information(one, np.arange(5)) == 0
    assert metrics.normalized_mutual_information(one[:1], one[:1]) == 1
    with pytest.raises(ValueError, match='got none'):
        metrics.normalized_mutual_information(one - 1, one)
    with pytest.raises(ValueError, match=r'\(5,\) and \(4,\)'):
        metrics.normalized_mutual_information(one, one[1:])
    with pytest.raises(ValueError, match='integer labels, got float64'):
        metrics.normalized_mutual_information(one, one * np.nan)

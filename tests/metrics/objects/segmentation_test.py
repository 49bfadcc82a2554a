import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from kpdiscovery import metrics


def test_hand_computed():
    # n_ij: [[2, 1], [0, 1]]; pairs 1, rows 3, columns 2, all 6: (1-1) / (2.5-1) = 0.
    # n_ij: [[2, 0], [1, 2]]; pairs 2, rows 4, columns 4, all 10: .4 / 2.4 = 1/6.
    truth = np.array([[0, 0, 0, 1, -1], [0, 0, 1, 1, 1]])
    prediction = np.array([[5, 5, 7, 7, 7], [3, 3, 3, 4, 4]])
    got = metrics.adjusted_rand_index(truth, prediction)
    np.testing.assert_allclose(got, [0, 1 / 6], atol=1e-15)
    assert got.dtype == np.float64


@pytest.mark.parametrize('low, high', [(0, 5), (-3, 2), (-60000, 60000), (100, 250)])
def test_matches_sklearn_on_the_foreground(low, high):
    rng = np.random.default_rng(0)
    truth = rng.integers(-1, 4, (5, 9, 7))
    prediction = rng.integers(low, high, truth.shape, np.int32)
    prediction[2] = np.where(truth[2] >= 0, truth[2], low)
    kept = [(t[t >= 0], p[t >= 0]) for t, p in zip(truth, prediction, strict=True)]
    want = [adjusted_rand_score(t, p) for t, p in kept]
    got = metrics.adjusted_rand_index(truth, prediction)
    np.testing.assert_allclose(got, want, atol=1e-12)
    assert got[2] == 1


def test_small_integer_types_do_not_overflow():
    truth = np.array([[0, 0, 1, 1, 2, 2]], np.int8)
    prediction = np.array([[-128, -128, 127, 127, 0, 1]], np.int8)
    want = adjusted_rand_score(truth[0], prediction[0])
    np.testing.assert_allclose(metrics.adjusted_rand_index(truth, prediction), [want])


def test_numbering_does_not_matter_and_chunks_agree():
    rng = np.random.default_rng(1)
    truth, prediction = rng.integers(0, 4, (2, 600, 20))
    got = metrics.adjusted_rand_index(truth, prediction)
    order = np.array([2, 0, 3, 1])
    again = metrics.adjusted_rand_index(order[truth], order[::-1][prediction])
    np.testing.assert_allclose(again, got, atol=1e-12)
    alone = metrics.adjusted_rand_index(truth[599:], prediction[599:])
    np.testing.assert_array_equal(alone, got[599:])


def test_ground_can_be_chosen():
    truth, prediction = np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]])
    all_pixels = metrics.adjusted_rand_index(truth, prediction, ground=-5)
    np.testing.assert_allclose(
        all_pixels, adjusted_rand_score([0, 0, 1, 1], [0, 1, 1, 1])
    )
    assert metrics.adjusted_rand_index(truth, prediction, ground=0) == 1


def test_trivial_pictures_are_perfect():
    truth = np.array([[0, 0, 0, 0], [-1, -1, -1, -1], [0, 1, 2, 3], [2, -1, -1, -1]])
    prediction = np.array([[2, 2, 2, 2], [0, 1, 2, 3], [3, 1, 0, 2], [1, 1, 1, 1]])
    got = metrics.adjusted_rand_index(truth, prediction)
    np.testing.assert_array_equal(got, np.ones(4))
    one_segment = metrics.adjusted_rand_index(
        np.array([[0, 0, 1]]), np.array([[0, 0, 0]])
    )
    assert one_segment == 0
    assert (
        metrics.adjusted_rand_index(np.ones((0, 4), int), np.ones((0, 4), int)).size
        == 0
    )


def test_large_single_segments_are_exactly_one():
    truth = np.zeros((1, 3_000_001), np.int32)
    np.testing.assert_array_equal(metrics.adjusted_rand_index(truth, truth), [1.0])


@pytest.mark.parametrize(
    'truth, prediction',
    [
        (np.zeros((2, 4, 4), int), np.zeros((2, 8, 8), int)),
        (np.zeros(4, int), np.zeros(4, int)),
        (np.zeros((2, 4)), np.zeros((2, 4), int)),
    ],
)
def test_bad_input(truth, prediction):
    with pytest.raises(ValueError, match='must'):
        metrics.adjusted_rand_index(truth, prediction)


def test_protocol_leaves_empty_pictures_out(split):
    truth = np.array([[[0, 0, 1, 1, 1, -1]], [[-1] * 6], [[0, 1, 1, -1, -1, -1]]])
    instances = np.array([[[3, 3, 3, 4, 4, 3]], [[0] * 6], [[2, 0, 0, 0, 0, 0]]])
    test = split({'instances': truth}, [[[0, 0]]] * 3, [[0]] * 3, instances=instances)
    got = metrics.foreground_ari(test, test)
    assert got == {'foreground_ari': pytest.approx((1 / 6 + 1) / 2)}


def test_protocol_refuses_other_sizes_and_empty_sets(split):
    small = np.zeros((1, 4, 4), np.int32)
    test = split(
        {'instances': small}, [[[0, 0]]], [[0]], instances=np.zeros((1, 8, 8), int)
    )
    with pytest.raises(ValueError, match=r'\(1, 4, 4\) and \(1, 8, 8\)'):
        metrics.foreground_ari(test, test)
    test = split({'instances': small - 1}, [[[0, 0]]], [[0]], instances=small)
    with pytest.raises(metrics.Unmeasurable, match='no picture has an object'):
        metrics.foreground_ari(test, test)

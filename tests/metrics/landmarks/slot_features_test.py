import numpy as np
import pytest

from kpdiscovery import metrics

XY = [[[9.5, 4.5], [1.5, 0.5], [5.5, 2.5], [3.5, 1.5]]]
LABEL = [[0, 0, 2, 0]]


def slots(points, order='x', num_labels=3):
    got = metrics.slot_features(points, num_labels, (5, 20), order=order)
    return got.reshape(len(got), num_labels, -1, 2)


def test_by_hand(keypoints):
    got = slots(keypoints(XY, LABEL))
    want = np.zeros((1, 3, 4, 2))
    want[0, 0, :3] = [[0.1, 0.2], [0.2, 0.4], [0.5, 1.0]]
    want[0, 2, 0] = [0.3, 0.6]
    np.testing.assert_allclose(got, want)
    assert metrics.slot_features(keypoints(XY, LABEL), 3, (5, 20)).shape == (1, 24)


def test_by_score(keypoints):
    got = slots(keypoints(XY, LABEL, score=[[0.2, 0.9, 0.1, 0.5]]), 'score')
    np.testing.assert_allclose(got[0, 0, :3, 0], [0.1, 0.2, 0.5])
    got = slots(keypoints(XY, LABEL, score=[[0.5, 0.5, 0.1, 0.9]]), 'score')
    np.testing.assert_allclose(got[0, 0, :3, 0], [0.2, 0.5, 0.1])


def test_invalid_and_unlabelled_keypoints_leave_zeros(keypoints):
    valid = [[True, False, True, True]]
    got = slots(keypoints(XY, [[0, 0, -1, 0]], valid))
    np.testing.assert_allclose(got[0, 0, :, 0], [0.2, 0.5, 0, 0])
    assert not got[0, 1:].any()
    nothing = slots(keypoints(XY, [[9, 9, 9, 9]], np.zeros((1, 4))))
    assert not nothing.any()


def test_order_of_keypoints_does_not_matter_even_on_ties(keypoints):
    rng = np.random.default_rng(0)
    xy, label = rng.integers(0, 3, (20, 6, 2)), rng.integers(0, 3, (20, 6))
    order = rng.permutation(6)
    first = slots(keypoints(xy, label))
    np.testing.assert_array_equal(
        slots(keypoints(xy[:, order], label[:, order])), first
    )


def test_bad_input(keypoints):
    with pytest.raises(ValueError, match="'x' or 'score'"):
        slots(keypoints(XY, LABEL), 'y')
    with pytest.raises(ValueError, match='below 2, got 2'):
        slots(keypoints(XY, LABEL), num_labels=2)

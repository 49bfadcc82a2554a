import numpy as np
import pytest

from kpdiscovery import metrics
from kpdiscovery.metrics.landmarks import labelled


def test_by_label_by_hand(keypoints):
    points = keypoints(
        xy=[[[1, 2], [3, 4], [5, 6], [7, 8]], [[1, 1], [2, 2], [3, 3], [4, 4]]],
        label=[[2, 0, 2, 1], [-1, 0, 0, 0]],
        valid=[[True, True, True, False], [True, True, True, False]],
        score=[[0.5, 0.1, 0.6, 1], [9, 0.7, 0.7, 0.9]],
    )
    xy, valid = metrics.by_label(points, 3)
    np.testing.assert_array_equal(valid, [[True, False, True], [True, False, False]])
    np.testing.assert_array_equal(xy[0], [[3, 4], [0, 0], [5, 6]])
    np.testing.assert_array_equal(xy[1], [[2, 2], [0, 0], [0, 0]])  # First of equals.
    with pytest.raises(ValueError, match='labels must be below 2, got 2'):
        metrics.by_label(points, 2)


def test_order_of_the_points_does_not_matter(keypoints):
    rng = np.random.default_rng(0)
    label, valid = rng.integers(-1, 5, (30, 8)), rng.uniform(size=(30, 8)) < 0.7
    xy, score = rng.uniform(0, 99, (30, 8, 2)), rng.permutation(240).reshape(30, 8)
    order = rng.permutation(8)
    one = metrics.by_label(keypoints(xy, label, valid, score), 5)
    two = [v[:, order] for v in (xy, label, valid, score)]
    for got, want in zip(metrics.by_label(keypoints(*two), 5), one, strict=True):
        np.testing.assert_array_equal(got, want)


def test_landmarks_of_a_method_are_left_alone(keypoints):
    xy = np.random.default_rng(0).integers(0, 99, (6, 4, 2))
    valid = np.random.default_rng(1).uniform(size=(6, 4)) < 0.5
    got, there = metrics.by_label(keypoints(xy, np.tile(range(4), (6, 1)), valid), 4)
    np.testing.assert_array_equal(there, valid)
    np.testing.assert_array_equal(got, np.where(valid[..., None], xy, 0))


def test_wrong_numbers_of_points(split):
    truth = {'keypoints': np.zeros((2, 5, 2)), 'visible': np.ones((2, 5), bool)}
    test = split(truth, np.zeros((2, 1, 2)), [[0], [0]], landmarks='faces68')
    with pytest.raises(ValueError, match=r'faces68 has 68 points, got .*\(2, 5, 2\)'):
        list(labelled.comparisons(test, test))
    truth['visible'][:] = False
    with pytest.raises(metrics.Unmeasurable, match='visible in 2 pictures'):
        list(labelled.comparisons(test, test._replace(landmarks='faces5')))

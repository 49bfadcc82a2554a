import types

import numpy as np
import pytest

from kpdiscovery import metrics
from kpdiscovery.types import Keypoints, Prediction, Split

# Worked by hand.


def test_average_precision():
    assert metrics.average_precision([1, 1, 0, 1], 4) == pytest.approx(0.6875)
    assert metrics.average_precision([], 4) == 0
    assert metrics.average_precision([1, 1], 2) == 1


def test_repeatability():
    first = np.array([[0.0, 0], [10, 0], [50, 50]])
    second = np.array([[3.0, 0], [30, 30]])  # Two of three and ...
    assert metrics.repeatability(first[:2], second[:1]) == pytest.approx(2 / 3)
    first[1] = [5, 0]
    assert metrics.repeatability(first, second, distance=3) == pytest.approx(0.6)
    assert metrics.repeatability(first, first) == 1
    assert metrics.repeatability(first, np.zeros((0, 2))) == 0


# By hand.


def split(xy, score, keypoints, visible):
    xy, score = np.asarray(xy, float), np.asarray(score, float)
    found = Keypoints(xy, score, np.zeros(score.shape, int), score > 0.5)
    truth = {'keypoints': np.asarray(keypoints, float), 'visible': np.asarray(visible)}
    return Split(Prediction(found), truth, (64, 64), 1)


def test_corners_by_hand():
    test = split(
        [[[10, 10], [11, 10], [30, 32], [50, 50]], [[5, 5], [0, 0], [0, 0], [0, 0]]],
        [[0.9, 0.8, 0.6, 0.2], [0.7, 0, 0, 0]],
        [[[10, 11], [30, 30], [9, 9]], [[0, 0], [0, 0], [0, 0]]],
        [[True, True, False], [False, False, False]],
    )
    got = metrics.shape_detection(test, test)
    # Hits 1 (.9), 0 (.8: taken), 0 (.7), 1 (.6), 0 (.2) of 2: (1 + .5) / 2.
    assert got['corner_average_precision'] == pytest.approx(0.75)
    assert got['localization_error'] == pytest.approx(1.5)


def test_no_points_at_all():
    test = split(np.zeros((1, 2, 2)), [[0, 0]], [[[3, 3]]], [[True]])
    got = metrics.shape_detection(test, test)
    assert got['corner_average_precision'] == 0 and np.isnan(got['localization_error'])
    hidden = test._replace(truth={**test.truth, 'visible': np.array([[False]])})
    with pytest.raises(metrics.Unmeasurable, match='no picture has a visible point'):
        metrics.shape_detection(hidden, hidden)
    with pytest.raises(ValueError, match='something to find'):
        metrics.average_precision([1], 0)


def test_better_points_choose_first():
    gap = metrics.match_greedily(
        [[[0, 0], [1, 0]]], np.array([[0.1, 0.2]]), [[[0, 0], [9, 9]]],
        np.array([[True, True]]), distance=2,
    )  # fmt: skip
    assert gap.tolist() == [[np.inf, 1.0]]


def test_near_share_counts_every_point():
    xy = np.array([[[0.0, 0], [1, 0], [30, 0], [9, 9]]])
    truth = np.array([[[0.0, 1], [30, 1]]])
    valid = np.array([[True, True, True, False]])
    share = lambda visible: metrics.near_share(
        xy, truth, valid, np.array([visible]), distance=2
    )
    assert share([True, True]) == 1
    assert share([True, False]) == pytest.approx(2 / 3)
    assert share([False, False]) == 0
    assert (
        metrics.near_share(xy, truth, ~valid & False, [[True, True]], distance=2) == 0
    )


def test_protocol_is_in_the_table():
    protocol = metrics.PROTOCOLS['shape_detection']
    assert protocol.function is metrics.shape_detection
    assert isinstance(metrics.shape_detection, types.FunctionType)

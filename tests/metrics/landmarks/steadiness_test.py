import numpy as np
import pytest

from kpdiscovery import metrics
from kpdiscovery.types import Warped

XY = np.array([[[10, 10], [40, 20]], [[16, 18], [40, 20]], [[13, 14], [40, 20]]])
LABEL = [[0, 1]] * 3


def spread(test):
    return metrics.landmark_spread(test, test)


def repeatability(test):
    return metrics.landmark_repeatability(test, test)


@pytest.fixture
def warped(split, keypoints):
    """A split whose pictures, of 100 px, moved by (3, 4): `found` in the copies."""

    def make(found, valid=None, xy=XY, label=LABEL):
        moved = np.add(xy, [3, 4])
        three = Warped(keypoints(xy, label), keypoints(moved, label),
                       keypoints(found, label, valid))  # fmt: skip
        test = split({}, xy, label, size=(100, 100), num_labels=2)
        return test._replace(warped=three)

    return make


def test_spread_by_hand(split):
    test = split({}, XY, LABEL, size=(50, 200), num_labels=2)  # Of sides: 100 px.
    first = np.sqrt((25 + 25 + 0) / 3)  # 5 px from the mean (13, 14), twice.
    assert spread(test) == pytest.approx({'spread': first / 2, 'spread_least': 0})


def test_what_was_not_found_has_no_place(split):
    valid = [[True, True], [True, False], [False, False]]
    test = split({}, XY, LABEL, valid, size=(100, 100), num_labels=2)
    assert spread(test) == pytest.approx({'spread': 5, 'spread_least': 5})
    test = split({}, XY, LABEL, np.diag([1, 1, 1])[:, :2], num_labels=2)
    with pytest.raises(metrics.Unmeasurable, match='in two pictures'):
        spread(test)


def test_landmarks_that_follow_and_landmarks_that_stay(warped):
    got = repeatability(warped(XY + np.array([3, 4])))
    perfect = {'warp_error': 0, 'warp_error_median': 0, 'warp_within@3': 100}
    assert got == pytest.approx({**perfect, 'warp_shift': 5}, abs=1e-5)
    got = repeatability(warped(XY))
    still = {'warp_error': 5, 'warp_error_median': 5, 'warp_within@3': 0}
    assert got == pytest.approx({**still, 'warp_shift': 5})


def test_repeatability_by_hand(warped):
    xy = XY.copy()
    xy[2, 1] = 97, 20  # The warp takes it out of the picture.
    found = xy + np.array([3, 4])
    found[0, 0] += [2, 0]
    found[1, 0] += [0, 8]
    found[2, 1] += [50, 50]
    valid = [[True, True], [True, False], [True, True]]
    got = repeatability(warped(found, valid, xy))
    want = {'warp_error': 10 / 4, 'warp_error_median': 1, 'warp_shift': 5}
    assert got == pytest.approx({**want, 'warp_within@3': 100 * 3 / 5})
    with pytest.raises(metrics.Unmeasurable, match='and its warped copy'):
        repeatability(warped(found, np.zeros((3, 2), bool)))


def test_the_surest_point_of_a_label_is_its_landmark(warped, split):
    """Several keypoints may have one label, if they are the same in every picture."""
    twice = np.repeat(XY, 2, axis=1)
    twice[:, 1::2] = np.random.default_rng(0).uniform(size=(3, 2, 2))
    score = np.tile([1, 0.5], (3, 2))
    test = split({}, twice, [[0, 0, 1, 1]] * 3, None, score, (100, 100), num_labels=2)
    assert spread(test) == spread(split({}, XY, LABEL, size=(100, 100), num_labels=2))


def test_says_why_not(split, warped):
    names = ['landmark_spread', 'landmark_repeatability']
    test = split({}, XY, LABEL, num_labels=2)
    _, skipped = metrics.evaluate(names, None, test)
    assert list(skipped) == ['landmark_repeatability']
    assert 'than a warped copy has' in skipped['landmark_repeatability']
    for label in ([[0, 1], [1, 0], [0, 1]], [[0, 0]] * 3, [[0, -1]] * 3):
        _, skipped = metrics.evaluate(names, None, warped(XY, label=label))
        reason = 'needs landmarks: keypoint k with label k in every picture'
        assert skipped == dict.fromkeys(names, reason)

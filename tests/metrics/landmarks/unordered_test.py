import numpy as np
import pytest

from kpdiscovery import metrics
from kpdiscovery.types import Unmeasurable, Warped

XY = np.array([[[10, 10], [40, 20], [97, 50]]], float)
LABEL = [[4, 0, 1]]


@pytest.fixture
def warped(split, keypoints):
    """A picture of 100 px and its copy, moved by (5, 0): the third point leaves it."""

    def make(found, label=LABEL, valid=None, first=None):
        moved = keypoints(XY + [5, 0], LABEL, first)
        three = Warped(
            keypoints(XY, LABEL, first), moved, keypoints(found, label, valid)
        )
        test = split({}, XY, LABEL, size=(100, 100), num_labels=5)
        return test._replace(warped=three)

    return make


def repeat(test):
    return metrics.point_repeatability(test, test)


@pytest.mark.parametrize('found, label, came, same', [
    ([[45, 20], [15, 10], [0, 0]], [[0, 4, 3]], 100, 100),  # In any order.
    ([[45, 22.9], [15, 10], [0, 0]], [[0, 3, 4]], 100, 50),
    ([[45, 23.1], [15, 10], [0, 0]], [[0, 4, 4]], 50, 100),
    ([[45, 22], [45, 21], [80, 80]], [[3, 0, 1]], 50, 100),  # The nearest one counts.
    ([[80, 80], [80, 70], [97, 50]], [[0, 4, 1]], 0, 0),
])  # fmt: skip
def test_places_and_labels_come_back(warped, found, label, came, same):
    got = repeat(warped([found], label))
    assert got == pytest.approx({'repeatability@3': came, 'label_agreement': same})


def test_what_does_not_count(warped):
    found = [[[15, 10], [45, 20], [0, 0]]]
    first = [[True, False, True]]
    assert repeat(warped(found, first=first))['repeatability@3'] == 100
    hidden = [[False, True, True]]
    assert repeat(warped(found, valid=hidden))['repeatability@3'] == 50
    with pytest.raises(Unmeasurable, match='stays inside'):
        repeat(warped(found, first=[[False, False, True]]))


def test_without_copies_nothing_is_measured(split):
    with pytest.raises(Unmeasurable, match='than a warped copy has'):
        repeat(split({}, XY, LABEL))


def test_use_of_labels(split):
    label = np.array([[0] * 8 + [1] * 8 + [2, -1, 3, 3]])
    valid = np.ones(label.shape, bool)
    valid[0, -2:] = False  # Label 3.
    test = split({}, np.zeros((1, 20, 2)), label, valid, num_labels=10)
    got = metrics.label_use(test, test)
    share = np.array([8, 8, 1]) / 17
    entropy = -(share * np.log(share)).sum()
    want = {'live_labels': 3, 'effective_labels': np.exp(entropy)}
    assert got == pytest.approx(want)
    rare = split({}, np.zeros((1, 300, 2)), [[0] * 299 + [1]], num_labels=2)
    assert metrics.label_use(rare, rare)['live_labels'] == 1
    with pytest.raises(Unmeasurable, match='no keypoint has a label'):
        metrics.label_use(
            *[test._replace(prediction=split({}, XY, [[-1] * 3]).prediction)] * 2
        )

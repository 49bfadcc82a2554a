"""Which annotated point is which, by descriptors and by place."""

import numpy as np
import pytest

from kpdiscovery import metrics
from kpdiscovery.metrics import landmark_matching
from kpdiscovery.types import Keypoints, Prediction, Split

NONE = Prediction(Keypoints(*(np.zeros((12, 1)),) * 4))


def split(described, xy, visible=None):
    visible = np.ones(xy.shape[:2], bool) if visible is None else visible
    truth = {'keypoints': xy, 'visible': visible}
    return Split(NONE, truth, (64, 64), 1, described=described)


def test_looks_that_do_not_depend_on_the_picture_match_everywhere(rng):
    looks = rng.normal(size=(1, 20, 6)) * rng.uniform(1, 9, (12, 20, 1))
    found = landmark_matching(None, split(looks, rng.uniform(0, 63, (12, 20, 2))))
    assert found['match'] == 100 and found['match_error'] == 0
    assert found['match_by_place'] < 40


def test_places_as_descriptors_do_as_well_as_place(rng):
    """Of points on a circle, whose angles order them as their distances do."""
    angle = rng.uniform(0, 2 * np.pi, (12, 5))
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    found = landmark_matching(None, split(circle, 32 + 9 * circle))
    assert found['match'] == pytest.approx(found['match_by_place'])
    assert 10 < found['match'] < 60 and found['match_error'] > 0


def test_by_hand_and_hidden_points_count_on_neither_side():
    """Two pictures, their points 0 and 1 mixed up; point 2 is hidden in the second."""
    looks = np.float64([np.eye(3), np.eye(3)[[1, 0, 0]]])
    xy = np.float64([[[0, 0], [8, 0], [0, 8]], [[0, 0], [8, 0], [8, 0]]])
    visible = np.array([[True, True, True], [True, True, False]])
    found = landmark_matching(None, split(looks, xy, visible))
    assert found == {'match': 0, 'match_by_place': 100, 'match_error': 12.5}
    none = np.zeros_like(visible)
    with pytest.raises(metrics.Unmeasurable, match='visible in two pictures'):
        landmark_matching(None, split(looks, xy, none))


def test_a_network_without_descriptors_says_so(rng):
    with pytest.raises(metrics.Unmeasurable, match='describes places'):
        landmark_matching(None, split(None, rng.uniform(0, 63, (12, 5, 2))))

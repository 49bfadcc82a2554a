"""Which error a picture has, and values worked out by hand."""

import numpy as np

from kpdiscovery.reporting import mistakes
from kpdiscovery.types import Prediction
from tests.reporting import pictures


def predicted(seen, **fields):
    found = Prediction(seen.keypoints, **fields)
    return seen._replace(found=seen.found._replace(prediction=found))


def test_without_truth_there_is_none():
    assert mistakes.of_pictures(pictures.see(2, 3), None) == (None, '')


def test_objects_lack_of_agreement_and_empty_pictures_have_none():
    instances = np.full((3, 48, 96), -1)
    instances[:2, :10], instances[:2, 10:20] = 0, 1
    found = np.stack([instances[0], 0 * instances[0], instances[0]])
    seen = pictures.see(3, 2, truth={'instances': instances})
    errors, name = mistakes.of_pictures(predicted(seen, instances=found), None)
    np.testing.assert_allclose(errors, [0, 100, np.nan])
    assert 'foreground ARI' in name


def test_boxes_lack_of_overlap():
    truth = {
        'boxes': np.tile(np.array([0, 0, 10, 10.0]), (2, 2, 1)),
        'boxes_valid': np.array([[True, False], [False, False]]),
    }
    half = np.tile(np.array([0, 0, 10, 5.0]), (2, 1, 1))
    seen = predicted(
        pictures.see(2, 1, truth=truth), boxes=half, mask=np.zeros((2, 48, 96))
    )
    errors, name = mistakes.of_pictures(seen, None)
    np.testing.assert_allclose(errors, [50, np.nan])
    assert 'overlap' in name


def test_distance_to_the_nearest_keypoint_that_counts():
    seen = pictures.see(2, 2, ordered=False)
    seen.keypoints.xy[:] = [[0, 0], [50, 0]]
    seen.keypoints.valid[1] = False
    truth = {
        'keypoints': np.tile(np.array([[3, 4], [50, 0], [9, 9.0]]), (2, 1, 1)),
        'visible': np.array([[True, True, False]] * 2),
    }
    seen = seen._replace(found=seen.found._replace(truth=truth))
    errors, name = mistakes.of_pictures(seen, None)
    np.testing.assert_allclose(errors, [100 * 2.5 / 96, np.inf])
    assert 'distance' in name


def test_landmarks_have_the_forward_error():
    rng = np.random.default_rng(0)
    truth = {
        'keypoints': rng.uniform(0, 31, (6, 12, 2)),
        'visible': np.ones((6, 12), bool),
        'boxes': np.tile(np.array([0, 0, 31, 31.0]), (6, 1, 1)),
        'boxes_valid': np.ones((6, 1), bool),
    }
    seen = pictures.see(6, 3, truth=truth)
    seen = seen._replace(found=seen.found._replace(landmarks='critters12'))
    errors, name = mistakes.of_pictures(seen, seen.found)
    assert name == 'forward_nme_12, %' and np.isfinite(errors).all()
    assert 'distance' in mistakes.of_pictures(seen, None)[1]

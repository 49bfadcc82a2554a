import numpy as np
import pytest

from kpdiscovery import metrics
from kpdiscovery.metrics.parts.candidates import stand_out


def group(keypoints, *args, num_labels=3, **more):
    return metrics.group_candidates(keypoints(*args, **more), num_labels)


def test_peaks_of_a_channel_fall_in_score_whatever_the_layout(keypoints):
    xy = [[[1, 1], [2, 2], [3, 3], [4, 4]], [[5, 5], [6, 6], [7, 7], [8, 8]]]
    label = [[2, 0, 2, 2], [1, 1, 0, -1]]
    score = [[0.2, 0.9, 0.8, 0], [0.3, 0.4, -1, 5]]
    got = group(keypoints, xy, label, score=score)
    assert got.xy.shape == (2, 3, 2, 2) and got.xy.dtype == np.float32
    assert got.score.dtype == np.float32
    np.testing.assert_array_equal(got.xy[0, 2], [[3, 3], [1, 1]])
    np.testing.assert_allclose(got.score[0], [[0.9, 0], [0, 0], [0.8, 0.2]])
    np.testing.assert_allclose(got.score[1], [[0, 0], [0.4, 0.3], [0, 0]])
    np.testing.assert_array_equal(
        got.xy[1], [[[0, 0]] * 2, [[6, 6], [5, 5]], [[0, 0]] * 2]
    )


def test_one_point_a_label_valid_or_not(keypoints):
    xy = np.arange(12.0).reshape(2, 3, 2)
    valid = np.zeros((2, 3))
    got = group(keypoints, xy, [[2, 1, 0], [0, 1, 2]], valid)
    assert got.xy.shape == (2, 3, 1, 2) and (got.score == 1).all()
    np.testing.assert_array_equal(got.xy[:, :, 0], [xy[0, ::-1], xy[1]])


def test_no_candidates_at_all(keypoints):
    got = group(keypoints, np.full((2, 4, 2), np.nan), -np.ones((2, 4)))
    assert got.xy.shape == (2, 3, 1, 2) and not got.score.any() and not got.xy.any()


@pytest.mark.parametrize(
    ('xy', 'label', 'score', 'message'),
    [
        ([[[1, 1]]], [[3]], [[1]], 'below 3, got 3'),
        ([[[np.nan, 1]]], [[0]], [[1]], 'finite candidate points, got 1'),
        ([[[1, 1]]], [[0]], [[np.nan]], 'finite scores'),
        ([[1, 1]], [0], [1], r'score \[N, K\]'),
        ([[[1, 1]]], [[0, 1]], [[1, 1]], r'got \(1, 1, 2\) and \(1, 2\)'),
    ],
)
def test_wrong_keypoints(keypoints, xy, label, score, message):
    with pytest.raises(ValueError, match=message):
        group(keypoints, xy, label, score=score)


def test_boxes_by_part_and_their_mean_sides():
    boxes = np.array([
        [[0, 0, 2, 4], [1, 1, 5, 3], [-1, -1, -1, -1]],
        [[9, 9, 10, 12], [np.nan] * 4, [0, 0, 6, 2]],
    ])  # fmt: skip
    got, valid = metrics.group_part_boxes(boxes, [[3, 3, -1], [1, -1, 3]], 4)
    assert got.shape == (2, 4, 2, 4) and got.dtype == np.float64
    np.testing.assert_array_equal(got[0, 3], boxes[0, :2])
    np.testing.assert_array_equal(valid.sum(axis=2), [[0, 0, 0, 2], [0, 1, 0, 1]])
    sides = metrics.mean_part_sides(got, valid)
    np.testing.assert_allclose(sides, [[np.nan] * 2, [1, 3], [np.nan] * 2, [4, 8 / 3]])
    nothing, none = metrics.group_part_boxes(boxes, -np.ones((2, 3), int), 0)
    assert nothing.shape == (2, 0, 1, 4) and none.shape == (2, 0, 1)


@pytest.mark.parametrize(
    ('boxes', 'label', 'message'),
    [
        (np.zeros((1, 2, 4)), np.zeros((1, 3), int), r'got \(1, 2, 4\) and \(1, 3\)'),
        (np.ones((1, 1, 4)), [[0]], 'sides > 0'),
        ([[[0, 0, np.inf, 1]]], [[0]], 'finite part boxes'),
        ([[[0, 0, 1, 1]]], [[2]], 'below 2, got 2'),
    ],
)
def test_wrong_part_boxes(boxes, label, message):
    with pytest.raises(ValueError, match=message):
        metrics.group_part_boxes(boxes, label, 2)


def test_worse_boxes_go_unless_what_they_overlap_went():
    x = np.array([[0.0, 5, 10, 16], [0, 5, 10, 16]])
    xy = np.stack([x, np.zeros((2, 4))], axis=-1)
    score = np.array([[0.9, 0.8, 0.7, 0.6], [0.9, 0.8, 0, 0]])
    # Overlaps of squares of 10 are 1/3 at 5 pixels, 1/4 at 6; tall ones never meet,
    # flat ones are 1/3 apart at 20.
    got = stand_out(xy, score, np.array([[10.0, 10], [4, 30], [40, 4]]), overlap=0.3)
    assert got.shape == (2, 4, 3)
    np.testing.assert_array_equal(got[0, :, 0], [True, False, True, True])
    np.testing.assert_array_equal(got[1, :, 0], [True, False, False, False])
    np.testing.assert_array_equal(got[..., 1], score > 0)
    np.testing.assert_array_equal(got[0, :, 2], [True, False, False, False])
    loose = stand_out(xy, score, np.array([[10.0, 10]]), overlap=1 / 3 + 1e-9)
    assert loose[0].all()

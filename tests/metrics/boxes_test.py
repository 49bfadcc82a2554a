import numpy as np
import pytest

from kpdiscovery.metrics.boxes import boxes_around, intersection_over_union

BOXES = np.array([[0, 0, 4, 2], [0, 0, 8, 4], [10, 10, 12, 12]])


def test_by_hand():
    around = boxes_around(np.array([2.0, 1]), np.array([4.0, 2]))
    np.testing.assert_array_equal(around, BOXES[0])
    np.testing.assert_allclose(intersection_over_union(around, BOXES), [1, 0.25, 0])
    moved = boxes_around(np.array([4.0, 1]), np.array([4.0, 2]))
    assert intersection_over_union(moved, BOXES[0]) == pytest.approx(4 / 12)


def test_all_pairs_by_broadcasting():
    got = intersection_over_union(BOXES[:, None], BOXES[None])
    np.testing.assert_array_equal(got, got.T)
    np.testing.assert_array_equal(np.diagonal(got), 1)


def test_empty_boxes_overlap_with_nothing():
    point = np.array([3, 1, 3, 1])
    assert intersection_over_union(point, point) == 0
    assert intersection_over_union(point, BOXES[0]) == 0

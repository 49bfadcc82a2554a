import numpy as np
import pytest

from kpdiscovery import metrics
from kpdiscovery.metrics.landmarks import normalizers


def test_inter_ocular():
    xy = np.array([[[0, 0], [3, 4]], [[1, 1], [1, 1]], [[0, 0], [3, 4]]])
    visible = np.array([[True, True], [True, True], [True, False]])
    distance, usable = metrics.inter_ocular(xy, visible)
    np.testing.assert_array_equal(distance, [5, 1, 1])
    np.testing.assert_array_equal(usable, [True, False, False])


def test_any_pair_of_joints():
    xy = np.random.default_rng(0).uniform(0, 256, (9, 68, 2))
    want = np.hypot(*(xy[:, 41] - xy[:, 46]).T)
    distance, usable = metrics.inter_ocular(xy, eyes=(41, 46))
    np.testing.assert_allclose(distance, want)
    assert usable.all()
    turned, _ = metrics.joint_distance(xy[..., ::-1] + 7, joints=(46, 41))
    np.testing.assert_allclose(turned, want)


def test_extent_of_ls3d():
    xy = np.array([[[10, 20], [170, 60], [90, 110], [999, 999]]])  # 160 wide, 90 high.
    visible = np.array([[True, True, True, False]])
    size, usable = metrics.annotated_extent(xy, visible)
    np.testing.assert_allclose(size, [120])
    assert usable.all()
    hidden = np.where(visible[..., None], xy, np.nan)
    np.testing.assert_allclose(metrics.annotated_extent(hidden, visible)[0], [120])


def test_pictures_without_an_extent():
    xy = np.array([[[5, 5], [9, 9]], [[5, 5], [5, 5]], [[5, 5], [9, 5]]])
    visible = np.array([[False, False], [True, True], [True, True]])
    size, usable = metrics.annotated_extent(xy, visible)
    np.testing.assert_array_equal(size, [1, 1, 1])
    assert not usable.any()


def test_bad_input():
    xy = np.zeros((2, 5, 2))
    with pytest.raises(ValueError, match=r'joints in 0..4, got \(0, 5\)'):
        metrics.joint_distance(xy, joints=(0, 5))
    with pytest.raises(ValueError, match=r'\(2, 5, 2\) and \(2, 4\)'):
        metrics.inter_ocular(xy, np.ones((2, 4)))
    with pytest.raises(ValueError, match=r'\[N, T, 2\], got \(5, 2\)'):
        metrics.annotated_extent(xy[0])
    with pytest.raises(ValueError, match='got 1 that are not'):
        xy[1, 2] = np.nan
        metrics.annotated_extent(xy)


def test_lengths():
    used = np.array([True, False])
    np.testing.assert_array_equal(normalizers.lengths(3, used), [3, 1])
    np.testing.assert_array_equal(normalizers.lengths([3, np.nan], used), [3, 1])
    with pytest.raises(ValueError, match=r'\(2,\) or one, got \(3,\)'):
        normalizers.lengths([1, 1, 1], used)
    for bad in (0, np.nan, np.inf):
        with pytest.raises(ValueError, match='normalizer > 0'):
            normalizers.lengths([bad, 1], used)


def test_box_length_by_hand():
    boxes = np.array([[[0, 0, 1, 1], [10, 10, 14, 19]], [[0, 0, 3, 3], [0, 0, 9, 9]],
                      [[1, 1, 1, 5], [0, 0, 9, 9]]])  # fmt: skip
    valid = np.array([[False, True], [False, False], [True, False]])
    length, usable = metrics.box_length(boxes, valid, side='longer')
    np.testing.assert_array_equal(length, [9, 1, 4])
    np.testing.assert_array_equal(usable, [True, False, True])
    length, usable = metrics.box_length(boxes, valid, side='mean')
    np.testing.assert_array_equal(length, [6, 1, 1])
    np.testing.assert_array_equal(usable, [True, False, False])
    with pytest.raises(ValueError, match=r'boxes \[N, B, 4\], got \(3, 4\)'):
        metrics.box_length(boxes[:, 0], side='mean')
    with pytest.raises(ValueError, match="'longer' or 'mean', got 'short'"):
        metrics.box_length(boxes, side='short')

import numpy as np
import pytest

from kpdiscovery import metrics


def test_by_hand():
    predicted = np.array([[[3.0, 4], [0, 0]], [[0, 1], [7, 7]]])
    visible = np.array([[True, True], [True, False]])
    got = metrics.normalized_errors(predicted, np.zeros((2, 2, 2)), 2.0, visible)
    np.testing.assert_allclose(got, [[250, 0], [50, np.nan]])
    got = metrics.normalized_errors(predicted, np.zeros((2, 2, 2)), [5, 1])
    np.testing.assert_allclose(got, [[100, 0], [100, 700 * np.sqrt(2)]])


def test_scale_does_not_matter():
    predicted, annotated = np.random.default_rng(0).normal(size=(2, 5, 3, 2))
    want = metrics.normalized_errors(predicted, annotated, 2.0)
    got = metrics.normalized_errors(9 * predicted + 4, 9 * annotated + 4, 18.0)
    np.testing.assert_allclose(got, want)


def test_bad_input():
    xy = np.zeros((2, 3, 2))
    with pytest.raises(ValueError, match=r'got 0 visible of \(2, 3, 2\)'):
        metrics.normalized_errors(xy, xy, 1.0, np.zeros((2, 3)))
    with pytest.raises(ValueError, match='normalizer > 0'):
        metrics.normalized_errors(xy, xy, [1.0, 0.0])
    with pytest.raises(ValueError, match='predicted'):
        metrics.normalized_errors(xy[:, :2], xy, 1.0)
    with pytest.raises(ValueError, match='finite predicted points, got 6'):
        metrics.normalized_errors(xy * np.nan, xy, 1.0)

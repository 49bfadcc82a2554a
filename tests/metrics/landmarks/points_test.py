import numpy as np
import pytest

from kpdiscovery import metrics
from kpdiscovery.metrics.landmarks import points


def faces(n=120, k=12, seed=0, gaps=0.1):
    """Landmarks of rank 3 around a mean shape, and which were found."""
    mean, modes = np.split(np.random.default_rng(7).uniform(0, 64, (4, k, 2)), [1])
    rng = np.random.default_rng(seed)
    xy = mean + np.einsum('nr,rkc->nkc', rng.normal(0, 0.2, (n, 3)), modes)
    return xy, rng.uniform(size=(n, k)) >= gaps


def test_gaps_are_filled_and_found_points_kept():
    (fit, fit_valid), (test, test_valid) = faces(), faces(30, seed=1)
    gone = [
        np.where(v[..., None], x, np.nan)
        for x, v in ((fit, fit_valid), (test, test_valid))
    ]
    fit_filled, test_filled, kept = metrics.fill_missing(*gone, fit_valid, test_valid)
    assert kept.all()
    np.testing.assert_array_equal(fit_filled[fit_valid], fit[fit_valid])
    np.testing.assert_array_equal(test_filled[test_valid], test[test_valid])
    error = np.abs(fit_filled - fit)[~fit_valid].mean()
    spread = np.abs(fit - fit.mean(axis=0))[~fit_valid].mean()
    assert error < 0.05 * spread
    mean = [fit[seen, i].mean(axis=0) for i, seen in enumerate(fit_valid.T)]
    want = np.broadcast_to(mean, test.shape)[~test_valid]
    np.testing.assert_allclose(test_filled[~test_valid], want)


def test_moving_everything_moves_the_filling():
    (fit, fit_valid), (test, test_valid) = faces(), faces(30, seed=1)
    a, b, _ = metrics.fill_missing(fit, test, fit_valid, test_valid)
    c, d, _ = metrics.fill_missing(2 * fit + 9, 2 * test + 9, fit_valid, test_valid)
    np.testing.assert_allclose(c, 2 * a + 9, atol=1e-6)
    np.testing.assert_allclose(d, 2 * b + 9, atol=1e-6)


def test_rare_landmarks_are_dropped():
    xy = np.arange(30.0).reshape(5, 3, 2)
    valid = np.ones((5, 3), bool)
    valid[0, 1] = False  # One of five is 20 %, and that is too much.
    fit, test, kept = metrics.fill_missing(xy, xy[:1], valid)
    np.testing.assert_array_equal(kept, [True, False, True])
    np.testing.assert_array_equal(fit, xy[:, kept])
    np.testing.assert_array_equal(test, xy[:1, kept])
    assert metrics.fill_missing(xy, xy, valid, missing=0.21)[2].all()
    with pytest.raises(ValueError, match='less than 20% of pictures, got 100%'):
        metrics.fill_missing(xy, xy, np.zeros((5, 3)))


def test_a_test_split_without_any_point_gets_the_mean():
    xy = np.arange(30.0).reshape(5, 3, 2)
    _, test, _ = metrics.fill_missing(xy, xy, None, np.zeros((5, 3)))
    np.testing.assert_array_equal(test, np.tile(xy.mean(axis=0), (5, 1, 1)))
    one, _, _ = metrics.fill_missing(xy[:1], xy)
    np.testing.assert_array_equal(one, xy[:1])


def test_bad_input():
    xy = np.zeros((4, 3, 2))
    with pytest.raises(ValueError, match=r'got \(4, 3, 2\) and \(4, 2, 2\)'):
        metrics.fill_missing(xy, xy[:, :2])
    with pytest.raises(ValueError, match='finite fit points, got 6 that'):
        metrics.fill_missing(xy[:2] * np.nan, xy)
    for predicted, annotated in (
        (xy[:3], xy),
        (xy[0], xy[0]),
        (xy[:0], xy[:0]),
        (xy[:, :0], xy),
        (xy[..., :1], xy),
    ):
        with pytest.raises(ValueError, match='wanted'):
            points.checked(metrics.Landmarks(predicted, annotated))


def test_points_per_image():
    assert metrics.points_per_image([[True, False], [True, True]]) == 1.5
    assert metrics.points_per_image(np.zeros((3, 2))) == 0
    with pytest.raises(ValueError, match=r'got \(0, 2\)'):
        metrics.points_per_image(np.zeros((0, 2)))

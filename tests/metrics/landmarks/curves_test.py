import numpy as np
import pytest

from kpdiscovery import metrics

ERRORS = np.array([[6.0, 1.0, np.nan, 2.0], [2.0, 3.0, np.nan, np.nan]])


def test_cumulative_error_by_hand():
    # Landmarks: 4, 2, none, 2. Images: 3 and 2.5. Points: 1, 2, 2, 3, 6.
    np.testing.assert_allclose(metrics.cumulative_error(ERRORS), [2, 2, 8 / 3])
    got = metrics.cumulative_error(ERRORS, over='images')
    np.testing.assert_allclose(got, [2.5, 2.75])
    got = metrics.cumulative_error(ERRORS, over='points')
    np.testing.assert_allclose(got, [1, 1.5, 5 / 3, 2, 2.8])


def test_fraction_within_by_hand():
    got = metrics.fraction_within(ERRORS, [0, 1, 2, 5.9, 6])
    np.testing.assert_allclose(got, [0, 0.2, 0.6, 0.8, 1])
    got = metrics.fraction_within(ERRORS, [1.9, 2, 4], over='landmarks')
    np.testing.assert_allclose(got, [0, 2 / 3, 1])
    got = metrics.fraction_within(ERRORS, [2.5, 2.9, np.inf], over='images')
    np.testing.assert_allclose(got, [0.5, 0.5, 1])


@pytest.mark.parametrize('over', ['landmarks', 'images', 'points'])
def test_order_does_not_matter_and_the_end_is_the_mean(over):
    errors = np.random.default_rng(0).exponential(size=(30, 7))
    want = metrics.cumulative_error(errors, over=over)
    got = metrics.cumulative_error(errors[::-1, [3, 1, 0, 2, 6, 5, 4]], over=over)
    np.testing.assert_allclose(got, want)
    assert want[-1] == pytest.approx(errors.mean())
    assert (np.diff(want) >= 0).all()
    fractions = metrics.fraction_within(errors, np.linspace(0, 9, 50), over=over)
    assert (np.diff(fractions) >= 0).all()


def test_one_picture_and_equal_errors():
    np.testing.assert_allclose(metrics.cumulative_error([[5.0, 5.0]]), [5, 5])
    got = metrics.cumulative_error([[5.0, 5.0]], over='images')
    np.testing.assert_allclose(got, [5])


def test_bad_input():
    for curve in (metrics.cumulative_error, lambda e: metrics.fraction_within(e, [1])):
        with pytest.raises(ValueError, match=r'got 0 of \(2, 3\)'):
            curve(np.full((2, 3), np.nan))
        with pytest.raises(ValueError, match=r'got 3 of \(3,\)'):
            curve(np.ones(3))
        for bad in (-1, np.inf):
            with pytest.raises(ValueError, match='finite errors >= 0'):
                curve([[bad, 1.0]])
    with pytest.raises(ValueError, match="got 'pixels'"):
        metrics.cumulative_error(ERRORS, over='pixels')
    with pytest.raises(ValueError, match='thresholds'):
        metrics.fraction_within(ERRORS, [np.nan])

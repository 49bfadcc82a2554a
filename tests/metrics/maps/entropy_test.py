import numpy as np
import pytest

from kpdiscovery import metrics


def channel(*values):
    """A 7 x 7 map that starts with these cells."""
    flat = np.zeros(49)
    flat[: len(values)] = values
    return flat.reshape(7, 7)


def test_the_reference():
    maps = [channel(*[3] * 49), channel(*[0.2] * 4), channel(9), channel(5, 2)]
    got = metrics.feature_map_entropy(np.stack(maps, axis=-1)[None])
    np.testing.assert_allclose(got, [[3.891820, 1.386294, 0, 0.598270]], atol=1e-6)


def test_nothing_is_not_measured_and_places_do_not_matter(rng):
    maps = rng.random((2, 3, 5, 4))
    maps[1, ..., 2] = 0
    got = metrics.feature_map_entropy(maps)
    np.testing.assert_array_equal(
        np.isnan(got), [[False] * 4, [False] * 2 + [True, False]]
    )
    turned = metrics.feature_map_entropy(4 * maps[:, ::-1, ::-1])
    np.testing.assert_allclose(turned, got, rtol=1e-5)
    assert np.nanmax(got) < np.log(15)


def test_bad_input():
    with pytest.raises(ValueError, match=r'\[N, h, w, C\], got \(7, 7\)'):
        metrics.feature_map_entropy(channel(1))
    for bad in (-1.0, np.nan):
        with pytest.raises(ValueError, match='finite features >= 0, got'):
            metrics.feature_map_entropy(np.full((1, 2, 2, 1), bad))

import numpy as np
import pytest

from kpdiscovery import metrics

MAP = np.array([[[0.95, 0.65], [0.35, 0.05]]])
TOP = np.array([[[1, 1], [0, 0]]])


@pytest.mark.parametrize('normalize', [True, False])
def test_the_reference(normalize):
    measure = lambda maps, mask: metrics.pixel_average_precision(
        maps, mask, step=0.1, size=2, normalize=normalize
    )
    assert measure(MAP, TOP) == 100
    assert measure(MAP, TOP.swapaxes(1, 2)) == pytest.approx(250 / 3)
    assert measure(MAP, 1 - TOP) == pytest.approx(125 / 3)
    ones = np.ones((1, 2, 2))
    assert measure(ones, np.array([[[1, 0], [0, 0]]])) == 25
    assert measure(ones * np.nan, np.array([[[1, 0], [0, 0]]])) == 25


def test_against_a_loop_over_bins(rng):
    maps, masks = rng.random((3, 9, 9)), rng.random((3, 9, 9)) < 0.3
    ignore = rng.random((3, 9, 9)) < 0.2
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    bins = ((maps - low) / (high - low) / 0.05 + 1e-9).astype(int)
    score, truth = bins[~ignore], masks[~ignore]
    want, before = 0.0, 0.0
    for lowest in range(20, -1, -1):
        kept = score >= lowest
        if kept.any():
            recall = truth[kept].sum() / truth.sum()
            want += truth[kept].mean() * (recall - before)
            before = recall
    got = metrics.pixel_average_precision(maps, masks, ignore, step=0.05, size=9)
    assert got == pytest.approx(100 * want)


def test_close_to_scikit_learn(rng):
    ranked = pytest.importorskip('sklearn.metrics')
    maps = rng.random((4, 30, 30))
    masks = rng.random(maps.shape) < maps
    got = metrics.pixel_average_precision(maps, masks, size=30, normalize=False)
    want = ranked.average_precision_score(masks.ravel(), maps.ravel())
    assert got == pytest.approx(100 * want, abs=0.3)


def test_masks_and_maps_of_other_sizes(rng):
    masks = np.zeros((2, 40, 40))
    masks[:, 10:30, 10:30] = 0.9
    coarse = masks.reshape(2, 8, 5, 8, 5).mean(axis=(2, 4))
    assert metrics.pixel_average_precision(coarse, masks) > 95
    assert metrics.pixel_average_precision(1 - coarse, masks) < 30
    scaled = metrics.pixel_average_precision(8 * coarse - 4, masks)
    assert scaled == metrics.pixel_average_precision(coarse, masks)


def test_ignored_pixels_do_not_count():
    ignore = np.array([[[0, 1], [0, 0]]])
    left = TOP.swapaxes(1, 2)
    got = metrics.pixel_average_precision(MAP, left, ignore, step=0.1, size=2)
    assert got == 100


def test_bad_input():
    with pytest.raises(ValueError, match=r'\[1, H, W\], got \(2, 2\)'):
        metrics.pixel_average_precision(MAP, TOP[0])
    with pytest.raises(ValueError, match=r'got \(1, 2, 2\) and \(1, 2, 1\)'):
        metrics.pixel_average_precision(MAP, TOP, np.zeros((1, 2, 1)))
    with pytest.raises(ValueError, match=r'got \(2, 2, 2\)'):
        metrics.pixel_average_precision(MAP, np.concatenate([TOP, TOP]))
    with pytest.raises(ValueError, match=r'masks in \[0, 1\], got 0..255'):
        metrics.pixel_average_precision(MAP, 255 * TOP)
    with pytest.raises(ValueError, match=r'maps in \[0, 1\], got -'):
        metrics.pixel_average_precision(MAP - 1, TOP, normalize=False)
    with pytest.raises(ValueError, match='pixels of an object that count, got none'):
        metrics.pixel_average_precision(MAP, 0 * TOP)
    with pytest.raises(ValueError, match=r'\(0, 1\), got 0'):
        metrics.pixel_average_precision(MAP, TOP, step=0)

"""How well score maps rank pixels of the object before the others: PxAP."""

from __future__ import annotations

import numpy as np

from kpdiscovery.metrics.maps import score_maps
from kpdiscovery.types import Array


def pixel_average_precision(
    maps: Array,
    masks: Array,
    ignore: Array | None = None,
    *,
    step: float = 0.001,
    size: int = 224,
    normalize: bool = True,
) -> float:
    """PxAP: area under precision over recall of the pixels of all pictures, in %.

    Scores are counted in bins of width `step` (1 itself in a bin of its own), and each
    bin's precision is weighted by the recall it adds, from the top. No interpolation.

    Args:
        maps: `[N, h, w]` scores, resized by the cubic; zeros where a map has NaN.
        masks: `[N, H, W]` bool, or numbers in [0, 1] of which those above .5 are the
            object; of any size, taken to `size` by the nearest pixel.
        ignore: `[N, H, W]` bool, pixels that do not count; None for none.
        step: .001 (WSOL), or .01 (the paper's later code).
        size: side in pixels at which pixels are counted.
        normalize: stretches every map to [0, 1] (the protocol); else they are taken as
            they are, in [0, 1] (what the cubic overshoots is cut off).

    Raises:
        ValueError: shapes do not fit, values out of [0, 1], bad `step`, or no pixel of
            an object.

    Source: [choe2020], PxAP.
    """
    maps, masks, ignore = _inputs(maps, masks, ignore, normalize)
    edges = np.concatenate([score_maps.thresholds(step), [1.0, 2.0, 3.0]])
    counts = np.zeros((2, len(edges) - 1))  # Of the ground and of objects.
    for score, mask, skip in zip(maps, masks, ignore, strict=True):
        score = _scores(score, size, normalize)
        inside, out = (score_maps.resize_nearest(m, size) for m in (mask, skip))
        for kind, here in enumerate((~inside, inside)):
            counts[kind] += np.histogram(score[here & ~out], bins=edges)[0]
    return _area(*counts)


def _inputs(maps, masks, ignore, normalize):
    maps, masks = score_maps.check_maps(maps), np.asarray(masks)
    ignore = np.zeros(masks.shape, bool) if ignore is None else np.asarray(ignore, bool)
    if masks.ndim != 3 or len(masks) != len(maps) or ignore.shape != masks.shape:
        raise ValueError(
            f'wanted masks and ignore [{len(maps)}, H, W], got {masks.shape} and '
            f'{ignore.shape}'
        )
    checks = {'masks': masks} if normalize else {'masks': masks, 'maps': maps}
    for name, values in checks.items():
        if values.min() < 0 or values.max() > 1:  # NaN is neither: a map of nothing.
            raise ValueError(
                f'wanted {name} in [0, 1], got {values.min()}..{values.max()}'
            )
    return maps, masks > 0.5, ignore


def _scores(score: Array, size: int, normalize: bool) -> Array:
    if normalize:
        return score_maps.resize_stretched(score, size)
    score = score_maps.resize_cubic(score, size)
    return np.clip(score, 0, 1) if np.isfinite(score).all() else np.zeros_like(score)


def _area(ground: Array, objects: Array) -> float:
    if not objects.any():
        raise ValueError('wanted pixels of an object that count, got none')
    true, false = (np.cumsum(count[::-1]) for count in (objects, ground))
    precision = true / np.maximum(true + false, 1)
    return float(100 * (precision * objects[::-1]).sum() / true[-1])

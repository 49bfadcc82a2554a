"""Score maps as the WSOL protocol reads them: 224 x 224, [0, 1], 256 levels.

Source: [choe2020].
"""

from __future__ import annotations

import functools
import math

import numpy as np

from kpdiscovery.types import Array

_SHARPNESS = -0.75  # The cubic's free parameter; Pillow and jax.image take -0.5.


def check_maps(maps: Array) -> Array:
    """Maps as numpy, floats of the precision they have.

    Raises:
        ValueError: no `[N, H, W]`, or none at all.
    """
    maps = np.asarray(maps)
    if maps.ndim != 3 or 0 in maps.shape:
        raise ValueError(f'wanted maps [N, H, W], got {maps.shape}')
    wide = np.issubdtype(maps.dtype, np.floating) and maps.dtype.itemsize >= 4
    return maps if wide else maps.astype(np.float32)


def resize_cubic(score_map: Array, size: int) -> Array:
    """`[H, W]` -> `[size, size]`, cubic as OpenCV's INTER_CUBIC; may overshoot.

    Pixel centres are aligned by edges, the border is repeated, and nothing is averaged
    when it shrinks.
    """
    if score_map.shape == (size, size):
        return score_map
    rows, columns = (_cubic(side, size) for side in score_map.shape)
    return (rows @ score_map @ columns.T).astype(score_map.dtype)


def min_max(score_map: Array) -> Array:
    """The map stretched to [0, 1]; zeros where it is constant or not finite."""
    low, high = score_map.min(), score_map.max()
    if not np.isfinite(high - low) or high <= low:
        return np.zeros_like(score_map)
    stretched = score_map - low
    return stretched / stretched.max()


def resize_stretched(score_map: Array, size: int) -> Array:
    """`min_max` of `resize_cubic`, whose rounding would be contrast in a constant map."""
    if score_map.min() == score_map.max():
        return np.zeros((size, size), score_map.dtype)
    return min_max(resize_cubic(score_map, size))


def levels(score_map: Array) -> Array:
    """A map of [0, 1] as uint8, cut off, not rounded."""
    return (255 * score_map).astype(np.uint8)


def resize_nearest(mask: Array, size: int) -> Array:
    """`[H, W]` -> `[size, size]` as OpenCV's INTER_NEAREST: left upper pixels."""
    rows, columns = (np.arange(size) * side // size for side in mask.shape)
    return mask[rows[:, None], columns]


@functools.lru_cache(maxsize=16)
def _cubic(side: int, size: int) -> Array:
    """Weights of the `side` pixels in each of the `size` new ones, `[size, side]`."""
    place = (np.arange(size) + 0.5) * (side / size) - 0.5
    first = np.floor(place).astype(int)
    weights = np.zeros((size, side))
    for tap in range(-1, 3):
        distance = np.abs(place - first - tap)
        pixel = np.clip(first + tap, 0, side - 1)
        np.add.at(weights, (np.arange(size), pixel), _kernel(distance))
    return weights


def _kernel(distance: Array) -> Array:
    """Keys' cubic at distances of at most 2."""
    a, d = _SHARPNESS, distance
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * (d**3 - 5 * d**2 + 8 * d - 4)
    return np.where(d <= 1, near, far)


def thresholds(step: float) -> Array:
    """Shares of a map's maximum from 0 below 1, `[T]`: 1000 for a step of .001.

    Raises:
        ValueError: `step` is not in (0, 1).
    """
    if not (math.isfinite(step) and 0 < step < 1):
        raise ValueError(f'step must be in (0, 1), got {step}')
    return np.arange(0, 1, step)

"""How much boxes overlap."""

from __future__ import annotations

import numpy as np

from kpdiscovery.types import Array


def intersection_over_union(one: Array, two: Array) -> Array:
    """Of boxes (x0, y0, x1, y1), `[..., 4]` and `[..., 4]`: what they broadcast to.

    float64 in [0, 1]; 0 where both boxes are empty.
    """
    one, two = np.asarray(one, np.float64), np.asarray(two, np.float64)
    sides = [  # An axis of two is slow to reduce.
        np.minimum(one[..., i + 2], two[..., i + 2])
        - np.maximum(one[..., i], two[..., i])
        for i in (0, 1)
    ]
    shared = np.maximum(sides[0], 0) * np.maximum(sides[1], 0)
    union = _area(one) + _area(two) - shared
    return np.where(union > 0, shared / np.where(union > 0, union, 1), 0.0)


def boxes_around(xy: Array, size: Array | float) -> Array:
    """Boxes `[..., 4]` of a side, or sides (w, h) `[..., 2]`, around points `[..., 2]`."""
    return np.concatenate([xy - size / 2, xy + size / 2], axis=-1)


def _area(boxes):
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])

"""Lengths that errors are divided by, one a picture, read off the annotated points.

Each function gives the length `[N]` in pixels and whether it can be had, `[N]` bool: 1.0
and False where it cannot, so `visible & usable[:, None]` are the landmarks to measure. A
constant needs no function: the number itself does.
"""

from __future__ import annotations

import numpy as np

from kpdiscovery.metrics.landmarks.points import masked_points
from kpdiscovery.types import Array


def joint_distance(
    xy: Array, visible: Array | None = None, *, joints: tuple[int, int]
) -> tuple[Array, Array]:
    """Distance of two annotated points, usable where both are visible and apart.

    Args:
        xy: `[N, T, 2]` pixels.
        visible: `[N, T]` bool; None for all.
        joints: the two points, 0..T-1; shoulders 25 and 17 of Human3.6M's 32.

    Raises:
        ValueError: shapes do not fit, or there is no such joint.

    Source: [mallis-thesis], chapters 5 and 6.
    """
    xy, visible = _pictures(xy, visible)
    if not all(0 <= joint < xy.shape[1] for joint in joints):
        raise ValueError(f'wanted joints in 0..{xy.shape[1] - 1}, got {joints}')
    one, two = joints
    length = np.linalg.norm(xy[:, one] - xy[:, two], axis=-1)
    return _usable(length, visible[:, one] & visible[:, two])


def inter_ocular(
    xy: Array, visible: Array | None = None, *, eyes: tuple[int, int] = (0, 1)
) -> tuple[Array, Array]:
    """Distance of the eyes: points 0 and 1 of 5; [mallis-thesis] takes 41 and 46 of 68."""
    return joint_distance(xy, visible, joints=eyes)


def annotated_extent(xy: Array, visible: Array | None = None) -> tuple[Array, Array]:
    """sqrt(h w) of the smallest box around the visible points; usable where > 0.

    Args and errors as in `joint_distance`. Source: LS3D-W in [mallis-thesis].
    """
    xy, visible = _pictures(xy, visible)
    seen = visible[..., None]
    low = xy.min(axis=1, where=seen, initial=np.inf)
    high = xy.max(axis=1, where=seen, initial=-np.inf)
    some = visible.any(axis=1)
    sides = np.where(some[:, None], high, 0) - np.where(some[:, None], low, 0)
    return _usable(np.sqrt(sides.prod(axis=1)), some)


def box_length(
    boxes: Array, valid: Array | None = None, *, side: str
) -> tuple[Array, Array]:
    """Length of a picture's true box, the first that is valid; usable where > 0.

    Args:
        boxes: `[N, B, 4]` (x0, y0, x1, y1) pixels.
        valid: `[N, B]` bool; None for all.
        side: 'longer', or 'mean' for sqrt(w h).

    Raises:
        ValueError: shapes do not fit, or another `side`.

    Source: critters (longer); PennAction in [mallis-thesis], chapter 6 (mean).
    """
    boxes = np.asarray(boxes, np.float64)
    valid = np.ones(boxes.shape[:2], bool) if valid is None else np.asarray(valid, bool)
    if boxes.ndim != 3 or boxes.shape != (*valid.shape, 4) or not boxes.shape[1]:
        raise ValueError(f'wanted boxes [N, B, 4], got {boxes.shape}, {valid.shape}')
    if side not in ('longer', 'mean'):
        raise ValueError(f"side must be 'longer' or 'mean', got {side!r}")
    first = boxes[np.arange(len(boxes)), valid.argmax(axis=1)]
    some: Array = valid.any(axis=1)
    sides = np.where(some[:, None], first[:, 2:] - first[:, :2], 0.0)
    length = sides.max(axis=1) if side == 'longer' else np.sqrt(sides.prod(axis=1))
    return _usable(length, some)


def lengths(normalizer: Array | float, used: Array) -> Array:
    """A normaliser of L pictures, `[L]`; 1 where not used.

    Raises:
        ValueError: another shape, or not > 0 and finite in a picture that is used.
    """
    scale = np.asarray(normalizer, np.float64)
    if scale.shape not in ((), used.shape):
        raise ValueError(f'wanted a normalizer {used.shape} or one, got {scale.shape}')
    scale = np.where(used, scale, 1.0)
    if not ((scale > 0) & np.isfinite(scale)).all():
        raise ValueError(f'wanted normalizer > 0, got {scale.min()}..{scale.max()}')
    return scale


def _pictures(xy: Array, visible: Array | None) -> tuple[Array, Array]:
    xy, visible = masked_points(xy, visible, name='annotated')
    if xy.ndim != 3:
        raise ValueError(f'wanted annotated points [N, T, 2], got {xy.shape}')
    return xy, visible


def _usable(length: Array, there: Array) -> tuple[Array, Array]:
    usable = there & (length > 0)
    return np.where(usable, length, 1.0), usable

"""Boxes of the WSOL protocol: whole pixels, both ends inside, cut off to integers.

Elsewhere boxes are (i - .5, j + .5) around pixels i..j; `to_protocol` is the way in.
"""

from __future__ import annotations

import numpy as np

from kpdiscovery.metrics.boxes import intersection_over_union
from kpdiscovery.types import Array

_DECIMALS = 3  # Of annotated pixels: float32 noise must not cost a whole one.


def inclusive_overlap(boxes: Array, truth: Array) -> Array:
    """Intersection over union of inclusive boxes: `[n, 4]`, `[m, 4]` -> `[n, m]`.

    (x0, y0, x1, y1) has x1 - x0 + 1 columns. float64 in [0, 1].

    Raises:
        ValueError: other shapes.
    """
    one, two = (np.asarray(b, np.float64) for b in (boxes, truth))
    if one.ndim != 2 or two.ndim != 2 or {one.shape[1], two.shape[1]} != {4}:
        raise ValueError(
            f'wanted boxes [n, 4] and [m, 4], got {one.shape}, {two.shape}'
        )
    last = np.array([0, 0, 1, 1])  # The ends are inside.
    return intersection_over_union(one[:, None] + last, two[None] + last)


def resize_boxes(boxes: Array, image_size: Array, *, to: int = 224) -> Array:
    """Boxes `[..., 4]` of pictures (H, W) on a square of side `to`: int64, cut off.

    Args:
        boxes: pixels counted from the picture's edge.
        image_size: (H, W), or `[..., 2]` of the same leading axes.
        to: pixels.

    Raises:
        ValueError: shapes do not fit, or a size that is not > 0.
    """
    boxes, size = np.asarray(boxes, np.float64), np.asarray(image_size, np.float64)
    if boxes.shape[-1:] != (4,) or size.shape[-1:] != (2,) or not (size > 0).all():
        raise ValueError(
            f'wanted boxes [..., 4] and sizes (H, W) > 0, got {boxes.shape} and '
            f'{size.tolist() if size.size < 9 else size.shape}'
        )
    return (boxes * to / np.tile(size[..., ::-1], 2)).astype(np.int64)


def to_protocol(
    boxes: Array, valid: Array | None, image_size: Array, *, to: int
) -> tuple[Array, Array]:
    """House boxes as the protocol has them: counted from the picture's edge.

    Pixels i..j become (i, j + 1), as annotations give a corner and a width, and as a
    contour's box is read; so a perfect one overlaps by 1.

    Args:
        boxes: `[N, M, 4]` pixels, (i - .5, j + .5) around pixels i..j.
        valid: `[N, M]` bool; None for all.
        image_size: (H, W) of the pictures, or `[N, 2]`.
        to: side of the square, pixels.

    Returns:
        `[N, M, 4]` int64, zeros where not valid, and `[N, M]` bool.

    Raises:
        ValueError: shapes do not fit, no box is valid, or one that is has a side < 0 or
            is not finite.
    """
    boxes = np.asarray(boxes, np.float64)
    there = np.ones(boxes.shape[:2], bool) if valid is None else np.asarray(valid, bool)
    if boxes.ndim != 3 or boxes.shape != (*there.shape, 4):
        raise ValueError(
            f'wanted boxes [N, M, 4] and valid [N, M], got {boxes.shape}, {there.shape}'
        )
    if not there.any():
        raise ValueError(f'wanted true boxes, got none in {len(boxes)} pictures')
    used = boxes[there]
    bad = ~(np.isfinite(used).all(axis=1) & (used[:, 2:] >= used[:, :2]).all(axis=1))
    if bad.any():
        raise ValueError(f'wanted x0 <= x1 and y0 <= y1, got {used[bad][0].tolist()}')
    edges = np.round(np.where(there[..., None], boxes + 0.5, 0), _DECIMALS)
    size = np.asarray(image_size)
    if size.shape not in ((2,), (len(boxes), 2)):
        raise ValueError(f'wanted image_size (H, W) or [N, 2], got {size.shape}')
    return resize_boxes(edges, size.reshape(-1, 1, 2), to=to), there

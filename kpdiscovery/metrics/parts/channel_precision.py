"""Average precision of every channel as a detector of every annotated part.

Candidates of a channel are ranked over all pictures by score. Each is assigned to the
closest instance of the part in its picture, and right if that is within reach and no
better one has it (PASCAL VOC). Equal scores count together, so that the order of pictures
does not matter. Which channel stands for a part is to be chosen on pictures that are not
measured.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kpdiscovery.metrics.boxes import boxes_around, intersection_over_union
from kpdiscovery.metrics.detectors import average_precisions
from kpdiscovery.metrics.landmarks.normalizers import lengths
from kpdiscovery.metrics.landmarks.points import masked_points
from kpdiscovery.metrics.parts.candidates import Candidates, stand_out
from kpdiscovery.types import Array


def channel_average_precision(
    candidates: Candidates, points: Array, visible: Array, reach: Array | float
) -> Array:
    """Average precision of channels by the distance of their peaks from the points.

    Args:
        candidates: `[N, C, P]`.
        points: `[N, T, 2]` pixels, or `[N, T, G, 2]` of G instances of each part.
        visible: `[N, T]` or `[N, T, G]` bool; those that are not are not there.
        reach: `[N]` or one number, pixels; itself counts.

    Returns:
        `[C, T]` float64 in [0, 1]; NaN for parts that are nowhere visible.

    Raises:
        ValueError: shapes do not fit, a visible point is not finite, or a reach is not
            > 0.
    """
    points, visible = masked_points(points, visible, name='annotated')
    if points.ndim == 3:
        points, visible = points[:, :, None], visible[:, :, None]
    _check(candidates, visible, f'points [N, T, 2] or [N, T, G, 2], got {points.shape}')
    limit = lengths(reach, np.ones(len(points), bool))[:, None, None, None] ** 2
    points, there = _instances_first(points), _instances_first(visible)

    def look(xy, score):
        gap = [(xy[:, None, :, None, i] - points[..., i]) ** 2 for i in (0, 1)]
        close = np.where(there, limit - gap[0] - gap[1], -np.inf)
        return close, (score > 0)[..., None]

    return _table(candidates, visible.sum(axis=(0, 2)), look)


def channel_box_precision(
    candidates: Candidates,
    boxes: Array,
    valid: Array,
    anchors: Array,
    *,
    overlap: float = 0.5,
    suppress: float = 0.3,
) -> Array:
    """Average precision of channels by the overlap of boxes around their peaks.

    For part t a peak is a box of the size `anchors[t]` around it, not cut at the
    picture's edge; of a channel's boxes in a picture those go that overlap a better one
    that stays by more than `suppress`.

    Args:
        candidates: `[N, C, P]`.
        boxes: `[N, T, G, 4]` (x0, y0, x1, y1) pixels, G instances of each part.
        valid: `[N, T, G]` bool.
        anchors: `[T, 2]` (w, h) pixels, such as `mean_part_sides`; NaN: not known.
        overlap: intersection over union at which a box is right.
        suppress: intersection over union.

    Returns:
        `[C, T]` float64 in [0, 1]; NaN for parts without a box or an anchor.

    Raises:
        ValueError: shapes do not fit, an anchor is not > 0, or an option is not in
            (0, 1].

    Source: [guo2020], section 4.1; the size is our choice.
    """
    boxes, valid = np.asarray(boxes, np.float64), np.asarray(valid, bool)
    anchors = np.asarray(anchors, np.float64)
    _check(candidates, valid, f'boxes [N, T, G, 4], got {boxes.shape}')
    _check_boxes(boxes, valid, anchors, overlap, suppress)
    known = np.isfinite(anchors).all(axis=1)
    size = np.where(known[:, None], anchors, 1.0)
    corners, there = _instances_first(boxes), _instances_first(valid)

    def look(xy, score):
        around = boxes_around(xy[:, None, :, None], size)
        near = intersection_over_union(around, corners)
        counted = stand_out(xy, score, size, overlap=suppress)
        return np.where(there, near - overlap, -np.inf), counted

    return _table(candidates, valid.sum(axis=(0, 2)) * known, look)


def choose_channels(precision: Array) -> Array:
    """The channel of highest precision for each part: `[C, T]` -> `[T]` int.

    The first of equal ones; -1 for a part whose precision was not measured (NaN).
    """
    precision = np.asarray(precision, np.float64)
    if precision.ndim != 2 or not len(precision):
        raise ValueError(f'wanted precision [C, T], got {precision.shape}')
    measured = ~np.isnan(precision)
    best = np.where(measured, precision, -1).argmax(axis=0)
    return np.where(measured.any(axis=0), best, -1)


def chosen_precision(
    candidates: Candidates, chosen: Array, measure: Callable[[Candidates], Array]
) -> Array:
    """`measure(candidates)` `[C, T]` at the channel of each part, without the others.

    Args:
        candidates: `[N, C, P]`.
        chosen: `[T]` int, -1 for none.
        measure: such as `lambda c: channel_average_precision(c, points, visible, 9)`.

    Returns:
        `[T]` float64; NaN where nothing was chosen, too.
    """
    used, place = np.unique(chosen, return_inverse=True)
    table = measure(Candidates(candidates.xy[:, used], candidates.score[:, used]))
    return np.where(chosen >= 0, table[place, np.arange(len(chosen))], np.nan)


def _table(candidates: Candidates, total: Array, look: Callable) -> Array:
    """`[C, T]`; `look` gives closeness and `counted` as `_matched` has them."""
    out = np.empty((candidates.score.shape[1], len(total)))
    for channel in range(len(out)):
        xy = candidates.xy[:, channel].astype(np.float64)
        score = candidates.score[:, channel]
        close, counted = look(xy, score)
        order = np.argsort(-score, axis=None, kind='stable')[: np.sum(score > 0)]
        flat = [
            mask.reshape(score.size, mask.shape[-1])[order]
            for mask in (_matched(close, counted), counted)
        ]
        ranked = score.ravel()[order]
        out[channel] = average_precisions(flat[0], total, flat[1], ranked)
    return out


def _matched(close: Array, counted: Array) -> Array:
    """The first peak that is closest to an instance and within reach, `[N, P, T]` bool.

    Args:
        close: `[N, G, P, T]`, the more the closer, >= 0 within reach.
        counted: `[N, P, T]` or `[N, P, 1]` bool; peaks are in falling order of score.
    """
    nearest = close.argmax(axis=1) if close.shape[1] > 1 else 0
    hits = np.zeros((close.shape[0], *close.shape[2:]), bool)
    for instance in range(close.shape[1]):
        own = (close[:, instance] >= 0) & (nearest == instance) & counted
        hits |= own & (np.cumsum(own, axis=1) == 1)
    return hits


def _instances_first(values: Array) -> Array:
    """`[N, T, G, ...]` as `[N, G, 1, T, ...]`, to stand beside peaks `[N, 1, P, 1]`."""
    return np.moveaxis(values, 2, 1)[:, :, None]


def _check(candidates: Candidates, there: Array, wanted: str) -> None:
    xy, score = candidates
    if there.ndim != 3 or score.ndim != 3 or xy.shape != (*score.shape, 2):
        raise ValueError(
            f'wanted candidates [N, C, P] and {wanted}; candidates {score.shape}'
        )
    if len(there) != len(score):
        raise ValueError(f'candidates of {len(score)} pictures, parts of {len(there)}')


def _check_boxes(boxes, valid, anchors, overlap, suppress) -> None:
    if boxes.shape != (*valid.shape, 4) or anchors.shape != (valid.shape[1], 2):
        raise ValueError(
            f'wanted boxes [N, T, G, 4], valid [N, T, G] and anchors [T, 2], got '
            f'{boxes.shape}, {valid.shape}, {anchors.shape}'
        )
    if (anchors <= 0).any() or not (0 < overlap <= 1 and 0 < suppress <= 1):
        raise ValueError(
            f'wanted anchors > 0 and overlaps in (0, 1], got {np.nanmin(anchors)}, '
            f'{overlap} and {suppress}'
        )

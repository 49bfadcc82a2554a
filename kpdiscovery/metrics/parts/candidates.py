"""Peaks of part channels and annotated parts, as arrays with an axis a channel or part."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kpdiscovery.metrics.landmarks.points import masked_points
from kpdiscovery.metrics.landmarks.slot_features import rank_in_label
from kpdiscovery.types import Array, Keypoints


class Candidates(NamedTuple):
    """Up to P places where each of C channels may have found something, best first."""

    xy: Array  # [N, C, P, 2] float32 pixels, zeros where there is none.
    score: Array  # [N, C, P] float32, 0 where there is none.


def group_candidates(keypoints: Keypoints, num_labels: int) -> Candidates:
    """All keypoints of each label by falling score; P is the most of one in a picture.

    Args:
        keypoints: leaves `[N, K]` (`xy` `[N, K, 2]`), of any layout. A label -1 or a
            score <= 0 is none; `valid` says what to show and is not looked at.
        num_labels: C, labels are 0..C-1.

    Raises:
        ValueError: shapes do not fit, a label not below `num_labels`, or a candidate or
            the score of a label that is not finite.
    """
    label, score = np.asarray(keypoints.label), np.asarray(keypoints.score, np.float32)
    if label.ndim != 2 or score.shape != label.shape:
        raise ValueError(
            f'wanted label and score [N, K], got {label.shape} and {score.shape}'
        )
    if not np.isfinite(score[label >= 0]).all():
        raise ValueError('wanted finite scores of all labels, got others')
    used = (label >= 0) & (score > 0)
    xy, _ = masked_points(keypoints.xy, used, name='candidate')
    if label.max(initial=-1, where=used) >= num_labels:
        raise ValueError(f'labels must be below {num_labels}, got {label[used].max()}')
    label = np.where(used, label, num_labels)
    rank = rank_in_label(label, -score)
    return Candidates(
        _grouped(xy.astype(np.float32), label, rank, num_labels),
        _grouped(score, label, rank, num_labels),
    )


def group_part_boxes(boxes: Array, label: Array, num_parts: int) -> tuple[Array, Array]:
    """Boxes of each part; G is the most of one part in a picture.

    Args:
        boxes: `[N, M, 4]` (x0, y0, x1, y1) pixels.
        label: `[N, M]` int, the part; -1 is none.
        num_parts: T, parts are 0..T-1.

    Returns:
        `[N, T, G, 4]` float64, zeros where there is none, and `[N, T, G]` bool.

    Raises:
        ValueError: shapes do not fit, a part not below `num_parts`, or a box that is not
            finite with sides > 0.
    """
    boxes, label = np.asarray(boxes, np.float64), np.asarray(label)
    if label.ndim != 2 or boxes.shape != (*label.shape, 4):
        raise ValueError(
            f'wanted boxes [N, M, 4] and label [N, M], got {boxes.shape} and '
            f'{label.shape}'
        )
    if label.max(initial=-1) >= num_parts:
        raise ValueError(f'parts must be below {num_parts}, got {label.max()}')
    real = boxes[label >= 0]
    if not (np.isfinite(real).all() and (real[:, 2:] > real[:, :2]).all()):
        raise ValueError('wanted finite part boxes with sides > 0, got others')
    label = np.where(label >= 0, label, num_parts)
    rank = rank_in_label(label)
    there = np.ones(label.shape, bool)
    return (
        _grouped(boxes, label, rank, num_parts),
        _grouped(there, label, rank, num_parts),
    )


def mean_part_sides(boxes: Array, valid: Array) -> Array:
    """Mean (w, h) of each part's boxes in pixels, `[T, 2]`; NaN where there are none.

    Args:
        boxes: `[N, T, G, 4]` pixels.
        valid: `[N, T, G]` bool.
    """
    boxes, valid = np.asarray(boxes, np.float64), np.asarray(valid, bool)
    sides = np.where(valid[..., None], boxes[..., 2:] - boxes[..., :2], 0)
    count = valid.sum(axis=(0, 2))[:, None]
    total = sides.sum(axis=(0, 2))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def stand_out(xy: Array, score: Array, size: Array, *, overlap: float) -> Array:
    """Candidates whose box no better one suppresses, for each of T sizes, greedily.

    Args:
        xy: `[N, P, 2]` pixels, best first.
        score: `[N, P]`, 0 where there is none.
        size: `[T, 2]` (w, h) pixels.
        overlap: intersection over union above which the worse of two goes.

    Returns:
        `[N, P, T]` bool.
    """
    kept = np.repeat((score > 0)[..., None], len(size), axis=2)
    for peak in range(1, kept.shape[1]):
        gap = np.abs(xy[:, :peak] - xy[:, peak, None])[:, :, None]  # [N, better, 1, 2].
        sides = [np.maximum(size[:, i] - gap[..., i], 0) for i in (0, 1)]
        shared = sides[0] * sides[1]
        close = shared > overlap * (2 * size.prod(axis=-1) - shared)
        kept[:, peak] &= ~(close & kept[:, :peak]).any(axis=1)
    return kept


def _grouped(values: Array, label: Array, rank: Array, count: int) -> Array:
    """`[N, K, ...]` as `[N, count, P, ...]`, zeros where there is none; P >= 1."""
    row, place = np.nonzero(label < count)
    own, at = label[row, place], rank[row, place]
    most = int(at.max(initial=0)) + 1
    out = np.zeros((len(label), count, most, *values.shape[2:]), values.dtype)
    out[row, own, at] = values[row, place]
    return out

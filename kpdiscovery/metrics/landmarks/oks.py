"""Object keypoint similarity (OKS), and COCO's average precision and recall on it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kpdiscovery.metrics.landmarks.points import masked_points
from kpdiscovery.types import Array

_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10))
_RECALLS = np.linspace(0, 1, 101)


class AveragePrecision(NamedTuple):
    """In [0, 1]; means over the thresholds, and the value at each."""

    precision: float
    recall: float
    precision_at: Array  # [S] float64.
    recall_at: Array  # [S] float64.


def object_keypoint_similarity(
    predicted: Array,
    annotated: Array,
    area: Array,
    sigmas: Array | float,
    valid: Array | None = None,
    visible: Array | None = None,
) -> Array:
    """Mean over an object's visible points of exp(-d^2 / (8 area sigma^2)).

    Args:
        predicted: `[N, D, T, 2]` pixels, D detections a picture.
        annotated: `[N, G, T, 2]` pixels, G objects.
        area: `[N, G]` of the true objects, square pixels; > 0 where a point is visible.
        sigmas: `[T]` or one number, spread of each point's annotation in units of
            sqrt(area); > 0.
        valid: `[N, D, T]` bool; points that were not found have similarity 0.
        visible: `[N, G, T]` bool.

    Returns:
        `[N, D, G]` float64 in [0, 1]; 0 for objects without a visible point.

    Raises:
        ValueError: shapes do not fit, a point that counts is not finite, or an area or
            sigma is not > 0.

    Source: [lin2014], the keypoint challenge.
    """
    predicted, valid = masked_points(predicted, valid, name='predicted')
    annotated, visible = masked_points(annotated, visible, name='annotated')
    area, sigmas = np.asarray(area, np.float64), np.asarray(sigmas, np.float64)
    _check(valid, visible, area, sigmas)
    area = np.where(visible.any(axis=-1), area, 1.0)
    gap = predicted[:, :, None] - annotated[:, None]  # [N, D, G, T, 2]
    spread = 8 * area[:, None, :, None] * sigmas**2
    closeness = np.exp(-(gap**2).sum(axis=-1) / spread)
    counts = visible[:, None]
    total = np.sum(closeness, axis=-1, where=counts & valid[:, :, None])
    return total / np.maximum(counts.sum(axis=-1), 1)


def oks_average_precision(
    predicted: Array,
    annotated: Array,
    area: Array,
    sigmas: Array | float,
    score: Array | None = None,
    valid: Array | None = None,
    visible: Array | None = None,
    *,
    thresholds: tuple[float, ...] = _THRESHOLDS,
) -> AveragePrecision:
    """COCO's average precision and recall of whole objects by their keypoints.

    At each threshold the detections of a picture choose in order of score, each the
    remaining object of highest OKS, and are right if that reaches the threshold.
    Precision, made monotone, is averaged over 101 recalls; recall is the one reached.
    Detections of equal score count together, so their order does not matter: without
    scores precision is about the square of recall. Unlike COCO there are no crowds, no
    classes of size and no limit of 20 detections; an object without a visible point is
    none, and a detection without a point found is none.

    Args:
        predicted: `[N, T, 2]` pixels, one object a picture, or `[N, D, T, 2]`.
        annotated: `[N, T, 2]` pixels or `[N, G, T, 2]`.
        area: `[N]` or `[N, G]` of the true objects, square pixels.
        sigmas: `[T]` or one number, see `object_keypoint_similarity`; [mallis-thesis] does
            not say which (COCO's for its joints, 0.08 elsewhere are our choice).
        score: `[N]` or `[N, D]`, confidence; None for equal ones.
        valid: `[N, T]` or `[N, D, T]` bool, points that were found; None for all.
        visible: `[N, T]` or `[N, G, T]` bool, annotated points that count; likewise.
        thresholds: OKS in (0, 1].

    Raises:
        ValueError: shapes do not fit, there is no object, a point or score that counts
            is not finite, or an area, sigma or threshold is out of range.

    Source: [lin2014]; [mallis-thesis], table 6.11.
    """
    predicted, valid = _objects(predicted, valid, 'predicted')
    annotated, visible = _objects(annotated, visible, 'annotated')
    area = _per_object(area, visible, 'area')
    close = object_keypoint_similarity(
        predicted, annotated, area, sigmas, valid, visible
    )
    there, objects = valid.any(axis=-1), visible.any(axis=-1)
    score = _per_object(
        np.zeros(there.shape) if score is None else score, valid, 'score'
    )
    limits = np.asarray(thresholds, np.float64)
    _check_options(objects, score[there], limits)
    met = _match(close, there, objects, score, limits)[:, there]  # [S, detections]
    curves = [_curve(hits, score[there], int(objects.sum())) for hits in met]
    precision, recall = np.array(curves).T
    return AveragePrecision(
        float(precision.mean()), float(recall.mean()), precision, recall
    )


def _objects(xy: Array, mask: Array | None, name: str) -> tuple[Array, Array]:
    """`[N, T, 2]` as `[N, 1, T, 2]`, and its mask."""
    xy, mask = masked_points(xy, mask, name=name)
    if xy.ndim not in (3, 4):
        raise ValueError(f'wanted {name} [N, T, 2] or [N, D, T, 2], got {xy.shape}')
    return (xy[:, None], mask[:, None]) if xy.ndim == 3 else (xy, mask)


def _per_object(values: Array, mask: Array, name: str) -> Array:
    """`[N]` or `[N, D]` as `[N, D]` float64."""
    values = np.asarray(values, np.float64)
    if values.size != mask[..., 0].size:
        raise ValueError(f'wanted {name} {mask.shape[:2]}, got {values.shape}')
    return values.reshape(mask.shape[:2])


def _check(valid: Array, visible: Array, area: Array, sigmas: Array) -> None:
    if valid.ndim != 3 or visible.ndim != 3 or valid.shape[::2] != visible.shape[::2]:
        raise ValueError(
            'wanted masks of predicted [N, D, T] and annotated [N, G, T], got '
            f'{valid.shape} and {visible.shape}'
        )
    if area.shape != visible.shape[:2] or sigmas.shape not in ((), visible.shape[2:]):
        raise ValueError(
            f'wanted area {visible.shape[:2]} and sigmas {visible.shape[2:]}, got '
            f'{area.shape} and {sigmas.shape}'
        )
    used = area[visible.any(axis=-1)]
    if not ((used > 0).all() and np.isfinite(used).all() and (sigmas > 0).all()):
        raise ValueError(
            f'wanted area and sigmas > 0, got {used.min(initial=np.inf)} and '
            f'{sigmas.min()} at least'
        )


def _check_options(objects: Array, score: Array, limits: Array) -> None:
    if not objects.any():
        raise ValueError('wanted objects with visible points, got none')
    if not np.isfinite(score).all():
        raise ValueError(f'wanted finite scores, got {score[~np.isfinite(score)]}')
    if limits.ndim != 1 or not limits.size or not ((limits > 0) & (limits <= 1)).all():
        raise ValueError(f'wanted thresholds in (0, 1], got {limits}')


def _match(close, there, objects, score, limits) -> Array:
    """Which detections are right at each threshold, `[S, N, D]` bool."""
    free = np.broadcast_to(objects, (len(limits), *objects.shape)).copy()  # [S, N, G]
    met = np.zeros((len(limits), *there.shape), bool)
    picture = np.arange(len(there))
    for turn in np.argsort(-score, axis=1, kind='stable').T:
        offers = np.where(free, close[picture, turn], -1.0)
        best = offers.argmax(axis=-1)  # [S, N]
        hit = offers.max(axis=-1) >= np.minimum(limits, 1 - 1e-10)[:, None]
        hit &= there[picture, turn]
        met[:, picture, turn] = hit
        level, where = np.nonzero(hit)
        free[level, where, best[level, where]] = False
    return met


def _curve(hits: Array, score: Array, total: int) -> tuple[float, float]:
    """Average precision and the recall reached, of detections in any order."""
    order = np.argsort(-score, kind='stable')
    right = np.cumsum(hits[order])
    ends = np.flatnonzero(np.diff(score[order], append=-np.inf))
    precision = right[ends] / (ends + 1)
    recall = right[ends] / total
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    reached = np.searchsorted(recall, _RECALLS)
    return float(envelope[reached].mean()), float(recall.max(initial=0))

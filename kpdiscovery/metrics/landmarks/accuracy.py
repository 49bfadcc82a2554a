"""Share of points within a distance of the truth: PCK, and raw landmarks by matching."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from kpdiscovery.metrics.landmarks.normalizers import lengths
from kpdiscovery.metrics.landmarks.points import Landmarks, checked, frequent_landmarks
from kpdiscovery.types import Array


class Accuracy(NamedTuple):
    """Points that were met, in %."""

    mean: float  # Of all points that count, so frequent ones weigh more.
    per_landmark: Array  # [T] float64, NaN where none counts.


def pck(
    predicted: Array,
    annotated: Array,
    normalizer: Array | float,
    valid: Array | None = None,
    visible: Array | None = None,
    *,
    alpha: float,
) -> Accuracy:
    """Percentage of correct keypoints: those within alpha x normalizer of the truth.

    Args:
        predicted: `[N, T, 2]` pixels, landmark t standing for annotated point t
            (regressed, or matched by `match_landmarks`).
        annotated: `[N, T, 2]` pixels.
        normalizer: `[N]` or one number, pixels, such as the torso (`joint_distance`).
        valid: `[N, T]` bool, points that were found; the others are wrong. None for all.
        visible: `[N, T]` bool, annotated points that count; None for all.
        alpha: share of the normaliser, > 0; the distance itself counts as correct.

    Raises:
        ValueError: shapes do not fit, no annotated point counts, a point that counts is
            not finite, or `normalizer` or `alpha` is not > 0.

    Source: [mallis-thesis], table 6.11 (0.3 of the torso).
    """
    sets = checked(Landmarks(predicted, annotated, valid, visible))
    if sets.valid.shape != sets.visible.shape:
        raise ValueError(
            f'wanted a prediction for every annotated point, got {sets.valid.shape} '
            f'and {sets.visible.shape}'
        )
    if alpha <= 0 or not sets.visible.any():
        raise ValueError(
            f'wanted alpha > 0 and visible points, got {alpha} and '
            f'{sets.visible.sum()} points'
        )
    reach = alpha * lengths(normalizer, sets.visible.any(axis=1))
    distance = np.linalg.norm(sets.predicted - sets.annotated, axis=-1)
    met = sets.valid & sets.visible & (distance <= reach[:, None])
    return _accuracy(met, sets.visible)


def match_landmarks(landmarks: Landmarks, *, missing: float = 0.2) -> Array:
    """The landmark of each annotated point: one-to-one, of least mean distance.

    The Hungarian method on the mean distance in pixels over the pictures where both
    are there.

    Args:
        landmarks: N pictures.
        missing: landmarks missing in that share of pictures or more match nothing, or
            one lucky picture would do.

    Returns:
        `[T]` int64, 0..K-1, -1 for points without a landmark.

    Raises:
        ValueError: shapes do not fit, no landmark is left, or a point that counts is
            not finite.

    Source: [mallis-thesis], tables 5.2 and 6.9 to 6.11.
    """
    sets = checked(landmarks)
    frequent = frequent_landmarks(sets.valid, missing=missing)
    usable = sets.valid & frequent
    columns = [_mean_distance(sets, k, usable[:, k]) for k in range(len(frequent))]
    cost, count = (np.stack(c) for c in zip(*columns, strict=True))  # [K, T] each.
    never = 1 + cost.max() * min(cost.shape)
    found, points = linear_sum_assignment(np.where(count > 0, cost, never))
    met = count[found, points] > 0
    match = np.full(cost.shape[1], -1)
    match[points[met]] = found[met]
    return match


def point_accuracy(
    fit: Landmarks, test: Landmarks, *, distance: float, missing: float = 0.2
) -> Accuracy:
    """Raw accuracy: annotated points with their landmark within `distance` pixels.

    Landmarks are matched to annotated points on `fit` (`match_landmarks`), measured on
    `test`; a point whose landmark was not found, or that has none, is missed.

    Args:
        fit: N pictures.
        test: L pictures with the same landmarks.
        distance: pixels, > 0: 12 at 256 (table 5.2), 6 at 128 (6.10 and 6.11).
        missing: see `match_landmarks`.

    Raises:
        ValueError: shapes do not fit, no landmark or visible point is left, a point
            that counts is not finite, or `distance` is not > 0.

    Source: [mallis-thesis], tables 5.2, 6.10 and 6.11.
    """
    match, test = match_landmarks(fit, missing=missing), checked(test)
    shape = np.shape(fit.predicted)[1], len(match)
    if (test.valid.shape[1], test.visible.shape[1]) != shape:
        raise ValueError(
            f'wanted {shape} predicted and annotated points as in the fit split, got '
            f'{test.predicted.shape} and {test.annotated.shape}'
        )
    valid = test.valid[:, match] & (match >= 0)
    xy = test.predicted[:, match]
    return pck(xy, test.annotated, 1.0, valid, test.visible, alpha=distance)


def precision_recall(
    predicted: Array,
    annotated: Array,
    valid: Array | None = None,
    visible: Array | None = None,
    *,
    distance: float,
) -> dict[str, float]:
    """How many found points meet an annotated one, and the other way round.

    In each picture found and annotated points are paired one to one, so that as many
    pairs as possible are within `distance` and, among those, their sum is least (the
    Hungarian method). Counts are summed over the pictures.

    Args:
        predicted: `[N, K, 2]` pixels, in any order.
        annotated: `[N, T, 2]` pixels.
        valid: `[N, K]` bool, points that were found; None for all.
        visible: `[N, T]` bool, points that count; None for all.
        distance: pixels, > 0; the distance itself counts.

    Returns:
        `precision` (0 where nothing was found), `recall` and their harmonic mean
        `f_score`, in [0, 1].

    Raises:
        ValueError: shapes do not fit, no annotated point counts, a point that counts is
            not finite, or `distance` is not > 0.

    Source: [mallis-thesis], chapters 4 (8 px of 256) and 5 (10 px), figure 2.4.
    """
    sets = checked(Landmarks(predicted, annotated, valid, visible))
    total, found = int(sets.visible.sum()), int(sets.valid.sum())
    if distance <= 0 or total == 0:
        raise ValueError(
            f'wanted distance > 0 and visible points, got {distance} and {total} points'
        )
    met = sum(_pairs(a[v], b[w], distance) for a, b, v, w in zip(*sets, strict=True))
    return {
        'precision': met / max(found, 1),
        'recall': met / total,
        'f_score': 2 * met / (found + total),
    }


def _mean_distance(sets: Landmarks, k: int, usable: Array) -> tuple[Array, Array]:
    """Of landmark k to every annotated point, `[T]`, and over how many pictures."""
    gap = np.linalg.norm(sets.predicted[:, k, None] - sets.annotated, axis=-1)
    both = sets.visible & usable[:, None]
    count = both.sum(axis=0)
    return gap.sum(axis=0, where=both) / np.maximum(count, 1), count


def _pairs(found: Array, points: Array, distance: float) -> int:
    """Most pairs within the distance, `[k, 2]` and `[t, 2]`."""
    gap = np.linalg.norm(found[:, None] - points, axis=-1)
    far = 1 + distance * max(gap.shape)  # Dearer than all near pairs together.
    cost = np.where(gap <= distance, gap, far)
    return int((cost[linear_sum_assignment(cost)] < far).sum())


def _accuracy(met: Array, counted: Array) -> Accuracy:
    total, hits = counted.sum(axis=0), met.sum(axis=0)
    share = np.where(total > 0, 100 * hits / np.maximum(total, 1), np.nan)
    return Accuracy(float(100 * hits.sum() / total.sum()), share)

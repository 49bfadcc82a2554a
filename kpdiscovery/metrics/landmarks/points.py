"""Points with masks: discovered landmarks beside annotated ones, and what is missing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kpdiscovery.metrics.landmarks.completion import complete_matrix
from kpdiscovery.types import Array


class Landmarks(NamedTuple):
    """Discovered and annotated landmarks of the same pictures, in pixels.

    Landmark k is the same thing in every picture; where a mask is None all points count.
    """

    predicted: Array  # [N, K, 2].
    annotated: Array  # [N, T, 2].
    valid: Array = None  # [N, K] bool, predicted landmarks that were found.
    visible: Array = None  # [N, T] bool, annotated landmarks that count.


def masked_points(xy: Array, mask: Array | None, *, name: str) -> tuple[Array, Array]:
    """Points `[..., 2]` as float64 with zeros where they do not count, and the mask.

    Args:
        xy: points; anything, NaN too, where the mask is False.
        mask: bool, one entry a point; None for all.
        name: what the points are called in errors.

    Raises:
        ValueError: no (x, y) in the last axis, another shape of the mask, or a point
            that counts is not finite.
    """
    xy = np.asarray(xy, np.float64)
    counts = np.ones(xy.shape[:-1], bool) if mask is None else np.asarray(mask, bool)
    if xy.ndim < 2 or xy.shape != (*counts.shape, 2):
        raise ValueError(
            f'wanted {name} points [..., 2] and a mask [...], got {xy.shape} and '
            f'{counts.shape}'
        )
    if bad := int((counts & ~np.isfinite(xy).all(axis=-1)).sum()):
        raise ValueError(f'wanted finite {name} points, got {bad} that are not')
    return np.where(counts[..., None], xy, 0.0), counts


def checked(landmarks: Landmarks) -> Landmarks:
    """The same with float64 points, zeros where they do not count, and both masks.

    Raises:
        ValueError: shapes do not fit, there is no picture, or a point that counts is
            not finite.
    """
    predicted, valid = masked_points(
        landmarks.predicted, landmarks.valid, name='predicted'
    )
    annotated, visible = masked_points(
        landmarks.annotated, landmarks.visible, name='annotated'
    )
    if valid.ndim != 2 or visible.ndim != 2 or len(valid) != len(visible):
        raise ValueError(
            'wanted predicted [N, K, 2] and annotated [N, T, 2], got '
            f'{predicted.shape} and {annotated.shape}'
        )
    if 0 in (*valid.shape, *visible.shape):
        raise ValueError(
            f'wanted pictures with points, got {valid.shape} and {visible.shape}'
        )
    return Landmarks(predicted, annotated, valid, visible)


def is_frequent(valid: Array, *, missing: float = 0.2) -> Array:
    """Landmarks missing in less than a share `missing` of pictures, `[N, K]` -> `[K]`."""
    return (~np.asarray(valid, bool)).mean(axis=0) < missing


def frequent_landmarks(valid: Array, *, missing: float) -> Array:
    """`is_frequent` where at least one landmark is.

    Raises:
        ValueError: no landmark is left.
    """
    kept = is_frequent(valid, missing=missing)
    if not kept.any():
        least = (~np.asarray(valid, bool)).mean(axis=0).min(initial=1)
        raise ValueError(
            f'wanted a landmark missing in less than {missing:.0%} of pictures, got '
            f'{least:.0%} at best'
        )
    return kept


def fill_missing(
    fit_xy: Array,
    test_xy: Array,
    fit_valid: Array | None = None,
    test_valid: Array | None = None,
    *,
    missing: float = 0.2,
) -> tuple[Array, Array, Array]:
    """Landmarks without gaps, the rare ones dropped.

    Landmarks missing in `missing` or more of the fit pictures are dropped. Gaps of the
    fit split are filled by `complete_matrix` after each coordinate's mean was taken off
    (own choice), those of the test split by the mean of the fit split's found points.

    Args:
        fit_xy: `[N, K, 2]` pixels.
        test_xy: `[L, K, 2]` pixels.
        fit_valid: `[N, K]` bool, found points; None for all.
        test_valid: `[L, K]` bool, likewise.
        missing: share of pictures in (0, 1].

    Returns:
        `[N, J, 2]` and `[L, J, 2]` float64 and the J that were kept, `[K]` bool; found
        points are unchanged.

    Raises:
        ValueError: shapes do not fit, no landmark is left, or a found point is not
            finite.

    Source: the released evaluation of [mallis2020].
    """
    fit_xy, fit_valid = masked_points(fit_xy, fit_valid, name='fit')
    test_xy, test_valid = masked_points(test_xy, test_valid, name='test')
    if fit_valid.ndim != 2 or fit_xy.shape[1:] != test_xy.shape[1:]:
        raise ValueError(
            f'wanted [N, K, 2] and [L, K, 2], got {fit_xy.shape} and {test_xy.shape}'
        )
    kept = frequent_landmarks(fit_valid, missing=missing)
    mean = fit_xy[:, kept].sum(axis=0) / fit_valid[:, kept].sum(axis=0)[:, None]
    observed = np.repeat(fit_valid[:, kept], 2, axis=1)
    rest = (fit_xy[:, kept] - mean).reshape(len(fit_xy), -1)
    filled = mean + complete_matrix(rest, observed).reshape(len(fit_xy), -1, 2)
    fit_xy = np.where(fit_valid[:, kept, None], fit_xy[:, kept], filled)
    test_xy = np.where(test_valid[:, kept, None], test_xy[:, kept], mean)
    return fit_xy, test_xy, kept


def points_per_image(valid: Array) -> float:
    """Mean number of found points in a picture, of a mask `[N, K]`.

    Raises:
        ValueError: another shape, or there is no picture.

    Source: [mallis-thesis], table 6.4.
    """
    valid = np.asarray(valid, bool)
    if valid.ndim != 2 or len(valid) == 0:
        raise ValueError(f'wanted a mask [N, K] of pictures, got {valid.shape}')
    return float(valid.sum(axis=1).mean())

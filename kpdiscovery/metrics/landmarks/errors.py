"""Distances from the truth as a table `[L, T]`: pictures by landmarks, NaN unmeasured."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kpdiscovery.metrics.landmarks.normalizers import lengths
from kpdiscovery.metrics.landmarks.points import masked_points
from kpdiscovery.types import Array


class Nme(NamedTuple):
    """Errors in % of the normaliser; NaN where nothing was measured."""

    mean: float  # Over all measured points.
    per_landmark: Array  # [T] float64, mean over the pictures.
    errors: Array  # [L, T] float64, what `cumulative_error` reads.


def normalized_errors(
    predicted: Array,
    annotated: Array,
    normalizer: Array | float,
    visible: Array | None = None,
) -> Array:
    """100 x distance of each landmark from the truth / normalizer.

    Args:
        predicted: `[L, T, 2]` pixels, landmark t standing for annotated point t.
        annotated: `[L, T, 2]` pixels.
        normalizer: `[L]` or one number, pixels; > 0 where a point is visible.
        visible: `[L, T]` bool, points to measure; None for all.

    Returns:
        `[L, T]` float64 %, NaN where not visible.

    Raises:
        ValueError: shapes do not fit, no point is visible, one that is is not finite, or
            `normalizer` is not > 0.
    """
    annotated, visible = masked_points(annotated, visible, name='annotated')
    predicted, _ = masked_points(predicted, visible, name='predicted')
    if annotated.ndim != 3 or not visible.any():
        raise ValueError(
            f'wanted visible points [L, T, 2], got {visible.sum()} visible of '
            f'{annotated.shape}'
        )
    scale = lengths(normalizer, visible.any(axis=1))
    distance = np.linalg.norm(predicted - annotated, axis=-1)
    return np.where(visible, 100 * distance / scale[:, None], np.nan)


def nme_of(errors: Array) -> Nme:
    """Means of a table `[L, T]` in which something was measured."""
    return Nme(float(np.nanmean(errors)), mean_measured(errors), errors)


def mean_measured(values: Array) -> Array:
    """Mean over the first axis of what is not NaN; NaN where all is."""
    there = ~np.isnan(values)
    count = there.sum(axis=0)
    total = np.where(there, values, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)

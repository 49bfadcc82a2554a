"""Curves of a table of errors, such as `Nme.errors`: NaN is what was not measured."""

from __future__ import annotations

import numpy as np

from kpdiscovery.metrics.landmarks.errors import mean_measured
from kpdiscovery.types import Array


def cumulative_error(errors: Array, *, over: str = 'landmarks') -> Array:
    """Mean error of the best landmark, of the best two, and so on.

    Each landmark's (or picture's) mean error, sorted ascending; the running mean of it.

    Args:
        errors: `[L, T]` of L pictures and T landmarks, NaN where not measured.
        over: 'landmarks' or 'images', what is sorted; 'points' takes every error alone.

    Returns:
        `[n]` float64 in the unit of the errors, n <= T (or L): those without any
        measured error are left out.

    Raises:
        ValueError: unknown `over`, another shape, an infinite or negative error, or
            nothing was measured.

    Source: cumulative error curves (CED) of [mallis-thesis], chapters 4 to 6.
    """
    values = np.sort(_means(errors, over))
    return np.cumsum(values) / np.arange(1, len(values) + 1)


def fraction_within(errors: Array, thresholds: Array, *, over: str = 'points') -> Array:
    """Share of landmarks, images or points whose (mean) error is at most a threshold.

    Args and errors as in `cumulative_error`; `thresholds` `[S]` in the same unit.

    Returns:
        `[S]` float64 in [0, 1].
    """
    values = np.sort(_means(errors, over))
    limits = np.asarray(thresholds, np.float64)
    if limits.ndim != 1 or np.isnan(limits).any():
        raise ValueError(f'wanted thresholds [S], no NaN, got {thresholds}')
    return np.searchsorted(values, limits, side='right') / len(values)


def _means(errors: Array, over: str) -> Array:
    """Mean error of everything that was measured, `[n]`."""
    errors = np.asarray(errors, np.float64)
    views = {'landmarks': errors, 'images': errors.T, 'points': errors.reshape(1, -1)}
    if over not in views:
        raise ValueError(f'over must be one of {", ".join(views)}, got {over!r}')
    there = ~np.isnan(errors)
    if errors.ndim != 2 or not there.any():
        raise ValueError(
            f'wanted measured errors [L, T], got {there.sum()} of {errors.shape}'
        )
    if not (np.isfinite(errors[there]) & (errors[there] >= 0)).all():
        raise ValueError(
            f'wanted finite errors >= 0, got {errors[there].min()}..{errors[there].max()}'
        )
    means = mean_measured(views[over])
    return means[~np.isnan(means)]

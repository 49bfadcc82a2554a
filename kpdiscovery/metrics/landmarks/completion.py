"""Matrix completion: the entries that were not observed, from those that were."""

from __future__ import annotations

import numpy as np

from kpdiscovery.types import Array


def complete_matrix(
    matrix: Array,
    observed: Array,
    *,
    threshold: float = 5.0,
    iterations: int = 500,
    tolerance: float = 1e-4,
) -> Array:
    """Fills a matrix of low rank by singular value thresholding, observed entries kept.

    With t = threshold x sqrt(R C) x the root mean square of the observed entries, finds
    the X that has them and the least `t |X|_* + |X|_F^2 / 2`, `|X|_*` being the sum of
    the singular values. Step length 1.2 / observed share, at most 1.9. Rows and columns
    without an observed entry become zeros, so take the mean off first.

    Args:
        matrix: `[R, C]`; anything, NaN too, where not observed.
        observed: `[R, C]` bool.
        threshold: > 0, the larger the closer to the least `|X|_*`, and the slower.
        iterations: most steps, > 0.
        tolerance: stops where the observed entries are met to this relative error.

    Returns:
        `[R, C]` float64.

    Raises:
        ValueError: shapes differ, nothing was observed, an observed entry is not finite,
            or an option is not positive.

    Source: [cai2010]; used in [mallis2020].
    """
    known, observed = _check(matrix, observed, threshold, iterations)
    norm = np.linalg.norm(known)
    if observed.all() or norm == 0:
        return known
    share = observed.mean()
    shrink_by = threshold * norm / np.sqrt(share)  # norm / sqrt(share) = sqrt(R C) rms.
    step = min(1.2 / share, 1.9)
    dual = known * step * np.ceil(shrink_by / (step * np.linalg.norm(known, 2)))
    for _ in range(iterations):
        filled = _shrink(dual, shrink_by)
        gap = np.where(observed, known - filled, 0.0)
        if np.linalg.norm(gap) <= tolerance * norm:
            break
        dual += step * gap
    return np.where(observed, known, filled)


def _check(matrix: Array, observed: Array, threshold: float, iterations: int):
    matrix, observed = np.asarray(matrix, np.float64), np.asarray(observed, bool)
    if matrix.ndim != 2 or matrix.shape != observed.shape:
        raise ValueError(
            f'wanted a matrix [R, C] and a mask, got {matrix.shape}, {observed.shape}'
        )
    if threshold <= 0 or iterations <= 0:
        raise ValueError(
            f'wanted threshold and iterations > 0, got {threshold} and {iterations}'
        )
    if not observed.any() or not np.isfinite(matrix[observed]).all():
        raise ValueError(
            f'wanted finite observed entries, got {observed.sum()} entries, '
            f'{(~np.isfinite(matrix[observed])).sum()} not finite'
        )
    return np.where(observed, matrix, 0.0), observed


def _shrink(matrix: Array, by: float) -> Array:
    """Singular values less `by`, at least 0."""
    if matrix.shape[0] < matrix.shape[1]:
        return _shrink(matrix.T, by).T
    squares, axes = np.linalg.eigh(matrix.T @ matrix)  # `by` is far above rounding.
    values = np.sqrt(squares.clip(0))
    kept = np.maximum(values - by, 0) / np.where(values > 0, values, 1)
    return matrix @ (axes * kept) @ axes.T

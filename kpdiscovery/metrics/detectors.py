"""How good generic keypoints are: against corners, across views, near annotated points."""

from __future__ import annotations

import numpy as np

from kpdiscovery.types import Array, Split, Unmeasurable

_LEAST = 1e-4  # Probability of the weakest point that counts.
_SURE = 0.5  # Localisation errors are those of points more probable than this.


def shape_detection(fit: Split, test: Split) -> dict[str, float]:
    """Average precision at 2 px of corners, pooled over pictures, and how exact they are.

    Points are ranked by score, valid or not, above 1e-4; each takes the nearest corner
    within 2 px that no better one took. `localization_error` is the mean distance in
    pixels of those that score above 0.5 and took one, NaN if none did.

    Raises:
        Unmeasurable: no picture has a visible corner.

    Source: [detone2018], synthetic shapes.
    """
    del fit
    found, truth = test.prediction.keypoints, test.truth
    if not np.any(truth['visible']):
        raise Unmeasurable('no picture has a visible point')
    score = np.where(np.asarray(found.score) > _LEAST, found.score, 0)
    gap = match_greedily(
        found.xy, score, truth['keypoints'], truth['visible'], distance=2
    )
    counted = score > 0
    order = np.argsort(-score[counted], kind='stable')
    hits = np.isfinite(gap[counted])[order]
    exact = gap[np.isfinite(gap) & (score > _SURE)]
    return {
        'corner_average_precision': average_precision(
            hits, int(np.sum(truth['visible']))
        ),
        'localization_error': float(exact.mean()) if exact.size else float('nan'),
    }


def match_greedily(
    predicted: Array, score: Array, annotated: Array, visible: Array, *, distance: float
) -> Array:
    """Distance of each point to the annotated one it takes: `[N, K]`, inf for none.

    Args:
        predicted: `[N, K, 2]` pixels.
        score: `[N, K]`; the best choose first, 0 is no point.
        annotated: `[N, T, 2]` pixels.
        visible: `[N, T]` bool.
        distance: pixels, largest.
    """
    out = np.full(np.shape(score), np.inf)
    for row, (xy, own, want, there) in enumerate(
        zip(predicted, score, annotated, visible, strict=True)
    ):
        gaps = np.linalg.norm(np.asarray(xy)[:, None] - np.asarray(want), axis=-1)
        free = np.array(there, bool)
        for i in np.argsort(-np.asarray(own), kind='stable'):
            left = np.where(free & (gaps[i] <= distance), gaps[i], np.inf)
            if own[i] > 0 and left.size and np.isfinite(left.min()):
                out[row, i] = left.min()
                free[left.argmin()] = False
    return out


def average_precision(hits: Array, total: int) -> float:
    """Area under the envelope of precision over recall; hits `[n]` bool, best first.

    `total` is how many there are to find.
    """
    if total < 1:
        raise ValueError(f'wanted something to find, got total {total}')
    return float(average_precisions(np.asarray(hits, bool)[:, None], [total])[0])


def average_precisions(
    hits: Array, total: Array, counted: Array | None = None, score: Array | None = None
) -> Array:
    """`average_precision` of the same n candidates for each of T things.

    Args:
        hits: `[n, T]` bool, best first.
        total: `[T]`, how many there are to find.
        counted: `[n, T]` or `[n, 1]` bool, candidates that are there; None for all.
        score: `[n]`, falling: equal ones count together, so that their order does not
            matter; None where none are equal.

    Returns:
        `[T]` float64 in [0, 1]; NaN where there is nothing to find.
    """
    hits, total = np.asarray(hits, bool), np.asarray(total)
    counted = np.ones((len(hits), 1), bool) if counted is None else counted
    precision = np.cumsum(hits, axis=0) / np.maximum(np.cumsum(counted, axis=0), 1)
    if score is not None:
        fall = -np.asarray(score)
        precision = precision[np.searchsorted(fall, fall, side='right') - 1]
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    area = (envelope * hits).sum(axis=0)
    return np.where(total > 0, area / np.maximum(total, 1), np.nan)


def repeatability(first: Array, second: Array, *, distance: float = 3.0) -> float:
    """Share of the points of two views that have one of the other's close by.

    Args:
        first: `[N, 2]` points of one view brought to the other's pixels, and of those
            only what both views show.
        second: `[M, 2]` the other's points, likewise.
        distance: pixels; itself counts.

    Returns:
        (matched of N + matched of M) / (N + M), 0 where there is no point at all.
    """
    n, m = len(first), len(second)
    if not n or not m:
        return 0.0
    near = np.linalg.norm(first[:, None] - second[None], axis=-1) <= distance
    return float((near.any(axis=1).sum() + near.any(axis=0).sum()) / (n + m))


def near_share(
    predicted: Array, annotated: Array, valid: Array, visible: Array, *, distance: float
) -> float:
    """Share of all found points that lie within `distance` pixels of an annotated one.

    Unlike in `precision_recall` several may lie at the same one. `[N, K, 2]`,
    `[N, T, 2]`, `[N, K]`, `[N, T]`; 0 where nothing was found.
    """
    gap = np.linalg.norm(
        np.asarray(predicted)[:, :, None] - np.asarray(annotated)[:, None], axis=-1
    )
    gap = np.where(np.asarray(visible)[:, None], gap, np.inf)
    near = (gap.min(axis=-1) <= distance) & valid
    return float(near.sum() / max(np.sum(valid), 1))

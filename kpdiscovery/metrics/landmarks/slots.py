"""Annotated landmarks from slots of unordered keypoints: the protocol of TUSK."""

from __future__ import annotations

import functools

import numpy as np

from kpdiscovery.metrics.landmarks.annotated import as_seen, five_points
from kpdiscovery.metrics.landmarks.errors import normalized_errors
from kpdiscovery.metrics.landmarks.named_sets import LANDMARK_SETS
from kpdiscovery.metrics.landmarks.normalizers import inter_ocular
from kpdiscovery.metrics.landmarks.regression import (
    BATCH,
    MAFL_STEPS,
    fit_linear,
    fit_ridge,
)
from kpdiscovery.metrics.landmarks.slot_features import (
    from_unit_square,
    slot_features,
    to_unit_square,
)
from kpdiscovery.types import Array, Split, Unmeasurable


def landmark_regression(fit: Split, test: Split) -> dict[str, float]:
    """Forward error of a linear regressor fitted on `fit` and measured on `test`, in %.

    Truth: `keypoints` `[N, T, 2]` and `visible` `[N, T]`. 5 points, or 68 reduced to 5,
    are normalised by the distance of the eyes (points 0 and 1); pictures without both
    eyes are left out of the error. Any other number is normalised by the side of the
    picture, sqrt(W H). Invisible landmarks count neither in the fit nor in the error,
    and those that are nowhere visible in the fit split not at all.

    Sides of Human3.6M are as they are seen (`as_seen`).

    Returns:
        `regression_nme` (ridge, slots in order of x), `regression_nme_paper` (Adam, as
        many steps as the paper takes on MAFL, or the set's epochs),
        `regression_nme_paper_score_order` and, to compare with,
        `regression_nme_mean_shape` (the fit split's mean, no keypoints).

    Raises:
        ValueError: shapes or labels do not fit.
        Unmeasurable: no landmark is visible in both splits, of 5 in a picture with eyes.

    Source: [jin2022], section 4.3 and table 3; ridge is ours.
    """
    if fit.num_labels != test.num_labels:
        raise ValueError(f'labels of fit and test: {fit.num_labels}, {test.num_labels}')
    fit_xy, fit_visible = _landmarks(fit)
    targets = to_unit_square(fit_xy, fit.size), fit_visible
    xy, visible = _landmarks(test)
    if fit_xy.shape[1:] != xy.shape[1:]:
        raise ValueError(f'landmarks of fit and test: {fit_xy.shape}, {xy.shape}')
    normalizer, usable = _normalizer(xy, visible, test.size)
    visible = usable & fit_visible.any(axis=0)
    if not visible.any():
        raise Unmeasurable('no annotated point is visible in both splits')

    def measure(features: tuple[Array, Array], regressor) -> float:
        found = regressor(features[0], *targets)(features[1])
        found = from_unit_square(found, test.size)
        return float(np.nanmean(normalized_errors(found, xy, normalizer, visible)))

    by_x, by_score = (_features(fit, test, order) for order in ('x', 'score'))
    ones = np.ones((len(fit_xy), 1)), np.ones((len(xy), 1))
    adam = functools.partial(fit_linear, steps=_steps(fit))
    return {
        'regression_nme': measure(by_x, fit_ridge),
        'regression_nme_paper': measure(by_x, adam),
        'regression_nme_paper_score_order': measure(by_score, adam),
        'regression_nme_mean_shape': measure(
            ones, functools.partial(fit_ridge, penalty=0)
        ),
    }


def _steps(fit: Split) -> int:
    known = LANDMARK_SETS.get(fit.landmarks)
    if known and known.epochs:
        return known.epochs * max(len(fit.truth['visible']) // BATCH, 1)
    return MAFL_STEPS


def _features(fit: Split, test: Split, order: str) -> tuple[Array, Array]:
    fit_features, test_features = (
        slot_features(s.prediction.keypoints, s.num_labels, s.size, order=order)
        for s in (fit, test)
    )
    return fit_features, test_features


def _landmarks(split: Split) -> tuple[Array, Array]:
    xy = np.asarray(split.truth['keypoints'], np.float64)
    visible = np.asarray(split.truth['visible'], bool)
    if xy.ndim != 3 or xy.shape != (*visible.shape, 2):
        raise ValueError(
            'landmark_regression wants keypoints [N, T, 2] and visible [N, T] (one '
            f'object a picture), got {xy.shape} and {visible.shape}'
        )
    known = LANDMARK_SETS.get(split.landmarks)
    if known and known.as_seen:
        xy, visible = as_seen(xy, visible, known.pairs)
    return five_points(xy, visible) if xy.shape[1] == 68 else (xy, visible)


def _normalizer(xy: Array, visible: Array, size: tuple[int, int]):
    """Length in pixels, `[N]`, and the landmarks that can be measured, `[N, T]`."""
    if xy.shape[1] != 5:
        return np.full(len(xy), np.sqrt(size[0] * size[1])), visible
    distance, usable = inter_ocular(xy, visible)
    return distance, visible & usable[:, None]

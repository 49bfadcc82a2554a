"""Forward and backward NME of discovered landmarks, the main protocol of [mallis-thesis]."""

from __future__ import annotations

import logging

import numpy as np

from kpdiscovery.metrics.landmarks.errors import mean_measured
from kpdiscovery.metrics.landmarks.labelled import (
    Comparison,
    by_label,
    comparisons,
    measurable,
    set_of,
    side,
)
from kpdiscovery.metrics.landmarks.nme import backward_nme, forward_nme, random_parts
from kpdiscovery.metrics.landmarks.points import Landmarks, fill_missing, is_frequent
from kpdiscovery.types import Array, Split

_REPEATS = 10
NO_LANDMARK = (
    "%s is the mean shape's: no landmark is in four fifths of the fit pictures; lower "
    'method.min_confidence where the method has one'
)
_SETTINGS: dict[str, dict] = {'': {}, '_no_bias': {'bias': False}}


def landmark_nme(fit: Split, test: Split) -> dict[str, float]:
    """Means of `landmark_errors`, in %; what no picture could measure is left out.

    Returns:
        For each subset of the named set, such as the 68 and the 5 points of faces68 (of T
        points of no named set '_T@side', in % of the picture's side):
        `forward_nme_68` and `backward_nme_68` (ridge with bias),
        `forward_nme_no_bias_68` and `backward_nme_no_bias_68`, and
        `forward_nme_mean_shape_68`, the fit split's mean; and `landmarks_used`, the
        share of landmarks that are in more than four fifths of the fit pictures: the others are
        left out, in %. Where none is, the forward error is that of the mean shape (without
        bias, of the picture's middle), there is no backward one, and a warning says so.

    Errors and source as in `landmark_errors`.
    """
    tables = landmark_errors(fit, test)
    _, valid = by_label(fit.prediction.keypoints, fit.num_labels)
    used = is_frequent(valid)
    if not used.any():
        logging.warning(NO_LANDMARK, 'forward_nme')
    figures = {
        name: float(np.nanmean(errors))
        for name, errors in tables.items()
        if not np.isnan(errors).all()
    }
    return {**figures, 'landmarks_used': 100 * float(used.mean())}


def landmark_errors(fit: Split, test: Split) -> dict[str, Array]:
    """The tables behind `landmark_nme`, for `cumulative_error` and `fraction_within`.

    Each is the mean over ten fits to as many random pictures as the set's `PointGroup`
    says, with its penalty (one to all, where there are no more). Points hidden on `test`
    are not measured, nor pictures without normaliser.

    Args:
        fit: N pictures the regressors are fitted on.
        test: L pictures that are measured; its `landmarks` names the set, or '' none.

    Returns:
        By name of the figure `[L, T]` (forward) or `[L, K]` (backward) float64, % of
        the normaliser, NaN where not measured. K is the number of labels.

    Raises:
        ValueError: no such set, or shapes and labels that do not fit.
        Unmeasurable: there is nothing to measure: no visible point, no normaliser.

    Source: [mallis-thesis], section 2.6 and the released evaluation of [mallis2020].
    """
    hidden, tables = set_of(test).hidden, {}
    for comparison in comparisons(fit, test):
        draws = _draws(comparison, side(test), hidden)
        for name in draws[0]:
            stacked = np.stack([draw[name] for draw in draws])
            tables[f'{name}_{comparison.points}'] = mean_measured(stacked)
    return tables


def completed(
    fit: Landmarks, test: Landmarks, side: float
) -> tuple[Landmarks, Landmarks, Array]:
    """Both splits with `fill_missing`, and the landmarks that were kept, `[K]` bool.

    Where none is left, a single one in the middle of the picture, which says nothing.
    """
    if not is_frequent(fit.valid).any():
        return blind(fit, side), blind(test, side), np.zeros(fit.valid.shape[1], bool)
    filled = fill_missing(fit.predicted, test.predicted, fit.valid, test.valid)
    full = [
        v._replace(predicted=xy, valid=None)
        for v, xy in zip((fit, test), filled[:2], strict=True)
    ]
    return full[0], full[1], filled[2]


def blind(landmarks: Landmarks, side: float) -> Landmarks:
    """Every picture with one landmark, in its middle: regression gives the mean shape."""
    middle = np.full((len(landmarks.annotated), 1, 2), side / 2 - 0.5)
    return landmarks._replace(predicted=middle, valid=None)


def _draws(comparison: Comparison, side: float, hidden: bool) -> list[dict[str, Array]]:
    """The tables of every fit."""
    test, length, tables = measurable(comparison), comparison.normalizer, []
    penalty, images = comparison.group.penalty, comparison.group.images
    images = images or len(comparison.fit.annotated)
    draw = lambda table: random_parts(table, images=images, repeats=_REPEATS)
    known = lambda table: table._replace(visible=None) if hidden else table
    parts = zip(
        draw(comparison.fit), draw(known(comparison.fit)), strict=True
    )  # Same pictures.
    for ahead, back in parts:
        full, filled, kept = completed(ahead, test, side)
        back = back._replace(predicted=full.predicted)
        ridge = {'scale': side, 'penalty': penalty}
        forward = _forward(full, filled, length, ridge)
        backward = _backward(back, known(test), kept, length, ridge)
        tables.append(forward | backward)
    return tables


def _forward(fit: Landmarks, test: Landmarks, length, ridge) -> dict[str, Array]:
    """`[L, T]` in all settings, from landmarks without gaps; NaN for points that none of
    the fit pictures shows."""
    test = test._replace(visible=test.visible & fit.visible.any(axis=0))
    measure = lambda fit, test, **options: (
        forward_nme(fit, test, length, **ridge, **options).errors
        if test.visible.any()
        else np.full(test.visible.shape, np.nan)
    )
    tables = {
        f'forward_nme{name}': measure(fit, test, **options)
        for name, options in _SETTINGS.items()
    }
    side = ridge['scale']
    mean = measure(blind(fit, side), blind(test, side))
    return {**tables, 'forward_nme_mean_shape': mean}


def _backward(fit: Landmarks, test: Landmarks, kept, length, ridge) -> dict[str, Array]:
    """`[L, K]` in all settings; NaN for landmarks that were not kept.

    Args:
        fit: its landmarks are those that were kept, without gaps.
        test: all K landmarks as they were found.
    """
    tables = {f'backward_nme{name}': np.full(test.valid.shape, np.nan)
              for name in _SETTINGS}  # fmt: skip
    valid = test.valid[:, kept]
    if not (valid.any() and is_frequent(fit.visible).any()):
        return tables
    a, b, _ = fill_missing(fit.annotated, test.annotated, fit.visible, test.visible)
    fit = Landmarks(fit.predicted, a)
    test = Landmarks(test.predicted[:, kept], b, valid)
    for name, options in _SETTINGS.items():
        nme = backward_nme(fit, test, length, **ridge, **options)
        tables[f'backward_nme{name}'][:, kept] = nme.errors
    return tables

"""Normalised mean error (NME) of linear regression between two sets of landmarks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kpdiscovery.metrics.landmarks.errors import (
    Nme,
    mean_measured,
    nme_of,
    normalized_errors,
)
from kpdiscovery.metrics.landmarks.points import Landmarks, checked, fill_missing
from kpdiscovery.metrics.landmarks.regression import fit_ridge
from kpdiscovery.metrics.landmarks.slot_features import from_unit_square, to_unit_square
from kpdiscovery.types import Array


def regress_landmarks(
    fit: Landmarks,
    test: Landmarks,
    *,
    penalty: float = 0.01,
    bias: bool = True,
    scale: float = 256.0,
    missing: float = 0.2,
) -> Array:
    """The annotated points of `test` as they follow from its predicted landmarks.

    Ridge regression on (x + .5) / scale - .5, fitted on `fit`. Gaps among the predicted
    landmarks are filled and the rare ones dropped (`fill_missing`); each annotated
    point is fitted to the pictures where it is visible. Of `test.annotated` nothing is
    used.

    Args:
        fit: N pictures.
        test: L pictures.
        penalty: lambda >= 0, counted in the largest entry of the features' Gram matrix;
            0 is least squares.
        bias: centres on the fit split's means (the released codes); section 2.6 of
            [mallis-thesis] says without.
        scale: s > 0, the pixels that make one unit; it has no effect with `bias`.
        missing: share of pictures, see `fill_missing`.

    Returns:
        `[L, T, 2]` float64 pixels.

    Raises:
        ValueError: shapes do not fit, no landmark is left, a point that counts is not
            finite, or an option is out of range.

    Source: [mallis-thesis], section 2.6 and the released evaluations of [mallis2020] and
    [mallis2023].
    """
    if scale <= 0:
        raise ValueError(f'scale must be > 0, got {scale}')
    fit, test = checked(fit), checked(test)
    filled = fill_missing(
        fit.predicted, test.predicted, fit.valid, test.valid, missing=missing
    )
    size = (scale, scale)
    features = [(to_unit_square(v, size) - 0.5).reshape(len(v), -1) for v in filled[:2]]
    regressor = fit_ridge(
        features[0],
        to_unit_square(fit.annotated, size) - 0.5,
        fit.visible,
        penalty=penalty,
        relative=True,
        bias=bias,
    )
    return from_unit_square(regressor(features[1]) + 0.5, size)


def forward_nme(
    fit: Landmarks,
    test: Landmarks,
    normalizer: Array | float,
    *,
    penalty: float = 0.01,
    bias: bool = True,
    scale: float = 256.0,
    missing: float = 0.2,
) -> Nme:
    """Error of the visible annotated points, regressed from the predicted landmarks.

    Args:
        fit: pictures the regressor is fitted on.
        test: L pictures that are measured.
        normalizer: `[L]` or one number, pixels of `test`: `inter_ocular`,
            `joint_distance`, `annotated_extent` or a constant. Points of pictures
            without one must be marked as not visible.

    The options are those of `regress_landmarks`. `repeated_nme` fits on random parts.

    Raises:
        ValueError: shapes do not fit, no landmark or visible point is left, a point
            that counts is not finite, or `normalizer` or an option is out of range.

    Source: [mallis-thesis], section 2.6, tables 4.1, 5.1 and 6.1 to 6.8. MAFL's 68 points:
    penalty .01 ([mallis2020]), .001 ([mallis2023]); LS3D-W: .01, .1.
    """
    fit, test = checked(fit), checked(test)
    found = regress_landmarks(
        fit, test, penalty=penalty, bias=bias, scale=scale, missing=missing
    )
    _same_landmarks(fit.annotated, test.annotated)
    return nme_of(normalized_errors(found, test.annotated, normalizer, test.visible))


def backward_nme(
    fit: Landmarks,
    test: Landmarks,
    normalizer: Array | float,
    *,
    penalty: float = 0.01,
    bias: bool = True,
    scale: float = 256.0,
    missing: float = 0.2,
) -> Nme:
    """Error of the predicted landmarks, regressed from the annotated points.

    `forward_nme` with the roles exchanged, its arguments and errors; the table is
    `[L, K]`. Landmarks missing in `missing` or more of the fit pictures are not
    measured (NaN); gaps of the others are filled for the fit, and on `test` they count
    where they were found (own choice).
    Invisible annotated points are gaps among the features, filled and dropped by the
    same rule; with a true position they had better count as visible.

    Source: [mallis-thesis], section 2.6, tables 6.1 and 6.2; penalty .1 in [mallis2023].
    """
    fit, test = checked(fit), checked(test)
    targets, _, kept = fill_missing(
        fit.predicted, test.predicted, fit.valid, test.valid, missing=missing
    )
    found = regress_landmarks(
        Landmarks(fit.annotated, targets, fit.visible),
        Landmarks(test.annotated, test.predicted, test.visible, test.valid),
        penalty=penalty,
        bias=bias,
        scale=scale,
        missing=missing,
    )
    errors = np.full(test.valid.shape, np.nan)
    errors[:, kept] = normalized_errors(
        found, test.predicted[:, kept], normalizer, test.valid[:, kept]
    )
    return nme_of(errors)


def repeated_nme(
    measure: Callable[[Landmarks], Nme],
    fit: Landmarks,
    *,
    images: int,
    repeats: int = 10,
    seed: int = 0,
) -> Nme:
    """Mean of `measure(part)` over random parts of the fit split.

    Args:
        measure: such as `lambda part: forward_nme(part, test, normalizer)`.
        fit: N pictures.
        images: pictures in a part, drawn without replacement; all, where N is less.
        repeats: number of parts.

    Returns:
        Each point's error averaged over the repeats that measured it.

    Raises:
        ValueError: `images` or `repeats` is not positive; those of `measure`.

    Source: released evaluations of [mallis2020] (300 of MAFL and LS3D-W, 800 of Human3.6M)
    and [mallis2023]; 10 repeats.
    """
    parts = random_parts(fit, images=images, repeats=repeats, seed=seed)
    return nme_of(mean_measured(np.stack([measure(part).errors for part in parts])))


def random_parts(
    fit: Landmarks, *, images: int, repeats: int = 10, seed: int = 0
) -> list[Landmarks]:
    """`repeats` random parts of a fit split, `images` pictures each; see `repeated_nme`.

    The split itself, once, where it has no more pictures than that.
    """
    if images < 1 or repeats < 1:
        raise ValueError(f'images and repeats must be > 0, got {images} and {repeats}')
    fit, rng = checked(fit), np.random.default_rng(seed)
    if len(fit.valid) <= images:
        return [fit]
    draws = [rng.permutation(len(fit.valid))[:images] for _ in range(repeats)]
    return [Landmarks(*(v[rows] for v in fit)) for rows in draws]


def _same_landmarks(fit: Array, test: Array) -> None:
    if fit.shape[1:] != test.shape[1:]:
        raise ValueError(
            f'wanted the same annotated points in both splits, got {fit.shape} and '
            f'{test.shape}: other landmarks'
        )

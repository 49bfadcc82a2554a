"""Discovered landmarks near annotated points: accuracy, PCK, OKS, points per picture."""

from __future__ import annotations

import numpy as np

from kpdiscovery.metrics.landmarks.accuracy import (
    match_landmarks,
    pck,
    precision_recall,
)
from kpdiscovery.metrics.landmarks.labelled import (
    Comparison,
    by_label,
    comparisons,
    measurable,
    set_of,
    side,
)
from kpdiscovery.metrics.landmarks.landmark_nme import completed
from kpdiscovery.metrics.landmarks.nme import regress_landmarks
from kpdiscovery.metrics.landmarks.oks import oks_average_precision
from kpdiscovery.metrics.landmarks.points import (
    Landmarks,
    is_frequent,
    points_per_image,
)
from kpdiscovery.types import Array, Split, Unmeasurable

_PIXELS = 256  # Side of the pictures [mallis-thesis] counts its distances in.
_ACCURACY = 12
_PRECISION = (8, 10)
_OKS = {'': tuple(np.linspace(0.5, 0.95, 10)), '@0.5': (0.5,), '@0.4': (0.4,)}


def landmark_accuracy(fit: Split, test: Split) -> dict[str, float]:
    """Share of points met within a distance counted in pixels of 256, in %.

    Args:
        fit: the split landmarks are matched and regressed on.
        test: the split that is measured; its `landmarks` names the set, or '' none.

    Returns:
        For each subset, say of 5 points, `raw_accuracy_5@12` (each annotated point with
        the landmark the Hungarian method gave it on `fit`; a point without one is
        missed, so all are where no landmark is in more than four fifths of the fit
        pictures) and `regressed_accuracy_5@12` (after a ridge regression as that of
        `landmark_nme`, fitted on all fit pictures); over all points `precision@d`,
        `recall@d` and `f_score@d` (in [0, 1]) of the keypoints, their labels ignored, d 8
        and 10.

    Raises:
        ValueError: no such set, or shapes and labels that do not fit.
        Unmeasurable: no annotated point is visible.

    Source: [mallis-thesis], tables 5.2 and 6.9 to 6.11 (12), chapters 4 (8) and 5 (10).
    """
    unit, figures = side(test) / _PIXELS, {}
    for comparison in comparisons(fit, test):
        both = _raw(comparison), _regressed(comparison, side(test))
        for name, found in zip(('raw', 'regressed'), both, strict=True):
            points = comparison.points.removesuffix('@side')  # Whose unit this is not.
            met = _share(found, 1.0, _ACCURACY * unit)
            figures[f'{name}_accuracy_{points}@{_ACCURACY}'] = met
    for distance in _PRECISION:
        figures |= _precision_recall(test, distance, unit)
    return figures


def landmark_pck(fit: Split, test: Split) -> dict[str, float]:
    """Share of points met within the named set's part of its torso length, in %.

    Arguments and errors as in `landmark_accuracy`; pictures without the length do not
    count, and with none at all there is nothing to measure.

    Returns:
        `raw_pck@a` and `regressed_pck@a`, a being the set's `alpha`, as in
        `landmark_accuracy`; over all points, no subsets.

    Source: [mallis-thesis], table 6.11 (0.3 of the torso).
    """
    known, comparison = _whole(fit, test)
    length, usable = known.torso(comparison.truth)
    comparison = comparison._replace(usable=usable)
    comparison = comparison._replace(test=measurable(comparison))
    both = _raw(comparison), _regressed(comparison, side(test))
    return {
        f'{name}_pck@{known.alpha}': _share(found, length, known.alpha)
        for name, found in zip(('raw', 'regressed'), both, strict=True)
    }


def landmark_oks(fit: Split, test: Split) -> dict[str, float]:
    """COCO's average precision and recall of the matched landmarks, in [0, 1].

    Arguments and errors as in `landmark_accuracy`, landmarks matched as there; a set
    without sigmas or pictures without an area allow no figure. A picture's confidence
    is the mean score of its keypoints (own choice).

    Returns:
        `oks_ap` and `oks_ar` over 0.5, 0.55, ... 0.95, and both at 0.5 and at 0.4.

    Source: [mallis-thesis], table 6.11.
    """
    known, comparison = _whole(fit, test)
    if not known.sigmas or known.extent is None:
        raise Unmeasurable(f'{known.name} has no OKS sigmas')
    length, usable = known.extent(comparison.truth)
    found = _raw(
        comparison._replace(test=measurable(comparison._replace(usable=usable)))
    )
    measure = lambda levels: oks_average_precision(
        found.predicted, found.annotated, length**2, np.array(known.sigmas),
        _confidence(test), found.valid, found.visible, thresholds=levels,
    )  # fmt: skip
    figures: dict[str, float] = {}
    for name, levels in _OKS.items():
        got = measure(levels)
        figures |= {f'oks_ap{name}': got.precision, f'oks_ar{name}': got.recall}
    return figures


def landmark_points(fit: Split, test: Split) -> dict[str, float]:
    """How many landmarks a picture of `test` has; `fit` is not used, nor any truth.

    Returns:
        `points_per_image`, `landmarks_found` (share of all K labels x pictures, %) and
        `landmarks_frequent` (labels in more than four fifths of the pictures).

    Source: [mallis-thesis], table 6.4.
    """
    _, valid = by_label(test.prediction.keypoints, test.num_labels)
    return {
        'points_per_image': points_per_image(valid),
        'landmarks_found': float(100 * valid.mean()),
        'landmarks_frequent': float(is_frequent(valid).sum()),
    }


def _whole(fit: Split, test: Split):
    return set_of(test), next(comparisons(fit, test))


def _raw(comparison: Comparison) -> Landmarks:
    """Test pictures with the matched landmark of every annotated point: K = T."""
    test, points = comparison.test, comparison.test.visible.shape[1]
    match = np.full(points, -1)
    if is_frequent(comparison.fit.valid).any():
        match = match_landmarks(comparison.fit)
    valid = test.valid[:, match] & (match >= 0)
    return test._replace(predicted=test.predicted[:, match], valid=valid)


def _regressed(comparison: Comparison, side: float) -> Landmarks:
    """Test pictures with the annotated points as they follow from the landmarks."""
    full, filled, _ = completed(comparison.fit, comparison.test, side)
    xy = regress_landmarks(full, filled, scale=side, penalty=comparison.group.penalty)
    return filled._replace(predicted=xy)


def _share(found: Landmarks, length: Array | float, alpha: float) -> float:
    xy, points, valid, visible = found
    return pck(xy, points, length, valid, visible, alpha=alpha).mean


def _precision_recall(test: Split, distance: int, unit: float) -> dict[str, float]:
    found, truth = test.prediction.keypoints, test.truth
    got = precision_recall(
        found.xy, truth['keypoints'], found.valid, truth['visible'],
        distance=distance * unit,
    )  # fmt: skip
    return {f'{name}@{distance}': value for name, value in got.items()}


def _confidence(test: Split) -> Array:
    """Mean score of the valid keypoints of a picture, `[N]`; 0 without any."""
    points = test.prediction.keypoints
    valid = np.asarray(points.valid, bool)
    total = np.sum(points.score, axis=1, where=valid, dtype=np.float64)
    return total / np.maximum(valid.sum(axis=1), 1)

"""Part discovery's protocols: how well single channels detect annotated parts.

For every part the channel that does best on the fit split is chosen and frozen; the test
split measures it. Keypoints are candidates whether `valid` or not.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping

import numpy as np

from kpdiscovery.metrics.landmarks.errors import normalized_errors
from kpdiscovery.metrics.landmarks.labelled import side
from kpdiscovery.metrics.landmarks.landmark_nme import (
    NO_LANDMARK,
    blind,
    completed,
)
from kpdiscovery.metrics.landmarks.nme import regress_landmarks
from kpdiscovery.metrics.landmarks.points import Landmarks
from kpdiscovery.metrics.parts.candidates import (
    Candidates,
    group_candidates,
    group_part_boxes,
    mean_part_sides,
)
from kpdiscovery.metrics.parts.channel_precision import (
    channel_average_precision,
    channel_box_precision,
    choose_channels,
    chosen_precision,
)
from kpdiscovery.metrics.parts.comparisons import PartComparison, part_comparisons
from kpdiscovery.types import Array, Split, Unmeasurable

_REACH = 0.1  # Of the normaliser.
_PENALTY = 1e-3  # In largest entries of the features' Gram matrix.


def part_detection(fit: Split, test: Split) -> dict[str, float]:
    """Mean average precision of points found within a tenth of a length, in %.

    Channels are chosen for each length on the fit split. Pictures without the length do
    not count, nor do points that are nowhere visible in one of the splits.

    Returns:
        `part_ap_l2_image` (the picture's side), with true boxes `part_ap_l2_box` (sqrt
        of the first one's area), and where `test.landmarks` names a set with eyes
        `part_ap_l2_eyes`; of a set's smaller subsets too, as `part_ap_l2_eyes_5`; and
        `part_ap_l2_mean_place_image` and so on, of detectors that look at nothing and
        always say where a point is on average in the fit split, to compare with.

    Raises:
        ValueError: shapes and labels that do not fit, or no such set.
        Unmeasurable: no point is visible in both splits.

    Source: [guo2020], section 4.1, which states neither the
    length nor how channels are chosen.
    """
    found, figures = _found(fit, test), dict[str, float]()
    for view in part_comparisons(fit, test):
        for name in [name for name in view.lengths[1] if name in view.lengths[0]]:
            chosen = choose_channels(_near(view, name, 0, found[0]))
            measure = functools.partial(_near, view, name, 1)
            precision = chosen_precision(found[1], chosen, measure)
            figures |= _mean(f'part_ap_l2_{name}{view.ending}', 100 * precision)
            blindly = chosen_precision(*_mean_places(*view.truths), measure)
            blindly = np.where(np.isnan(precision), np.nan, blindly)  # The same points.
            figures |= _mean(
                f'part_ap_l2_mean_place_{name}{view.ending}', 100 * blindly
            )
    if not figures:
        raise Unmeasurable('no annotated point is visible in both splits')
    return figures


def part_box_detection(fit: Split, test: Split) -> dict[str, float]:
    """Mean average precision of part boxes at an overlap of a half, in %.

    Truth: `part_boxes` `[N, M, 4]` and `part_label` `[N, M]`. Peaks become boxes of the
    part's mean size in the fit split, thinned at an overlap of 0.3. Parts without a box
    in one of the splits do not count.

    Returns:
        `part_ap_iou50`; and `part_ap_iou50_mean_place` of boxes of the mean size that
        always lie where the part's are on average in the fit split.

    Raises:
        ValueError: shapes and labels that do not fit.
        Unmeasurable: no part has boxes in both splits.

    Source: [guo2020], table 1; sizes are our choice.
    """
    found = _found(fit, test)
    label = [np.asarray(s.truth['part_label']) for s in (fit, test)]
    known = np.unique(np.concatenate([own[own >= 0] for own in label]))
    parts = [
        group_part_boxes(
            s.truth['part_boxes'],
            np.where(own >= 0, np.searchsorted(known, own), -1),
            len(known),
        )
        for s, own in zip((fit, test), label, strict=True)
    ]
    anchors = mean_part_sides(*parts[0])
    chosen = choose_channels(channel_box_precision(found[0], *parts[0], anchors))
    precision = chosen_precision(
        found[1], chosen, lambda few: channel_box_precision(few, *parts[1], anchors)
    )
    figures = _mean('part_ap_iou50', 100 * precision)
    middles = [
        {'keypoints': (boxes[..., :2] + boxes[..., 2:]) / 2, 'visible': there}
        for boxes, there in parts
    ]
    blindly = chosen_precision(
        *_mean_places(*middles),
        lambda few: channel_box_precision(few, *parts[1], anchors),
    )
    figures |= _mean('part_ap_iou50_mean_place', 100 * blindly)
    if not figures:
        raise Unmeasurable('no part has boxes in both splits')
    return figures


def part_landmarks(fit: Split, test: Split) -> dict[str, float]:
    """Mean distance of the annotated points from where chosen channels put them, in %.

    Each point's channel is the one of `part_ap_l2_image`. Ridge regression with bias
    (penalty .001) goes from the best peaks of all chosen channels to all points, gaps
    filled as in `landmark_nme`. Points that are nowhere visible in the fit split do not
    count, nor do pictures without the length.

    Returns:
        `part_error_image`, `part_error_box` and `part_error_eyes` where there are such
        lengths, of subsets too, named as in `part_detection`; `part_error_mean_shape_*`,
        the fit split's mean, to compare with; and `part_landmarks_used`, how many of the
        chosen channels are in more than four fifths of the fit pictures. Where none is,
        the errors are the mean shape's, and a warning says so.

    Raises:
        ValueError: shapes and labels that do not fit, or no such set.
        Unmeasurable: no point is visible in both splits.

    Source: [guo2020], section 4.1, which states neither what
    goes into the regression nor its penalty.
    """
    found, figures = _found(fit, test), dict[str, float]()
    for view in part_comparisons(fit, test):
        one, two = _landmarks(found, view)
        full, filled, kept = completed(one, two, side(test))
        if not kept.any():
            logging.warning(NO_LANDMARK, 'part_error')
        shapes = blind(one, side(test)), blind(two, side(test))
        for kind, pair in {'': (full, filled), 'mean_shape_': shapes}.items():
            xy = regress_landmarks(*pair, penalty=_PENALTY, scale=side(test))
            for name, (length, usable) in view.lengths[1].items():
                seen = two.visible & usable[:, None] & one.visible.any(axis=0)
                if seen.any():
                    errors = normalized_errors(xy, two.annotated, length, seen)
                    figures |= _mean(f'part_error_{kind}{name}{view.ending}', errors)
                    figures[f'part_landmarks_used{view.ending}'] = 100 * kept.mean()
    if not figures:
        raise Unmeasurable('no annotated point is visible in both splits')
    return figures


def _found(fit: Split, test: Split) -> list[Candidates]:
    if fit.num_labels != test.num_labels:
        raise ValueError(f'labels of fit and test: {fit.num_labels}, {test.num_labels}')
    return [group_candidates(s.prediction.keypoints, s.num_labels) for s in (fit, test)]


def _near(view: PartComparison, name: str, split: int, candidates: Candidates) -> Array:
    """Average precision `[C, T]` in the pictures of a split that have the length."""
    truth, (length, usable) = view.truths[split], view.lengths[split][name]
    return channel_average_precision(
        Candidates(*(v[usable] for v in candidates)),
        truth['keypoints'][usable],
        truth['visible'][usable],
        _REACH * length[usable],
    )


def _mean_places(fit: Mapping, test: Mapping) -> tuple[Candidates, Array]:
    """A channel a part that says its mean place in the fit split in every test picture.

    Args:
        fit: `keypoints` `[N, T, ..., 2]` and `visible` `[N, T, ...]`.
        test: of L pictures.

    Returns:
        Candidates `[L, T, 1]`, and the channel of each part; -1 where there is no mean.
    """
    visible = np.asarray(fit['visible'], bool)
    count = visible.sum(axis=(0, *range(2, visible.ndim)))
    xy = np.where(visible[..., None], fit['keypoints'], 0)
    total = xy.sum(axis=(0, *range(2, visible.ndim)))
    place = (total / np.maximum(count, 1)[:, None])[None, :, None]
    many = len(test['visible']), *place.shape[1:]
    score = np.broadcast_to((count > 0)[:, None], many[:3]).astype(np.float32)
    chosen = np.where(count > 0, np.arange(len(count)), -1)
    return Candidates(np.broadcast_to(place, many).astype(np.float32), score), chosen


def _landmarks(found: list[Candidates], view: PartComparison) -> list[Landmarks]:
    """The best peaks of the points' channels, beside the points, in both splits."""
    chosen = choose_channels(_near(view, 'image', 0, found[0]))
    used = np.unique(chosen[chosen >= 0])
    if not len(used):
        raise Unmeasurable('no annotated point is visible in the fit split')
    return [
        Landmarks(xy[:, used, 0], t['keypoints'], score[:, used, 0] > 0, t['visible'])
        for (xy, score), t in zip(found, view.truths, strict=True)
    ]


def _mean(name: str, values: Array) -> dict[str, float]:
    """The mean of what was measured by name, {} where nothing was."""
    return {} if np.isnan(values).all() else {name: float(np.nanmean(values))}

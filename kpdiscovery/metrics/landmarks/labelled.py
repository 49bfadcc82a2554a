"""Keypoints as landmarks by their label, beside the annotated ones of a named set."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from kpdiscovery.metrics.landmarks.named_sets import (
    LandmarkSet,
    PointGroup,
    Truth,
    landmark_set,
    unnamed_set,
)
from kpdiscovery.metrics.landmarks.points import Landmarks
from kpdiscovery.types import Array, Keypoints, Split, Unmeasurable

_log = logging.getLogger(__name__)


class Comparison(NamedTuple):
    """The fit and the test split, measured at a subset of the annotated points."""

    points: str  # Their number, and '@side' of no named set: ends the names of figures.
    fit: Landmarks
    test: Landmarks
    normalizer: Array  # [L] pixels of `test`.
    usable: Array  # [L] bool: pictures of `test` that have a normaliser.
    truth: Truth  # Of `test`, at the subset.
    group: PointGroup


def by_label(keypoints: Keypoints, num_labels: int) -> tuple[Array, Array]:
    """The point of each label; of several with one label that of the highest score.

    Args:
        keypoints: leaves `[N, K]` (`xy` `[N, K, 2]`); only valid ones with a label >= 0
            are used. Of equal scores the first counts.
        num_labels: M, labels are 0..M-1.

    Returns:
        `[N, M, 2]` float64 pixels, zeros where there is none, and `[N, M]` bool.

    Raises:
        ValueError: a label not below `num_labels`.
    """
    label, xy = np.asarray(keypoints.label), np.asarray(keypoints.xy, np.float64)
    used = np.asarray(keypoints.valid, bool) & (label >= 0)
    if label.max(initial=-1, where=used) >= num_labels:
        raise ValueError(f'labels must be below {num_labels}, got {label[used].max()}')
    order = np.argsort(-np.asarray(keypoints.score), axis=1, kind='stable')
    row, place = np.nonzero(np.take_along_axis(used, order, 1)[:, ::-1])
    point = order[:, ::-1][row, place]  # Best last: what is written last stays.
    found = np.zeros((len(xy), num_labels, 2))
    valid = np.zeros((len(xy), num_labels), bool)
    found[row, label[row, point]] = xy[row, point]
    valid[row, label[row, point]] = True
    return found, valid


def side(split: Split) -> float:
    """Side of a square as large as the pictures, pixels."""
    return float(np.sqrt(split.size[0] * split.size[1]))


def set_of(split: Split) -> LandmarkSet:
    """The set that a split's annotated points are of: named, or any points.

    Raises:
        ValueError: no such set.
        Unmeasurable: there are points of several objects.
    """
    if split.landmarks:
        return landmark_set(split.landmarks)
    shape = np.shape(split.truth['keypoints'])
    if len(shape) != 3:
        raise Unmeasurable(
            'needs points of one object, the source has those of several'
        )
    return unnamed_set(shape[1], side(split))


def comparisons(fit: Split, test: Split) -> Iterator[Comparison]:
    """Landmarks by label beside each subset of the annotated points, all points first.

    Points that no fit picture shows are not visible on `test` either: nothing could tell
    where they are.

    Raises:
        ValueError: no such set, its number of points is another, or labels do not fit.
        Unmeasurable: in one of the splits no point is visible, no point is in both, or
            there are no boxes and the set wants them.
    """
    known = set_of(test)
    found = [by_label(s.prediction.keypoints, s.num_labels) for s in (fit, test)]
    for name, subset in known.subsets.items():
        truths = [at(subset.points, s.truth, known) for s in (fit, test)]
        one, two = (
            Landmarks(xy, t['keypoints'], valid, t['visible'])
            for (xy, valid), t in zip(found, truths, strict=True)
        )
        two = two._replace(visible=_shown(one.visible, two.visible, name))
        length, usable = subset.normalizer(truths[1])
        yield Comparison(name, one, two, length, usable, truths[1], subset)


def _shown(fit: Array, test: Array, name: str) -> Array:
    """Points `[L, T]` of `test` that count: those of some fit picture."""
    known = fit.any(axis=0)
    if not (test & known).any():
        raise Unmeasurable('no annotated point is visible in pictures of both splits')
    if test[:, ~known].any():
        _log.warning(
            '%d of %s annotated points are visible in no fit picture: not measured',
            (~known).sum(), name,
        )  # fmt: skip
    return test & known


def at(points, truth: Truth, known: LandmarkSet) -> Truth:
    """The truth with its landmarks replaced by those of a subset.

    Args:
        points: xy and visible of all points to those of the subset.

    Raises:
        ValueError: the set has another number of points.
        Unmeasurable: no point is visible.
    """
    xy = np.asarray(truth['keypoints'], np.float64)
    visible = np.asarray(truth['visible'], bool)
    if xy.shape[1:] != (known.num_points, 2) or visible.shape != xy.shape[:2]:
        raise ValueError(
            f'{known.name or "the other split"} has {known.num_points} points, got keypoints '
            f'{xy.shape} and visible {visible.shape}'
        )
    xy, visible = points(xy, visible)
    if not visible.any():
        raise Unmeasurable(f'no annotated point is visible in {len(xy)} pictures')
    return {**truth, 'keypoints': xy, 'visible': visible}


def measurable(comparison: Comparison) -> Landmarks:
    """The test split without the points of pictures that have no normaliser.

    Raises:
        Unmeasurable: no visible point is left.
    """
    usable = comparison.usable[:, None]
    valid, visible = comparison.test.valid & usable, comparison.test.visible & usable
    if not visible.any():
        raise Unmeasurable(f'no normaliser in any of {len(usable)} pictures')
    return comparison.test._replace(valid=valid, visible=visible)

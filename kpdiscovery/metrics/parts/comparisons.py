"""Annotated points that are measured together, and the lengths to measure them in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from kpdiscovery.metrics.landmarks.labelled import at, side
from kpdiscovery.metrics.landmarks.named_sets import Length, Truth, landmark_set
from kpdiscovery.metrics.landmarks.normalizers import box_length
from kpdiscovery.metrics.landmarks.points import masked_points
from kpdiscovery.types import Array, Split

# By name: pixels, and whether a picture has the length, `[N]` each.
Lengths = Mapping[str, tuple[Array, Array]]


class PartComparison(NamedTuple):
    """Points of the fit and of the test split, in this order."""

    ending: str  # Of the figures' names: '' for all points, '_5' for a subset.
    truths: tuple[Truth, Truth]  # `keypoints [N, T, 2]` float64, `visible [N, T]`.
    lengths: tuple[Lengths, Lengths]


def part_comparisons(fit: Split, test: Split) -> Iterator[PartComparison]:
    """All points, then the other subsets of the set that `test.landmarks` names, if any.

    Lengths are 'image' (side of the picture), 'box' (sqrt(w h) of the first true box,
    where the truth has boxes) and 'eyes' (their distance, where the set is one of faces).

    Raises:
        ValueError: no such set, or shapes do not fit it or each other.
        Unmeasurable: no point of a named set is visible in one of the splits.
    """
    if not test.landmarks:
        yield _view('', (fit, test), [_points(s.truth) for s in (fit, test)], None)
        return
    known = landmark_set(test.landmarks)
    for name, subset in known.subsets.items():
        ending = '' if name == str(known.num_points) else f'_{name}'
        eyes = subset.normalizer if known.eyes else None
        truths = [at(subset.points, s.truth, known) for s in (fit, test)]
        yield _view(ending, (fit, test), truths, eyes)


def _view(
    ending: str, splits, truths: list[Truth], eyes: Length | None
) -> PartComparison:
    one, two = truths
    if one['visible'].shape[1] != two['visible'].shape[1]:
        raise ValueError(
            'wanted the same annotated points in both splits, got '
            f'{one["visible"].shape} and {two["visible"].shape}'
        )
    lengths = _lengths(side(splits[0]), one, eyes), _lengths(side(splits[1]), two, eyes)
    return PartComparison(ending, (one, two), lengths)


def _points(truth: Truth) -> Truth:
    xy, visible = masked_points(truth['keypoints'], truth['visible'], name='annotated')
    if visible.ndim != 2:
        raise ValueError(f'wanted keypoints [N, T, 2], got {xy.shape}')
    return {**truth, 'keypoints': xy, 'visible': visible}


def _lengths(side: float, truth: Truth, eyes: Length | None) -> Lengths:
    """What distances may be divided by, as far as the truth has it."""
    count = len(truth['visible'])
    found = {'image': (np.full(count, side), np.ones(count, bool))}
    if truth.get('boxes') is not None and truth.get('boxes_valid') is not None:
        found['box'] = box_length(truth['boxes'], truth['boxes_valid'], side='mean')
    if eyes is not None:
        found['eyes'] = eyes(truth)
    return found

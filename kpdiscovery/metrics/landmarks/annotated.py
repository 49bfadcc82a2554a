"""Annotated points as a protocol counts them: 68 as five, sides as they are seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kpdiscovery.types import Array

_EYES = (slice(36, 42), slice(42, 48))  # Of the 68 points, left in the picture first.
_POINTS = (30, 48, 54)  # Nose and the corners of the mouth.


def five_points(xy: Array, visible: Array) -> tuple[Array, Array]:
    """The 68 points of a face as 5: both eyes, nose, both corners of the mouth.

    An eye is the mean of its six points, visible where all six are.

    Args:
        xy: `[N, 68, 2]`.
        visible: `[N, 68]` bool.

    Returns:
        `[N, 5, 2]` and `[N, 5]` bool.

    Raises:
        ValueError: there are not 68 points.
    """
    if xy.shape[1:] != (68, 2) or visible.shape != xy.shape[:2]:
        raise ValueError(
            f'wanted points [N, 68, 2] and visible [N, 68], got {xy.shape} and '
            f'{visible.shape}'
        )
    eyes = [xy[:, eye].mean(axis=1) for eye in _EYES]
    seen = [visible[:, eye].all(axis=1) for eye in _EYES]
    points = np.stack([*eyes, *(xy[:, i] for i in _POINTS)], axis=1)
    return points, np.stack([*seen, *(visible[:, i] for i in _POINTS)], axis=1)


def as_seen(
    xy: Array,
    visible: Array,
    pairs: Sequence[tuple[int, int]],
    *,
    share: float = 0.67,
) -> tuple[Array, Array]:
    """Points of bodies whose sides change places where the body is turned.

    A body faces the front if in more than `share` of the pairs the second point is to the
    right of the first; of all others both points of every pair change places. Pairs of
    which one is hidden do not count; without any the body stays as it is.

    Args:
        xy: `[N, T, 2]`, `visible` `[N, T]` bool.
        pairs: points of the one and the other side.

    Returns:
        `xy` and `visible`, new arrays.

    Source: Human3.6M in [jin2022], as its released evaluation has it.
    """
    one, two = np.array(pairs).T
    seen = visible[:, one] & visible[:, two]
    front = ((xy[:, two, 0] > xy[:, one, 0]) & seen).sum(axis=1)
    turned = (front <= share * seen.sum(axis=1)) & seen.any(axis=1)
    order = np.tile(np.arange(xy.shape[1]), (len(xy), 1))
    order[np.ix_(turned, one)], order[np.ix_(turned, two)] = two, one
    return (
        np.take_along_axis(xy, order[..., None], axis=1),
        np.take_along_axis(visible, order, axis=1),
    )

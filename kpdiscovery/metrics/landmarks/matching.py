"""Whether descriptors tell which point of a picture is which of another one."""

from __future__ import annotations

import numpy as np

from kpdiscovery.metrics.landmarks.labelled import side
from kpdiscovery.types import Array, Split, Unmeasurable

_POINTS = 15  # Of the annotated ones at most, evenly chosen by number.
_PARTNERS = 5  # Pictures that each is compared with.


def landmark_matching(fit: Split, test: Split) -> dict[str, float]:
    """How often an annotated point's nearest descriptor is that of the same point.

    At most 15 annotated points, evenly chosen by number, look for themselves among each
    other in five other pictures of `test`, far off in the split's order, where they are
    visible in both; `fit` is not used. Descriptors that only know the place in the picture
    do no better than `match_by_place`, which looks for the nearest place.

    Returns:
        `match` and `match_by_place` in %, and `match_error`, the mean distance to the right
        point from the one that was taken, in % of the picture's side.

    Raises:
        Unmeasurable: the network has no descriptors, or no point is visible in two
            pictures.

    Source: own definition; [mallis-thesis], chapter 6, asks the same of clusters.
    """
    if test.described is None:
        raise Unmeasurable('needs a network that describes places (stage 1)')
    unit, xy, visible = _chosen(test)
    totals = np.zeros(4)
    for shift in _shifts(len(unit)):
        totals += _compare(unit, xy, visible, np.roll(np.arange(len(unit)), -shift))
    right, near, apart, many = totals
    if not many:
        raise Unmeasurable('no annotated point is visible in two pictures')
    return {
        'match': float(100 * right / many),
        'match_by_place': float(100 * near / many),
        'match_error': float(100 * apart / many / side(test)),
    }


def _chosen(test: Split) -> tuple[Array, Array, Array]:
    """Unit descriptors `[n, T, D]`, places `[n, T, 2]` and which are visible `[n, T]`."""
    described = np.asarray(test.described, np.float64)
    count, points = described.shape[:2]
    some = np.unique(np.linspace(0, points - 1, _POINTS).round().astype(int))
    long = np.linalg.norm(described, axis=-1, keepdims=True)
    unit = (described / np.maximum(long, 1e-9))[:, some]
    xy = np.asarray(test.truth['keypoints'], np.float64)[:count, some]
    return unit, xy, np.asarray(test.truth['visible'])[:count, some].astype(bool)


def _shifts(count: int) -> Array:
    """Other rows as far off as can be: neighbours are often of one person or video."""
    shifts = np.unique(np.linspace(0, count, _PARTNERS + 2).astype(int)[1:-1])
    return shifts[shifts > 0]


def _compare(unit, xy, visible, other) -> Array:
    """Points found by looks, by place, error of the former, and how many were asked."""
    there = visible & visible[other]
    hidden = np.where(visible[other][:, None], 0, np.inf)  # [n, 1, T]
    looks = 1 - np.einsum('npd,nqd->npq', unit, unit[other]) + hidden
    places = np.linalg.norm(xy[:, :, None] - xy[other][:, None], axis=-1) + hidden
    taken, own = looks.argmin(-1), np.arange(unit.shape[1])
    found = np.take_along_axis(xy[other], taken[..., None], axis=1)
    error = np.linalg.norm(found - xy[other], axis=-1)
    hits = (taken == own, places.argmin(-1) == own, error, np.ones_like(error))
    return np.array([(hit * there).sum() for hit in hits])

"""What runs say of one another's keypoints in the same pictures, without any label.

For choosing among runs: do two seeds find the same points, and do the points of a run
lie all over what other runs find?
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from scipy.optimize import linear_sum_assignment

from kpdiscovery.types import Array, Keypoints, Warped

_NEAR = 5  # % of the side: 3 pixels of 64.


class Matches(NamedTuple):
    """Points of two sets, one to one in every picture; n pairs of all pictures."""

    distance: Array  # [n] pixels
    labels: Array  # [n, 2] int, of the one and the other; -1 none.


def match_points(one: Keypoints, two: Keypoints) -> Matches:
    """One-to-one pairs of least total distance in each picture (Hungarian method).

    Args:
        one, two: leaves `[N, K]` and `[N, L]` of the same N pictures; only valid points
            are paired, as many as the set with fewer has.

    Raises:
        ValueError: the numbers of pictures differ.
    """
    if len(one.xy) != len(two.xy):
        raise ValueError(f'wanted the same pictures, got {len(one.xy)}, {len(two.xy)}')
    distances, labels = [np.zeros(0)], [np.zeros((0, 2), int)]
    for row in range(len(one.xy)):
        (xy, kind), (other, other_kind) = (_points(k, row) for k in (one, two))
        apart = np.linalg.norm(xy[:, None] - other[None], axis=-1)
        a, b = linear_sum_assignment(apart)
        distances.append(apart[a, b])
        labels.append(np.stack([kind[a], other_kind[b]], axis=1))
    return Matches(np.concatenate(distances), np.concatenate(labels))


def seed_agreement(one: Keypoints, two: Keypoints, *, side: float) -> dict[str, float]:
    """Whether two runs find the same points in the same pictures.

    Args:
        one, two: as in `match_points`.
        side: of the pictures, pixels.

    Returns:
        `seed_distance`, mean distance of matched points, and `seed_chance`, the same if
        the second run's points are those of another picture (half the set further on):
        what points that ignore the picture would have, NaN of one picture; both in % of
        the side.
        `seed_consistency`, of matched points the share, in %, whose labels belong
        together if every label of the one has one of the other; points without label
        are of one kind. NaN where nothing is matched.

    Source: own definition; choosing by agreement of seeds as in [duan2020].
    """
    found, unit = match_points(one, two), side / 100
    count = len(two.xy)
    away = np.roll(np.arange(count), count // 2)
    chance = match_points(one, jax.tree.map(lambda leaf: leaf[away], two)).distance
    return {
        'seed_distance': _mean(found.distance) / unit,
        'seed_chance': _mean(chance) / unit if count > 1 else float('nan'),
        'seed_consistency': 100 * _consistency(found.labels),
    }


def coverage(own: Keypoints, others: Sequence[Keypoints], *, side: float) -> float:
    """Share, in %, of other runs' points that have one of these within 5 % of the side.

    What is on the thing is not known without labels: what any run has found stands for
    it, each run counting as much as another.

    Args:
        own: `[N, K]`; others: runs' `[N, L]` of the same pictures, any L.

    Returns:
        NaN where there is no other run or none has a point.

    Source: own definition.
    """
    near = [_near(own, other, _NEAR / 100 * side) for other in others]
    return 100 * _mean(np.array([share for share in near if not np.isnan(share)]))


def distinct_points(keypoints: Keypoints, *, side: float) -> float:
    """How many points a picture has, those close to one another counting as one.

    Mean over pictures of n^2 / sum_ij exp(-d_ij^2 / 2 s^2), with d_ij the distances of the
    n valid points and s 5 % of the side: 1 if all are in one place, n if all are apart;
    0 where there is none.

    Source: diversity of order 2 of [leinster2012], all points of equal share.
    """
    counts = []
    for row in range(len(keypoints.xy)):
        xy = _points(keypoints, row)[0]
        gap = ((xy[:, None] - xy[None]) ** 2).sum(axis=-1)
        alike = np.exp(-gap / (2 * (_NEAR / 100 * side) ** 2)).sum()
        counts.append(len(xy) ** 2 / alike if len(xy) else 0.0)
    return _mean(np.array(counts))


def warped_matches(warped: Warped, *, side: float) -> dict[str, float]:
    """`warp_error` and `warp_shift` as `landmark_repeatability` has them, of keypoints
    without an order: each is matched to one of the copy, whatever its label.

    Returns:
        Both in % of the side, all places counted; NaN where nothing is matched.
    """
    error = match_points(warped.moved, warped.found).distance
    shift = np.linalg.norm(np.subtract(warped.moved.xy, warped.first.xy), axis=-1)
    shift = shift[np.asarray(warped.first.valid, bool)]
    return {
        'warp_error': _mean(error) * 100 / side,
        'warp_shift': _mean(shift) * 100 / side,
    }


def _consistency(labels: Array) -> float:
    """Share of pairs of labels on the best one-to-one assignment of labels."""
    if not len(labels):
        return float('nan')
    (a, rows), (b, columns) = (
        np.unique(kind, return_inverse=True) for kind in labels.T
    )
    table = np.zeros((len(a), len(b)))
    np.add.at(table, (rows, columns), 1)
    return float(table[linear_sum_assignment(-table)].sum() / len(labels))


def _near(own: Keypoints, other: Keypoints, reach: float) -> float:
    """Share of the other's points with an own one within reach, pixels; NaN: no points."""
    near = []
    for row in range(len(other.xy)):
        xy, points = _points(own, row)[0], _points(other, row)[0]
        apart = np.linalg.norm(points[:, None] - xy[None], axis=-1)
        near.append(apart.min(axis=1, initial=np.inf) <= reach)
    return _mean(np.concatenate(near)) if near else float('nan')


def _points(keypoints: Keypoints, row: int) -> tuple[Array, Array]:
    """Places `[n, 2]` float64 and labels `[n]` of a picture's valid points."""
    valid = np.asarray(keypoints.valid[row], bool)
    return (
        np.asarray(keypoints.xy[row], np.float64)[valid],
        np.asarray(keypoints.label[row])[valid],
    )


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else float('nan')

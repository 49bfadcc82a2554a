"""What is known of annotated landmarks beyond their positions, by name.

A config's `data.landmarks` names the set; nothing is guessed from the number of points: where
it names none, errors are in sides of the picture (`unnamed_set`; TUSK's `slots` do guess faces).
Left and right are the animal's unless said otherwise. Sets whose file a user makes
(`annotations.npz`) give the order the points must have.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from kpdiscovery.metrics.landmarks.annotated import five_points
from kpdiscovery.metrics.landmarks.normalizers import (
    annotated_extent,
    box_length,
    joint_distance,
)
from kpdiscovery.types import Array, Source, Unmeasurable, UserError

Truth = Mapping[str, Any]
# Pixels, and whether a picture has the length, `[N]` each.
Length = Callable[[Truth], tuple[Array, Array]]


class PointGroup(NamedTuple):
    """Points that are measured together, and how: [mallis-thesis] does it by the set."""

    points: Callable[[Array, Array], tuple[Array, Array]]  # Of all T: xy and visible.
    normalizer: (
        Length  # What divides errors; reads the subset's `keypoints`, `visible`.
    )
    images: int = 300  # Pictures a regressor is fitted on; 0: all, once.
    penalty: float = 0.01  # Of its ridge.


class LandmarkSet(NamedTuple):
    """T annotated points whose order has a meaning."""

    name: str
    num_points: int  # T.
    subsets: Mapping[str, PointGroup]  # By the end of figures' names; all points first.
    torso: Length  # PCK counts its reach in it.
    alpha: float = 0.1  # PCK's reach in torsos.
    extent: Length | None = None  # sqrt of the object's area, for OKS.
    sigmas: tuple[float, ...] = ()  # [T] for OKS; () where none make sense.
    pairs: tuple[tuple[int, int], ...] = ()  # (left, right) points.
    hidden: bool = False  # Points that are not visible have true positions too.
    eyes: bool = False  # The lengths of its subsets are distances of the eyes.
    # Of TUSK's regression: sides as they are seen, and epochs of its regressor (0: as many
    # steps as on MAFL).
    as_seen: bool = False
    epochs: int = 0


def landmark_set(name: str) -> LandmarkSet:
    """The set called `name`.

    Raises:
        ValueError: no such set.
    """
    if name not in LANDMARK_SETS:
        near = difflib.get_close_matches(name, LANDMARK_SETS, n=1, cutoff=0.3)
        hint = f'; did you mean {near[0]!r}?' if near else ''
        known = ', '.join(LANDMARK_SETS)
        raise ValueError(f'no landmark set {name!r}; there are: {known}{hint}')
    return LANDMARK_SETS[name]


def unnamed_set(count: int, side: float) -> LandmarkSet:
    """Any T points in a fixed order, of which nothing else is known.

    Args:
        count: T.
        side: of the pictures, pixels: what divides errors.
    """

    def length(truth):
        pictures = len(truth['keypoints'])
        return np.full(pictures, side), np.ones(pictures, bool)

    return _one_length('', count, length, ending=f'{count}@side')


def check_landmarks(name: str, source: Source) -> None:
    """The source's points must be those of the set that `data.landmarks` names.

    Raises:
        UserError: there is no such set, or it has another number of points.
    """
    points = source[0].get('keypoints')
    if not name or points is None:
        return
    try:
        known = landmark_set(name)
    except ValueError as error:
        raise UserError(f'data.landmarks: {error}') from None
    if points.shape[-2] != known.num_points:
        raise UserError(
            f'the annotations have {points.shape[-2]} points a picture, data.landmarks '
            f'{name!r} means {known.num_points}: name their set with '
            "--config.data.landmarks=NAME ('' for none)"
        )


def _joints(one: int, two: int) -> Length:
    return lambda truth: joint_distance(
        truth['keypoints'], truth['visible'], joints=(one, two)
    )


def _extent(truth: Truth) -> tuple[Array, Array]:
    return annotated_extent(truth['keypoints'], truth['visible'])


def _box(side: str, truth: Truth) -> tuple[Array, Array]:
    if truth.get('boxes') is None or truth.get('boxes_valid') is None:
        raise Unmeasurable("needs truth 'boxes': lengths are in sides of the true box")
    return box_length(truth['boxes'], truth['boxes_valid'], side=side)


def _all(xy: Array, visible: Array) -> tuple[Array, Array]:
    return xy, visible


def _one_length(
    name: str, count: int, length: Length, *, images: int = 300, ending='', **facts: Any
) -> LandmarkSet:
    """A set measured as a whole, in one length unless `torso` is another."""
    subsets = {ending or str(count): PointGroup(_all, length, images)}
    return LandmarkSet(name, count, subsets, **{'torso': length, **facts})


def _sigmas(count: int, **points: tuple[int, ...]) -> tuple[float, ...]:
    """COCO's for its joints, 0.08 for the others (own choice: [mallis-thesis] is silent)."""
    coco = {
        'shoulders': 0.079, 'elbows': 0.072, 'wrists': 0.062, 'hips': 0.107,
        'knees': 0.087, 'ankles': 0.089,
    }  # fmt: skip
    of = {point: coco[joint] for joint, group in points.items() for point in group}
    return tuple(of.get(point, 0.08) for point in range(count))


_LONGER = functools.partial(_box, 'longer')
_MEAN_SIDE = functools.partial(_box, 'mean')
_EYES = _joints(0, 1)
_LOWER_LIDS = _joints(41, 46)  # By which chapter 5 measures; left and right as seen.
_FACE_PAIRS = (
    *((i, 16 - i) for i in range(8)),  # Jaw.
    *((17 + i, 26 - i) for i in range(5)),  # Brows.
    (31, 35), (32, 34),
    (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46),
    (48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67),
)  # fmt: skip
_FIVE = PointGroup(five_points, _EYES, 0, 0.001)  # Tables 4.1, 5.1, 6.7.
_H36M_PAIRS = (
    *zip(range(6, 11), range(1, 6), strict=True),  # Legs.
    *zip(range(16, 24), range(24, 32), strict=True),  # Arms.
)

_SETS = (
    # 68 points in the usual order, left and right as seen in the picture.
    LandmarkSet(
        'faces68', 68, {'68': PointGroup(_all, _LOWER_LIDS), '5': _FIVE},
        torso=_LOWER_LIDS, pairs=_FACE_PAIRS, eyes=True,
    ),
    # LS3D-W: the same points of faces in any pose, where eyes may fall together.
    LandmarkSet(
        'ls3d68', 68, {'68': PointGroup(_all, _extent, 1_000, 0.1)},  # [mallis2023].
        torso=_extent, pairs=_FACE_PAIRS,
    ),
    # MAFL, AFLW: eyes, nose, corners of the mouth.
    LandmarkSet(
        'faces5', 5, {'5': PointGroup(_all, _EYES, 0, 0.001)},
        torso=_EYES, pairs=((0, 1), (3, 4)), eyes=True,
    ),
    # Cat Heads without the two ear tips; left eye, right eye and mouth come first.
    _one_length('cats7', 7, _EYES, pairs=((0, 1),), eyes=True),
    # Human3.6M: the shoulders (chapter 5); torso from a shoulder to the other hip (own
    # choice, as for Penn), 0.3 of it in table 6.11.
    _one_length(
        'h36m32', 32, _joints(25, 17), images=800, torso=_joints(17, 1), alpha=0.3,
        extent=_extent,
        sigmas=_sigmas(32, shoulders=(17, 25), elbows=(18, 26), wrists=(19, 27),
                       hips=(1, 6), knees=(2, 7), ankles=(3, 8)),
        pairs=_H36M_PAIRS, as_seen=True, epochs=2,
    ),
    # BBC Pose: head, then right and left of wrists, elbows, shoulders.
    _one_length(
        'bbc7', 7, _joints(5, 6), extent=_extent,
        sigmas=_sigmas(7, wrists=(1, 2), elbows=(3, 4), shoulders=(5, 6)),
        pairs=((2, 1), (4, 3), (6, 5)),
    ),
    # PennAction: head, then left and right of shoulders, elbows, wrists, hips, knees,
    # ankles; lengths in sides of the true box.
    _one_length(
        'penn13', 13, _MEAN_SIDE, torso=_joints(1, 8), alpha=0.3, extent=_MEAN_SIDE,
        sigmas=_sigmas(13, shoulders=(1, 2), elbows=(3, 4), wrists=(5, 6),
                       hips=(7, 8), knees=(9, 10), ankles=(11, 12)),
        pairs=tuple((i, i + 1) for i in range(1, 13, 2)),
    ),
    # DeepFashion by a pose detector, in any order; no normaliser is stated.
    _one_length('fashion14', 14, _extent),
    # CUB-200-2011 in its own order.
    _one_length('cub15', 15, _MEAN_SIDE, pairs=((6, 10), (7, 11), (8, 12))),
    # Our generated animals: near and far foot are no left and right.
    _one_length('critters12', 12, _LONGER, hidden=True),
    # Snout, ears, tail base of a mouse from above; its length is steadier than the
    # distance of its ears (own choice).
    _one_length('mouse4', 4, _joints(0, 3), pairs=((1, 2),)),
)  # fmt: skip
LANDMARK_SETS: dict[str, LandmarkSet] = {known.name: known for known in _SETS}

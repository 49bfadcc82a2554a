"""From joint angles to bones in the picture, and to keypoints."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery.data.generated.critters.anatomy import (
    BONES,
    GROUPS,
    KEYPOINTS,
    indices,
    pick,
)
from kpdiscovery.data.generated.critters.chance import between
from kpdiscovery.types import Array

_PARENT = indices(BONES.values(), 'parent', BONES)
_GROUP = indices(BONES.values(), 'group', GROUPS)
_ATTACH = np.array([bone.attach for bone in BONES.values()], np.float32)
_REST, _SWING, _UNIT, _FOLLOW = (
    np.array([getattr(bone, name) for bone in BONES.values()], np.float32)
    for name in ('rest', 'swing', 'unit', 'follow')
)
_SPREAD = np.array(list(GROUPS.values()), np.float32)
_MARK_BONE = indices(KEYPOINTS.values(), 'bone', BONES)
_ANCHOR, _ANCHOR_BY = pick(KEYPOINTS.values(), 'anchor')
_TOWARDS = np.array([mark.towards for mark in KEYPOINTS.values()], np.float32)
_MARK_REACH = np.array([mark.reach for mark in KEYPOINTS.values()], np.float32)


def _chains(follow):
    """`[J, J]`: how much of each bone's own angle (or step) every bone inherits."""
    chains = np.eye(len(follow), dtype=np.float32)
    for child, parent in enumerate(_PARENT):
        if child != parent:
            chains[child] += follow[child] * chains[parent]
    return chains


_TURNS, _STEPS = _chains(_FOLLOW), _chains(np.ones_like(_FOLLOW))


class Frames(NamedTuple):
    """Frames of the J bones, in the animal's units or in pixels."""

    origin: Array  # [J, 2]
    along: Array  # [J, 2] the bone's x axis, scaled by its unit.
    left: Array  # [J, 2] its y axis.
    unit: Array  # [J] length of radii of 1.


class Turn(NamedTuple):
    """How an animal is turned, before scale and place; scalars."""

    facing: Array  # 1 right, -1 left.
    rotation: Array  # Radians, anticlockwise as seen.
    foreshortening: Array  # Factor of lengths along the body.
    scale: Array  # Longer side of the animal over that of the picture, but for class.


def draw_view(u: Array, reach: float) -> Turn:
    """From four uniform numbers."""
    return Turn(
        facing=jnp.where(u[0] < 0.5, 1.0, -1.0),
        rotation=between(u[1], -math.pi / 6, math.pi / 6, reach),
        foreshortening=1 - 0.3 * reach * u[2],
        scale=between(u[3], 0.45, 0.85, reach),
    )


def draw_angles(u: Array, reach: float) -> Array:
    """Angle of each bone to its parent, `[J]` radians."""
    return jnp.deg2rad(_REST + reach * _SWING * (2 * u - 1))


def skeleton(angles: Array, build: Array, reach: float) -> Frames:
    """Frames in the animal's units, from angles `[J]` and uniform `build` `[groups]`."""
    turn = (_TURNS * angles[None]).sum(axis=1)  # No matrix product: see smooth_field.
    grown = 1 + reach * _SPREAD * (2 * build - 1)
    unit = _UNIT * grown[_GROUP]
    axis = jnp.stack([jnp.cos(turn), jnp.sin(turn)], axis=-1)
    along = unit[:, None] * axis
    left = jnp.stack([-along[:, 1], along[:, 0]], axis=-1)
    steps = _ATTACH[:, :1] * along[_PARENT] + _ATTACH[:, 1:] * left[_PARENT]
    origin = (_STEPS[..., None] * steps[None]).sum(axis=1)
    return Frames(origin, along, left, unit)


def see(frames: Frames, view: Turn) -> Frames:
    """Flipped, foreshortened, turned, and with y down; still in the animal's units."""
    c, s = jnp.cos(view.rotation), jnp.sin(view.rotation)
    wide = view.facing * view.foreshortening

    def turn(v):
        x, y = v[:, 0] * wide, v[:, 1]
        return jnp.stack([c * x - s * y, -s * x - c * y], axis=-1)

    # Thickness shrinks in one of two directions: discs stay discs, of the mean size.
    unit = frames.unit * jnp.sqrt(view.foreshortening)
    return Frames(turn(frames.origin), turn(frames.along), turn(frames.left), unit)


def to_pixels(frames: Frames, zoom: Array, shift: Array) -> Frames:
    """Scaled by `zoom`, then moved by `shift` `[2]`."""
    grow = lambda leaf: zoom * leaf
    return jax.tree.map(grow, frames)._replace(
        origin=zoom * frames.origin + shift[None]
    )


def attach(frames: Frames, bone: np.ndarray, local: Array) -> Array:
    """Points `[P, 2]` given in the frames of bones `[P]`."""
    along, left = frames.along[bone], frames.left[bone]
    return frames.origin[bone] + local[:, :1] * along + local[:, 1:] * left


def keypoints(frames: Frames, code: Array) -> Array:
    """The twelve points `[12, 2]` in the frame of `frames`, for attributes `code` `[6]`."""
    rows = np.arange(len(KEYPOINTS))
    anchor = jnp.asarray(_ANCHOR)[rows, code[_ANCHOR_BY]]
    away = attach(frames, _MARK_BONE, jnp.asarray(_TOWARDS)) - frames.origin[_MARK_BONE]
    away = away / jnp.linalg.norm(away, axis=-1, keepdims=True)
    reach = _MARK_REACH * frames.unit[_MARK_BONE]
    return attach(frames, _MARK_BONE, anchor) + reach[:, None] * away

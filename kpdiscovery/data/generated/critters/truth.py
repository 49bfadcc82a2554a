"""What is where: asked of the same shapes that were painted."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from kpdiscovery.data.generated import tight_boxes
from kpdiscovery.data.generated.critters.anatomy import (
    KEYPOINTS,
    LIMBS,
    PART_NAMES,
    PART_OF,
    STROKES,
)
from kpdiscovery.data.generated.critters.shapes import Shapes, covered
from kpdiscovery.types import Array

_ORDER = list(STROKES)
_LAYER = np.array([_ORDER.index(mark.stroke) for mark in KEYPOINTS.values()])
_OWN_LIMBS = np.array(
    [[limb in mark.limbs for limb in LIMBS] for mark in KEYPOINTS.values()]
)


def truth_of(
    shapes: Shapes, top: Array, points: Array, before: int
) -> dict[str, Array]:
    """Mask, parts, instances, boxes and visibility; see `critters.draw`.

    Args:
        shapes: all that was painted.
        top: `[H, W]` the last shape at every pixel, -1 none.
        points: `[N, 12, 2]` keypoints.
        before: number of shapes painted before the first animal.
    """
    owner = jnp.where(top < 0, -1, shapes.owner[top])
    limb = jnp.where(top < 0, 0, shapes.limb[top])
    boxes, valid = tight_boxes(owner, len(points))
    return {
        'mask': owner >= 0,
        'parts': jnp.asarray(PART_OF)[limb],
        'instances': owner,
        'boxes': boxes,
        'boxes_valid': valid,
        'visible': _visible(shapes, points, before, len(top)),
    }


def part_boxes_of(parts: Array) -> dict[str, Array]:
    """Of one animal's map `[H, W]`: `part_boxes` `[5, 4]` around what is seen of its parts,
    `part_label` `[5]`, in the order of PART_NAMES without the ground; -1 of hidden ones."""
    number = len(PART_NAMES) - 1
    boxes, seen = tight_boxes(parts - 1, number)
    label = jnp.where(seen, jnp.arange(number), -1).astype(jnp.int32)
    return {'part_boxes': boxes, 'part_label': label}


def _visible(shapes, points, before, size):
    """Neither outside nor under foreign shapes painted later, `[N, 12]`."""
    n, marks = points.shape[:2]
    flat = points.reshape(-1, 2)
    cover = covered(shapes, flat[:, 0], flat[:, 1])  # [S, N * 12]
    number = np.repeat(np.arange(n), marks)
    layer = before + number * len(STROKES) + np.tile(_LAYER, n)
    later = np.arange(len(cover))[:, None] > layer[None]
    mine = shapes.owner[:, None] == number[None]
    own = jnp.tile(jnp.asarray(_OWN_LIMBS.T)[shapes.limb], (1, n))
    hidden = (cover & later & ~(mine & own)).any(axis=0)
    inside = ((flat >= -0.5) & (flat < size - 0.5)).all(axis=-1)
    return (inside & ~hidden).reshape(n, marks)

"""The uniform numbers behind a picture, and how far each level lets them reach."""

from __future__ import annotations

from typing import NamedTuple

import jax

from kpdiscovery.data.generated import draw_uniform
from kpdiscovery.data.generated.critters.anatomy import BONES, GROUPS
from kpdiscovery.types import Array

CELLS = 7  # Smooth fields are drawn on a lattice of this side.


class Level(NamedTuple):
    """What makes pictures hard."""

    reach: float  # Factor of every range: of pose, view, light, noise and blur.
    shapes: int  # Distractor shapes, in the ground and of the animals' colours.
    occluders: int  # At most.
    layers: tuple[int, int]  # Fewest and most layers of the ground.
    always: bool = False  # The distractors are there whatever the layers.


LEVELS = {
    'easy': Level(0.5, 0, 0, (1, 1)),
    'standard': Level(1.0, 16, 2, (2, 4)),
    'hard': Level(1.5, 64, 3, (2, 4), always=True),
}


class Chance(NamedTuple):
    """Uniform numbers of one picture of N animals, drawn at once: draws are dear."""

    label: Array  # [N]
    swing: Array  # [N, bones]
    build: Array  # [N, groups]
    view: Array  # [N, 4] facing, rotation, foreshortening, scale
    spot: Array  # [N, 2]
    paint: Array  # [N, 12]
    cells: Array  # [4]
    ground: Array  # [15]
    layers: Array  # [4]
    fields: Array  # [2, CELLS, CELLS] blobs, texture
    leaves: Array  # [shapes, 10]
    occluders: Array  # [occluders, 10]
    light: Array  # [6]
    noise: Array  # [size, size, 3]; last, so that 64 and 128 px show the same scene.


def chance(key: jax.Array, level: Level, *, animals: int, size: int) -> Chance:
    """The numbers of a picture of side `size`."""
    n = animals
    shapes = Chance((n,), (n, len(BONES)), (n, len(GROUPS)), (n, 4), (n, 2), (n, 12),
                    (4,), (15,), (4,), (2, CELLS, CELLS), (level.shapes, 10),
                    (level.occluders, 10), (6,), (size, size, 3))  # fmt: skip
    return draw_uniform(key, shapes)


def between(u: Array, low: float, high: float, reach: float = 1.0) -> Array:
    """Uniform in [low, high], the range widened by `reach` about its middle."""
    middle, half = (low + high) / 2, reach * (high - low) / 2
    return middle + half * (2 * u - 1)

"""What a scene shows: factors of its objects, and the uniform numbers behind them."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery.data.generated import draw_uniform
from kpdiscovery.types import Array

SHAPES = ('sphere', 'cube', 'cylinder')
SIZES = ('large', 'small')
MATERIALS = ('rubber', 'metal')
COLORS = ('gray', 'red', 'blue', 'green', 'brown', 'purple', 'cyan', 'yellow')
RGB = np.array(
    [(87, 87, 87), (173, 35, 35), (42, 75, 215), (29, 105, 20),
     (129, 74, 25), (129, 38, 192), (41, 208, 208), (255, 238, 51)], np.uint8
)  # fmt: skip
_RADIUS = np.array([0.7, 0.35], np.float32)  # By size, in units of the ground.
HALF = np.array([1, 0.8, 0.9], np.float32)  # Half width of a shape of radius 1.
RESTARTS, DARTS = 4, 64  # Tries of a scene; of an object in it.
# Where small objects go, (x, z), should every try fail.
LATTICE = np.array([(x, z) for z in (-1, 1.2, 3.4) for x in (-1.95, -0.65, 0.65, 1.95)])


class Objects(NamedTuple):
    """Leaves `[N]`; x right, y up, z away from the camera."""

    shape: Array
    color: Array
    size: Array
    material: Array
    yaw: Array
    x: Array
    z: Array
    exists: Array

    @property
    def radius(self):
        return jnp.asarray(_RADIUS)[self.size]


class Chance(NamedTuple):
    """Uniform numbers for one scene, drawn at once: each draw costs compilation."""

    factors: Array  # [5, N]
    count: Array  # [1]
    light: Array  # [3]
    darts: Array  # [restarts, N, darts, 2]
    lattice: Array  # [cells, 3]


def chance(key: jax.Array, n: int) -> Chance:
    """The numbers of a scene of at most `n` objects."""
    shapes = Chance((5, n), (1,), (3,), (RESTARTS, n, DARTS, 2), (len(LATTICE), 3))
    return draw_uniform(key, shapes)


def draw_objects(chance: Chance, min_objects: int) -> Objects:
    """Factors of the objects, which stand nowhere yet."""
    kinds = (len(SHAPES), len(COLORS), len(SIZES), len(MATERIALS))
    shape, color, size, material = (
        (u * kind).astype(jnp.int32)
        for u, kind in zip(chance.factors, kinds, strict=False)
    )
    n = len(shape)
    count = min_objects + jnp.floor(chance.count * (n + 1 - min_objects))
    exists = jnp.arange(n) < count
    # Large ones first: they are the hard ones to place.
    size = jnp.sort(jnp.where(exists, size, len(SIZES) - 1))
    yaw, nowhere = chance.factors[4] * math.pi / 2, jnp.zeros(n)
    return Objects(shape, color, size, material, yaw, nowhere, nowhere, exists)

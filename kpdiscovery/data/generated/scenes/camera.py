"""A pinhole camera that looks down on the ground."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.data.generated.scenes.objects import HALF
from kpdiscovery.ops import coordinates
from kpdiscovery.types import Array

_PITCH, _CAMERA, _FOCAL = math.radians(30), (0.0, 5.75, -9.6), 1.9
_FORWARD = (0.0, -math.sin(_PITCH), math.cos(_PITCH))
_UP = (0.0, math.cos(_PITCH), math.sin(_PITCH))


class Seen(NamedTuple):
    """How the camera sees a centre; leaves like the object's."""

    px: Array
    py: Array
    zoom: Array  # Pixels a ground unit.
    depth: Array
    tilt: Array  # Angle of the line of sight below the horizon.


def see(objects, size):
    """Centres in a picture of side `size`."""
    height = objects.radius * jnp.asarray(HALF)[objects.shape]
    x, y, z = (
        v - c for v, c in zip((objects.x, height, objects.z), _CAMERA, strict=True)
    )
    depth = y * _FORWARD[1] + z * _FORWARD[2]
    zoom = _FOCAL * size / depth
    middle = (size - 1) / 2
    up = y * _UP[1] + z * _UP[2]
    tilt = jnp.arctan2(-y, jnp.sqrt(x**2 + z**2))
    return Seen(middle + zoom * x, middle - zoom * up, zoom, depth, tilt)


def ground_of_pixels(size):
    """Ground (x, z) under every pixel, two constants `[H, W]`."""
    to_unit = functools.partial(coordinates.to_unit, size=(size, size))
    unit = jax.vmap(jax.vmap(to_unit))(coordinates.pixel_grid(size, size))
    u, v = unit[..., 0] / (2 * _FOCAL), -unit[..., 1] / (2 * _FOCAL)
    down = _FORWARD[1] + v * _UP[1]
    t = -_CAMERA[1] / down
    return _CAMERA[0] + t * u, _CAMERA[2] + t * (_FORWARD[2] + v * _UP[2])

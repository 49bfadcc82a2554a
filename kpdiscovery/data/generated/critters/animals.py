"""The animals of a picture: posed, dressed, and put where most of them is inside."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from kpdiscovery.data.generated.critters.body import draw_colors, dress, extent
from kpdiscovery.data.generated.critters.chance import Chance
from kpdiscovery.data.generated.critters.classes import CODES
from kpdiscovery.data.generated.critters.pose import (
    draw_angles,
    draw_view,
    keypoints,
    see,
    skeleton,
    to_pixels,
)
from kpdiscovery.data.generated.critters.shapes import Shapes, covered
from kpdiscovery.types import Array

CROWD = {1: 1.0, 2: 0.62, 3: 0.5, 4: 0.5}  # Factor of the scale of so many animals.
_PROBES = 24  # Side of the lattice on which a silhouette is measured.
_INSIDE = 0.88  # Share of the silhouette kept in the picture; 0.85 is promised.
_OUT = 0.3  # Of half its box, at most, sticks out.
_FILL = 1.1  # Box of all variants at once over that of one animal, in the mean.


def draw_animals(luck: Chance, label: Array, reach: float, size: int):
    """N animals of the classes `label` `[N]`.

    Returns:
        Their shapes one after the other, keypoints `[N, 12, 2]`, and the pose of
        `critters.draw`.
    """
    n = len(label)
    view = jax.vmap(functools.partial(draw_view, reach=reach))(luck.view)
    view = view._replace(scale=view.scale * CROWD[n])
    angles = jax.vmap(functools.partial(draw_angles, reach=reach))(luck.swing)

    def one(number, label, angles, view, spot, build, paint):
        code = jnp.asarray(CODES)[label]
        colors = draw_colors(paint, code)
        frames = see(skeleton(angles, build, reach), view)
        loose, box = dress(frames, code, colors, number), extent(frames)
        frames = to_pixels(frames, *place(loose, box, spot, view.scale, size))
        return dress(frames, code, colors, number), keypoints(frames, code)

    numbers, spots = jnp.arange(n, dtype=jnp.int32), _spots(luck, n)
    each = (numbers, label, angles, view, spots, luck.build, luck.paint)
    shapes, points = jax.vmap(one)(*each)
    shapes = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), shapes)
    return shapes, points, {**view._asdict(), 'angles': angles}


def _spots(luck, n):
    """Where in the free range, `[N, 2]`; several animals get a quarter of it each."""
    if n == 1:
        return luck.spot
    cell = jnp.argsort(luck.cells)[:n]
    corner = jnp.stack([cell % 2, cell // 2], axis=-1)
    return (corner + luck.spot) / 2


def place(shapes: Shapes, box, spot: Array, scale: Array, size: int):
    """Zoom, and shift `[2]`, from an animal's own units to pixels.

    Its box is placed uniformly, sticking out a little, and pulled back until enough of
    the animal is inside.

    Args:
        shapes: the animal.
        box: its lowest and highest (x, y), whatever its class.
        spot: `[2]` in [0, 1], from one end of the free range to the other.
        scale: longer side of the animal over `size`, for a class of middling extent.
        size: side of the picture.
    """
    low, high = box
    zoom = _FILL * scale * size / (high - low).max()
    half = zoom * (high - low) / 2
    free = jnp.maximum(size / 2 - half, 0)  # Of the box's centre, from the middle.
    pulls = jnp.linspace(1, 0, 6)[:, None]
    offset = (2 * spot[None] - 1) * (free[None] + _OUT * half[None] * pulls)  # [6, 2]
    enough = _inside(shapes, low, high, zoom, offset, size) >= _INSIDE
    chosen = offset[jnp.argmax(enough)]  # The first; the last is all inside.
    return zoom, (size - 1) / 2 + chosen - zoom * (low + high) / 2


def _inside(shapes, low, high, zoom, offset, size):
    """Share of the silhouette in the picture for each offset of its box, `[6]`."""
    steps = (jnp.arange(_PROBES) + 0.5) / _PROBES
    grid = jnp.stack(jnp.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    probes = low[None] + grid * (high - low)[None]
    solid = covered(shapes, probes[:, 0], probes[:, 1]).any(axis=0)
    apart = zoom * (probes - (low + high)[None] / 2)  # From the middle of the box.
    seen = (jnp.abs(apart[None] + offset[:, None]) < size / 2).all(axis=-1)
    return (seen & solid[None]).sum(axis=1) / solid.sum()

"""One shape for everything: a stroke whose radius changes on the way.

Discs, ellipses, capsules, tapered curves and triangles are strokes; so a picture is a
table of shapes, painted in order, and truth is asked of the same table.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.types import Array


class Shapes(NamedTuple):
    """Leaves `[S, ...]`, lengths in pixels; the first is painted first."""

    a: Array  # [S, 2] start.
    b: Array  # [S, 2] end.
    radii: Array  # [S, 3] at the start, at the end, and added elliptically between.
    blunt: Array  # [S] 1: cut at the ends (triangles), 0: rounded.
    color: Array  # [S, 3] in [0, 1].
    limb: Array  # [S] int32 index in LIMBS.
    owner: Array  # [S] int32 instance, -1 none.


def distance(shape: Shapes, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """About the signed distance to one shape, negative inside, and the surface's slope.

    Exact on the outline of discs, capsules and ellipses, first order elsewhere.

    Args:
        shape: leaves without their first axis.
        x: pixels, any shape; `y` alike.

    Returns:
        distance in pixels and (x, y) from the axis in radii, each like `x`.
    """
    (ax, ay), (dx, dy) = shape.a, shape.b - shape.a
    start, end, bulge = shape.radii
    square = jnp.maximum(dx**2 + dy**2, 1e-6)
    length = jnp.sqrt(square)
    px, py = x - ax, y - ay
    along = (px * dx + py * dy) / square
    t = jnp.clip(along, 0, 1)
    radius = start + (end - start) * t + bulge * 2 * jnp.sqrt(t * (1 - t))
    qx, qy = px - t * dx, py - t * dy
    rounded = jnp.sqrt(qx**2 + qy**2) - radius
    across = jnp.abs(px * dy - py * dx) / length - radius
    cut = jnp.maximum(across, (jnp.abs(along - 0.5) - 0.5) * length)
    scale = 1 / jnp.maximum(radius, 0.5)
    return jnp.where(shape.blunt > 0.5, cut, rounded), qx * scale, qy * scale


def join(*tables: Shapes) -> Shapes:
    """Tables one after the other."""
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *tables)


def covered(shapes: Shapes, x: Array, y: Array) -> Array:
    """Which shapes cover which points `[P]`: bool `[S, P]`."""
    return jax.vmap(lambda shape: distance(shape, x, y)[0] < 0)(shapes)


def paint(canvas, shapes: Shapes, light, texture):
    """Paint all shapes over three planes `[H, W]`, linear in [0, 1].

    Args:
        canvas: three planes.
        shapes: `[S]`.
        light: (x, y) towards the light, its length the strength of the shading.
        texture: plane by which colours are multiplied.

    Returns:
        Three planes, and `[H, W]` int32: the last shape covering a pixel, -1 none.
    """
    size = len(texture)
    ys, xs = jnp.mgrid[:size, :size].astype(jnp.float32)
    top = jnp.full((size, size), -1, jnp.int32)
    step = functools.partial(_paint_one, xs, ys, light, texture)
    things = shapes, jnp.arange(len(shapes.blunt), dtype=jnp.int32)
    (canvas, top), _ = jax.lax.scan(step, (tuple(canvas), top), things)
    return canvas, top


def _paint_one(xs, ys, light, texture, carry, item):
    canvas, top = carry
    shape, number = item
    outline, nx, ny = distance(shape, xs, ys)
    cover = jnp.clip(0.5 - outline, 0, 1)
    lit = texture * (1 + nx * light[0] + ny * light[1])
    color = (shape.color[i] * lit for i in range(3))
    canvas = tuple(
        old + cover * (c - old) for old, c in zip(canvas, color, strict=True)
    )
    return (canvas, jnp.where(outline < 0, number, top)), None

"""What both implementations compute of a tile: pairs of n rows with m columns."""

from __future__ import annotations

import jax
import jax.numpy as jnp

EPS = 1e-9  # Under the root, where the distance has no gradient.
FORMS = ('distance', 'squared')


def kinds(rows: jax.Array, columns: jax.Array) -> tuple[jax.Array, ...]:
    """Which pairs `[n, m]` are of one landmark and picture, of two in one picture, of two
    in two pictures; a point and itself, points without label and one landmark in two
    pictures are none of them.

    Args:
        rows: `[n, 3]` int32: label (-1: none), picture and number of each point.
        columns: `[3, m]`, the same of the others.
    """
    labels = rows[:, :1], columns[:1]
    counts = (labels[0] >= 0) & (labels[1] >= 0) & (rows[:, 2:] != columns[2:])
    same = labels[0] == labels[1]
    near = rows[:, 1:2] == columns[1:2]
    return counts & same & near, counts & ~same & near, counts & ~same & ~near


def hinge(squares: jax.Array, margin: float, form: str) -> jax.Array:
    """The loss of points of different landmarks."""
    if form == 'squared':
        return jnp.maximum(margin - squares, 0)
    return jnp.maximum(margin - jnp.sqrt(squares + EPS), 0) ** 2


def slope(squares: jax.Array, margin: float, form: str) -> jax.Array:
    """The derivative of `hinge` by the square."""
    if form == 'squared':
        return jnp.where(squares < margin, -1.0, 0.0)
    return jnp.minimum(1 - margin * jax.lax.rsqrt(squares + EPS), 0)

"""Drawings as gray pictures: coverage from signed distances, then blur and noise."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kpdiscovery.data.generated.shapes.figures import (
    Board,
    Chance,
    Drawing,
    Figures,
    between,
)
from kpdiscovery.ops import warps
from kpdiscovery.types import Array

_CONTRAST = 30 / 255  # Least difference of a figure from the ground's mean.
_RADIUS = 2  # Of the final blur, pixels.


def paint(drawing: Drawing, luck: Chance, noisy: Array, size: int) -> Array:
    """Gray picture `[size, size]` in about [0, 1]; `noisy`: nothing but noise."""
    u = luck.ground
    mean = between(u[0], 0.05, 0.95)
    smooth = jax.image.resize(luck.fields, (2, size, size), 'cubic') - 0.5
    canvas = mean + between(u[1], 0, 0.5) * smooth[0]
    texture = 1 + between(u[2], 0, 0.5) * smooth[1]
    canvas = _board(canvas, drawing.board, luck, mean, texture)
    y, x = (jnp.mgrid[:size, :size] + 0.5) / size

    def one(canvas, figure):
        cover = jnp.clip(0.5 - size * distance(figure, x, y), 0, 1) * figure.there
        return canvas + cover * (texture * _apart(figure.color, mean) - canvas), None

    canvas, _ = jax.lax.scan(one, canvas, drawing.figures)
    noise = luck.noise - 0.5
    canvas = jnp.where(noisy, mean + noise, _blur(canvas, between(u[3], 0.2, 0.9)))
    return canvas + between(u[4], 0, 0.1) * noise


def distance(figure: Figures, x: Array, y: Array) -> Array:
    """About the signed distance to one figure, negative inside, in its own units.

    Polygons are read by the side that the pixel sees from the centre: exact along the
    sides, and without seams inside.
    """
    x, y = x - figure.center[0], y - figure.center[1]
    a, b = figure.corners, jnp.roll(figure.corners, -1, axis=0)
    turn = jnp.sign(jnp.sum(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]))
    out = jnp.full_like(x, 1.0)
    for (ax, ay), (bx, by) in zip(a, b, strict=True):
        seen = (turn * (ax * y - ay * x) >= 0) & (turn * (x * by - y * bx) > 0)
        seen &= turn * (ax * by - ay * bx) > 0
        length = jnp.sqrt(jnp.maximum((bx - ax) ** 2 + (by - ay) ** 2, 1e-12))
        beyond = -turn * ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / length
        out = jnp.where(seen, beyond, out)
    return jnp.where(figure.axes[0] > 0, _ellipse(figure.axes, x, y), out)


def _ellipse(axes, x, y):
    c, s = jnp.cos(axes[2]), jnp.sin(axes[2])
    u, v = (c * x + s * y), (c * y - s * x)
    radii = jnp.maximum(axes[:2], 1e-3)
    share = jnp.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2)
    return jnp.sqrt(u**2 + v**2) * (1 - 1 / jnp.maximum(share, 1e-3))


def _board(canvas, board: Board, luck, mean, texture):
    """Cells light and dark in turn; four samples a pixel."""
    size = len(canvas)
    contrast = between(luck.ground[5], 0.2, 0.8)
    base = between(
        luck.ground[6], 0.5 - 0.4 * (1 - contrast), 0.5 + 0.4 * (1 - contrast)
    )
    rows, columns = luck.cells.shape
    sign = 1 - 2 * ((jnp.arange(rows)[:, None] + jnp.arange(columns)[None]) % 2)
    cells = base + contrast / 2 * sign + 0.2 * contrast * (luck.cells - 0.5)
    painted, cover = jnp.zeros_like(canvas), jnp.zeros_like(canvas)
    for dx, dy in ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)):
        y, x = jnp.mgrid[:size, :size].astype(jnp.float32)
        xy = jnp.stack([(x + dx) / size, (y + dy) / size], axis=-1).reshape(-1, 2)
        uv = warps.transform_points(board.warp, xy).reshape(size, size, 2)
        inside = ((uv >= 0) & (uv <= 1)).all(axis=-1)
        column = sum(
            (uv[..., 0] >= end).astype(jnp.int32) for end in board.columns[1:-1]
        )
        row = sum((uv[..., 1] >= end).astype(jnp.int32) for end in board.rows[1:-1])
        painted += jnp.where(inside, cells.ravel()[row * columns + column], 0) / 4
        cover += inside / 4
    shown = board.there * 1.0
    return canvas + shown * (texture * painted - cover * canvas)


def _apart(color, mean):
    """Gray levels kept away from the ground's."""
    return jnp.where(jnp.abs(color - mean) < _CONTRAST, (color + 0.5) % 1, color)


def _blur(image, sigma):
    offsets = range(-_RADIUS, _RADIUS + 1)
    taps = [jnp.exp(-0.5 * (i / sigma) ** 2) for i in offsets]
    total = jnp.stack(taps).sum()
    for _ in range(2):  # Down the columns, then, with axes swapped, along the rows.
        wide = jnp.pad(image, ((_RADIUS, _RADIUS), (0, 0)), mode='edge')
        moved = [wide[i : i + len(image)] for i in range(2 * _RADIUS + 1)]
        parts = [t * m for t, m in zip(taps, moved, strict=True)]
        image = jnp.stack(parts).sum(axis=0).T / total
    return image

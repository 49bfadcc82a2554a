"""Points on a grid of 8 x 8 cells: one class for every pixel of a cell and one for none.

Class c of a cell is its pixel (row c // 8, column c % 8); the last class, the dustbin,
says that the cell has no point. Source: [detone2018].
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from kpdiscovery.ops import coordinates, heatmaps, precision, vectors

STRIDE = 8


def to_heatmap(logits: jax.Array) -> jax.Array:
    """Probability of a point at every pixel: `[..., h, w, s*s + 1]` -> `[..., H, W]`."""
    probability = jax.nn.softmax(precision.full(logits), axis=-1)[..., :-1]
    *lead, h, w, classes = probability.shape
    side = math.isqrt(classes)
    if side**2 != classes:
        raise ValueError(f'logits must have s * s + 1 classes, got {classes + 1}')
    blocks = probability.reshape(*lead, h, w, side, side)
    return jnp.swapaxes(blocks, -3, -2).reshape(*lead, h * side, w * side)


def split(pixels: jax.Array, *, stride: int = STRIDE) -> jax.Array:
    """The pixels of every cell: `[..., H, W]` -> `[..., h, w, s*s]`."""
    *lead, height, width = pixels.shape
    h, w = height // stride, width // stride
    blocks = jnp.swapaxes(pixels.reshape(*lead, h, stride, w, stride), -3, -2)
    return blocks.reshape(*lead, h, w, stride**2)


def cell_labels(key: jax.Array, xy: jax.Array, valid: jax.Array, size: tuple[int, int]):
    """Class of every cell, `[h, w]` int32, from points `[K, 2]`.

    Of several points in a cell one is drawn. Points belong to the nearest pixel; those
    outside the (H, W) picture and not `valid` `[K]` are none.
    """
    x, y = jnp.moveaxis(jnp.round(xy).astype(jnp.int32), -1, 0)
    inside = valid & (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0])
    row = jnp.where(inside, y, size[0])  # Beyond the last row: dropped.
    there = (
        jnp.zeros(size, bool).at[row, jnp.where(inside, x, 0)].set(True, mode='drop')
    )
    cells = split(there)
    luck = jax.random.uniform(key, cells.shape)
    winner = jnp.argmax(jnp.where(cells, 1 + luck, 0), axis=-1)
    return jnp.where(cells.any(axis=-1), winner, STRIDE**2).astype(jnp.int32)


def whole(valid: jax.Array) -> jax.Array:
    """Cells all of whose pixels count: bool `[..., H, W]` -> `[..., h, w]`."""
    return split(valid).all(axis=-1)


def inside(valid: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Cells (h, w) `size` that count: bool `[..., H, W]` -> `[..., h, w]`.

    Those all of whose pixels do; where h does not divide H, whose middle does.
    """
    (height, width), (h, w) = valid.shape[-2:], size
    if height % h == 0 and width % w == 0 and height // h == width // w:
        return split(valid, stride=height // h).all(axis=-1)
    middle = lambda n, of: ((jnp.arange(n) + 0.5) * of / n).astype(jnp.int32)
    return valid[..., middle(h, height)[:, None], middle(w, width)[None]]


def centers(height: int, width: int, *, stride: int = STRIDE) -> jax.Array:
    """Pixels (x, y) of the centres of h x w cells, `[h * w, 2]`."""
    grid = coordinates.pixel_grid(height, width).reshape(height * width, 2)
    return coordinates.cell_to_pixel(grid, stride)


def sample_descriptors(
    coarse: jax.Array, xy: jax.Array, *, frame: str = 'centred', stride: int = STRIDE
) -> jax.Array:
    """Descriptors of unit length at points, bilinear between cells.

    Args:
        coarse: `[..., h, w, D]`, of any length.
        xy: `[..., K, 2]` pixels.
        frame: 'centred', cell c being pixel (c + .5) s - .5; or 'corner', half a pixel
            aside, as the public weights were read.

    Returns:
        `[..., K, D]`.
    """
    if frame not in ('centred', 'corner'):
        raise ValueError(f"frame must be 'centred' or 'corner', got {frame!r}")
    cell = coordinates.pixel_to_cell(xy, stride)
    cell = cell if frame == 'centred' else cell - 0.5 / stride
    read = heatmaps.sample_bilinear(vectors.normalize(precision.full(coarse)), cell)
    return vectors.normalize(read)

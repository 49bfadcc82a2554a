"""What both kernels share: tiles of points and the windows of pixels that they read."""

from __future__ import annotations

import jax
import jax.numpy as jnp

SIDE = 16  # Of a tile, points.
COLUMNS = 32  # Of a window: with 24 rows, of a tile turned by .25 and enlarged by 1.2.
SUBLANES = 8  # Columns of a window start at multiples.
LIMIT = 20 * 2**20  # Bytes of a map that may be held on chip, twice.
MEMORY = 2 * LIMIT + 16 * 2**20  # A v5p has 64 MB.


def padded(size: int, multiple: int = SUBLANES) -> int:
    """The next multiple."""
    return -(-size // multiple) * multiple


def split(xy: jax.Array, many: tuple[int, int], size: tuple[int, int]) -> jax.Array:
    """Points `[B, h, w, 2]`, clipped to the map, as `[B, tiles, 2, SIDE**2]`."""
    batch, h, w, _ = xy.shape
    last = jnp.array([size[1] - 1, size[0] - 1], xy.dtype).reshape(1, 1, 1, 2)
    ends = [(0, 0), (0, many[0] * SIDE - h), (0, many[1] * SIDE - w), (0, 0)]
    padded = jnp.pad(jnp.clip(xy, 0, last), ends, mode='edge')
    blocks = padded.reshape(batch, many[0], SIDE, many[1], SIDE, 2)
    blocks = blocks.transpose(0, 1, 3, 5, 2, 4)
    return blocks.reshape(batch, many[0] * many[1], 2, SIDE**2)


def windows(points: jax.Array, window: tuple[int, int]) -> jax.Array:
    """Of each tile: first row and column, and windows down and across, flat int32."""
    low = jnp.floor(points.min(axis=-1)).astype(jnp.int32)
    high = jnp.floor(points.max(axis=-1)).astype(jnp.int32) + 1
    low = low.at[..., 0].set(low[..., 0] // SUBLANES * SUBLANES)
    sides = jnp.array(window[::-1], jnp.int32).reshape(1, 1, 2)
    count = (high - low) // sides + 1
    return jnp.concatenate([low[..., ::-1], count[..., ::-1]], axis=-1).reshape(-1)


def hats(at: jax.Array, start, first, count: int) -> jax.Array:
    """Weights `[count, points]` of pixels from `start`, 0 before the `first`."""
    pixel = jax.lax.broadcasted_iota(jnp.int32, (count, 1), 0) + start
    near = jnp.maximum(0.0, 1 - jnp.abs(at - pixel.astype(jnp.float32)))
    return jnp.where(pixel >= first, near, 0.0)

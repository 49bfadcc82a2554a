"""The specification, and what runs where there is no kernel."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def forward(
    cells: jax.Array, of_largest: float, of_sum: float
) -> tuple[jax.Array, jax.Array]:
    """`[B, H, W, C]` to `[B, C]` pooled values, and which cell, row by row, is the first
    of the largest.

    Values are float32 or as wide as the cells; numbers of cells int32.
    """
    wide = cells.astype(jnp.promote_types(cells.dtype, jnp.float32))
    largest = wide.max(axis=(1, 2))
    # Two `min` are several times faster than one `argmax`, which CPUs do one by one.
    there = wide == largest[:, None, None]
    first = jnp.where(there, places(cells.shape), cells.shape[1] * cells.shape[2])
    return of_largest * largest + of_sum * wide.sum(axis=(1, 2)), first.min(axis=(1, 2))


def backward(
    first: jax.Array,
    grads: jax.Array,
    size: tuple[int, int],
    of_largest: float,
    of_sum: float,
    dtype: jnp.dtype,
) -> jax.Array:
    """`[B, C]` numbers of cells and gradients to those of (H, W) cells, `[B, H, W, C]`."""
    here = places((len(first), *size, first.shape[1])) == first[:, None, None]
    grads = grads[:, None, None]
    return jnp.where(here, (of_largest + of_sum) * grads, of_sum * grads).astype(dtype)


def places(shape: tuple[int, ...]) -> jax.Array:
    """The number of every cell of its map, `[..., H, W, C]`."""
    row, column = (
        jax.lax.broadcasted_iota(jnp.int32, shape, len(shape) - axis) for axis in (3, 2)
    )
    return row * shape[-2] + column

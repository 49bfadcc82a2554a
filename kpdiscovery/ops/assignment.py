"""One-to-one assignment on the device (the Hungarian method)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from optax.assignment import hungarian_algorithm


def linear_assignment(cost: jax.Array) -> jax.Array:
    """The column of each row, one to one and of least total cost: `[..., n, m]` -> `[..., n]`.

    As many rows as possible get a column. Pairs whose cost is not finite are forbidden:
    they are used only as if infinitely dear, and then reported as unassigned.

    Returns:
        int32, -1 for rows without a column.

    Raises:
        ValueError: cost has fewer than two axes or no entry.
    """
    if cost.ndim < 2 or 0 in cost.shape:
        raise ValueError(f'cost must be [..., n, m] with entries, got {cost.shape}')
    *lead, n, m = cost.shape
    flat = cost.reshape(-1, n, m)
    return jax.vmap(_assign)(flat).reshape(*lead, n)


def _assign(cost):
    allowed = jnp.isfinite(cost)
    cost = jnp.where(allowed, cost, 0.0)
    low, high = cost.min(), cost.max()
    # One forbidden pair is dearer than all allowed ones together.
    never = high + (high - low + 1) * min(cost.shape)
    rows, columns = hungarian_algorithm(jnp.where(allowed, cost, never))
    met = jnp.where(allowed[rows, columns], columns, -1).astype(jnp.int32)
    return jnp.full(len(cost), -1, jnp.int32).at[rows].set(met)

"""Means over what counts."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kpdiscovery.ops import parallel


def mean_where(
    values: jax.Array,
    where: jax.Array,
    *,
    axis: int | tuple[int, ...] | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """Mean of the values that count; 0 without any.

    Args:
        values: any shape; NaN where they do not count is harmless, to the gradient too.
        where: bool of the same shape.
        axis: as of `jnp.mean`; None: all.
        axis_name: of `pmap` or `shard_map`, over whose devices the mean is.
    """
    total = lambda x: parallel.total(x.sum(axis), axis_name)
    return total(jnp.where(where, values, 0)) / jnp.maximum(total(where), 1)

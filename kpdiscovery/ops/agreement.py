"""Two labellings of the same things: how often labels meet, and how much they agree."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from kpdiscovery.ops import parallel


@functools.partial(jax.jit, static_argnames=('shape', 'axis_name'))
def contingency(
    rows: jax.Array,
    columns: jax.Array,
    *,
    shape: tuple[int, int],
    axis_name: str | None = None,
) -> jax.Array:
    """How often label i of `rows` meets label j of `columns`: `shape` int32.

    Args:
        rows: integers; where either of the two is negative nothing is counted.
        columns: integers of the same shape.
        shape: (R, C), more than the largest label of each.
        axis_name: of `pmap` or `shard_map`, over whose devices is counted.
    """
    there = (rows >= 0) & (columns >= 0)
    at = jnp.where(there, rows, shape[0])  # Out of range: dropped.
    counts = jnp.zeros(shape, jnp.int32).at[at, columns].add(1, mode='drop')
    return parallel.total(counts, axis_name)


def mutual_information(table: Any) -> Any:
    """What two labellings know of each other, over the mean entropy of both: a scalar.

    Args:
        table: `[R, C]` counts, of numpy (float64 then) or JAX.

    Returns:
        0 (independent, or nothing met) to 1 (the same partition, also where each is a
        single cluster).

    Source: arithmetic mean as in scikit-learn.
    """
    xp = table.__array_namespace__()
    p = table / xp.maximum(table.sum(), 1)
    rows, columns, both = (_entropy(xp, q) for q in (p.sum(axis=1), p.sum(axis=0), p))
    mean = (rows + columns) / 2
    agree = (rows + columns - both) / xp.maximum(mean, 1e-9)
    agree = xp.where(mean > 1e-9, xp.clip(agree, 0, 1), 1.0)
    return xp.where(table.sum() > 0, agree, 0.0)


def _entropy(xp, p):
    return -xp.sum(xp.where(p > 0, p * xp.log(xp.maximum(p, 1e-30)), 0))

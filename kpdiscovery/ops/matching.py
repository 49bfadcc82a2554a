"""Cells of two maps that look alike."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.ops import precision, vectors


class Matches(NamedTuple):
    """Pairs of cells, best first, in a fixed number of slots."""

    source_index: jax.Array  # [count] int32, cell of the first map; 0 where not valid.
    target_index: jax.Array  # [count] int32, cell of the second map.
    score: jax.Array  # [count] float32 cosine; 0 where not valid.
    valid: jax.Array  # [count] bool


def cosine_matches(
    a: jax.Array,
    b: jax.Array,
    *,
    count: int,
    threshold: float = 0.6,
    valid_a: jax.Array | None = None,
    valid_b: jax.Array | None = None,
) -> Matches:
    """The pairs of cells of highest cosine similarity above a threshold.

    Each channel is first divided by its maximum over its map, all cells included, which
    lifts weak parts. A cell may be in several pairs.

    Args:
        a: `[P, C]` values of the cells of one map, not negative; computed in float32.
        b: `[Q, C]`, of another.
        count: slots; of equal pairs the first in the order (cell of a, cell of b) stay.
        threshold: cosines must exceed it.
        valid_a: `[P]` bool, cells that may be matched (the reference leaves out those
            of the background); None: all. Cells with a value that is not finite never.
        valid_b: `[Q]` bool, likewise.

    Raises:
        ValueError: shapes that do not fit, or no slots.

    Source: [guo2020], section 3.2.2.
    """
    _check(a, b, count, valid_a, valid_b)
    (a, in_a), (b, in_b) = _directions(a, valid_a), _directions(b, valid_b)
    cosines = jnp.einsum('pc,qc->pq', a, b, precision='highest')
    fits = in_a[:, None] & in_b[None] & (cosines > threshold)
    pairs = jnp.where(fits, cosines, -jnp.inf).reshape(-1)
    score, which = jax.lax.top_k(pairs, min(count, pairs.size))
    score = jnp.pad(score, (0, count - score.size), constant_values=-jnp.inf)
    which = jnp.pad(which, (0, count - which.size)).astype(jnp.int32)
    valid = score > -jnp.inf
    source, target = jnp.divmod(jnp.where(valid, which, 0), len(b))
    return Matches(source, target, jnp.where(valid, score, 0.0), valid)


def _directions(cells, valid):
    """`[P, C]` of unit length, channels of maximum 1, and which cells count."""
    cells = precision.full(cells)
    finite = jnp.isfinite(cells).all(axis=-1)
    cells = jnp.where(finite[:, None], cells, 0.0)
    highest = cells.max(axis=0, keepdims=True)
    lifted = cells / jnp.where(highest > 0, highest, 1.0)
    return vectors.normalize(lifted), finite if valid is None else finite & valid


def _check(a, b, count, valid_a, valid_b):
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f'wanted a [P, C] and b [Q, C], got {a.shape} and {b.shape}')
    if count < 1:
        raise ValueError(f'count must be at least 1, got {count}')
    for name, cells, valid in (('a', a, valid_a), ('b', b, valid_b)):
        if valid is not None and valid.shape != cells.shape[:1]:
            raise ValueError(
                f'valid_{name} must be {cells.shape[:1]}, got {valid.shape}'
            )

"""Sums of the contrastive loss over pairs, rows a block at a time, and their gradient."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from pallas_kernels.contrastive import tiles

_BLOCK = 128  # Rows; a block of them with all columns is what is stored.


def sums(rows, row_ids, columns, column_ids, *, margin, form):
    """Sums of the loss and numbers of pairs, `[3]` each in the order of `tiles.kinds`.

    Args:
        rows: `[n, D]` descriptors; `columns` `[N, D]` are what they are paired with.
        row_ids: `[3, n]` int32, label, picture and number; `column_ids` `[3, N]`.
    """

    def block(some):
        squares, kinds = _pairs(*some, columns, column_ids)
        apart = tiles.hinge(squares, margin, form)
        terms = zip(kinds, (squares, apart, apart), strict=True)
        values = jnp.stack([jnp.sum(jnp.where(kind, a, 0)) for kind, a in terms])
        return values, jnp.stack([jnp.sum(k, dtype=jnp.float32) for k in kinds])

    found = jax.lax.map(block, _blocks(rows, row_ids))
    return tuple(jnp.sum(part, axis=0) for part in found)


def gradient(rows, row_ids, columns, column_ids, weights, *, margin, form):
    """`[n, D]` gradient of `weights @ sums` over all ordered pairs of all points, of which
    these are the rows: pairs count from both ends."""

    def block(some):
        squares, kinds = _pairs(*some, columns, column_ids)
        apart = tiles.slope(squares, margin, form)
        terms = zip(kinds, (jnp.ones_like(apart), apart, apart), weights, strict=True)
        pull = sum(jnp.where(kind, w * a, 0) for kind, a, w in terms)
        towards = jnp.matmul(pull, columns.astype(jnp.float32), precision='highest')
        return 4 * (pull.sum(axis=1, keepdims=True) * some[0] - towards)

    found = jax.lax.map(block, _blocks(rows, row_ids))
    return found.reshape(-1, rows.shape[1])[: len(rows)].astype(rows.dtype)


def _blocks(rows, row_ids):
    """`[blocks, block, D]` and `[blocks, block, 3]`, filled up with points without label."""
    block = min(_BLOCK, len(rows))
    missing = -len(rows) % block
    rows = jnp.pad(rows, ((0, missing), (0, 0)))
    ids = jnp.pad(row_ids, ((0, 0), (0, missing)), constant_values=-1).T
    return rows.reshape(-1, block, rows.shape[1]), ids.reshape(-1, block, 3)


def _pairs(rows, row_ids, columns, column_ids):
    """`[n, N]` squared distances, without the differences, and the kinds of pairs."""
    inner = jnp.matmul(
        rows, columns.T, precision='highest', preferred_element_type=jnp.float32
    )
    lengths = [jnp.sum(x.astype(jnp.float32) ** 2, axis=1) for x in (rows, columns)]
    squares = lengths[0][:, None] - 2 * inner + lengths[1][None]
    return jnp.maximum(squares, 0), tiles.kinds(row_ids, column_ids)

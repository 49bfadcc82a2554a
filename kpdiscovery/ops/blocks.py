"""Visiting the rows of long arrays block by block, with static shapes and no padding."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def count(n: int, block: int) -> int:
    """Blocks needed to see n rows."""
    return -(-n // block)


def even(n: int, block: int) -> int:
    """Rows of about equal blocks of at most `block`, so that the last one repeats few.

    A multiple of 128, the lanes of a TPU, unless that is more than n.
    """
    each = -(-n // count(n, block))
    return min(-(-each // 128) * 128, block, n)


def cut(tree, i, block: int):
    """The rows of block i of arrays `[N, ...]`, N >= `block`.

    The last block reaches back where N is not a multiple of `block`.

    Returns:
        The rows `[block, ...]`, the number of the first one, and `[block]` bool: those
        that no block before held.
    """
    n = len(jax.tree.leaves(tree)[0])
    start = jnp.minimum(i * block, n - block)
    rows = jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, start, block), tree)
    return rows, start, start + jnp.arange(block) >= i * block


def put(tree, rows, start):
    """Arrays `[N, ...]` with rows overwritten from number `start` on."""
    write = lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new, start, 0)
    return jax.tree.map(write, tree, rows)

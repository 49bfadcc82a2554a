"""What the kernel computes, a cell at a time."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def pairwise_js(
    p: jax.Array, q: jax.Array, own_p: jax.Array, own_q: jax.Array
) -> jax.Array:
    """Sum over cells of (own_p + own_q - sum s log s) / 2, s = p + q, where above 0.

    Args:
        p, q: `[A, P, C]` and `[B, P, C]` float32, above 0 where they count.
        own_p, own_q: `[A, P]` and `[B, P]`: sum over the channels of p log 2p; -inf in
            cells that do not count, whose p and q may be anything.

    Returns:
        `[A, B]` float32.
    """

    def cell(c, total):
        s = p[:, c][:, None] + q[:, c][None]
        mixed = jnp.sum(s * jnp.log(s), axis=-1)
        term = (own_p[:, c][:, None] + own_q[:, c][None] - mixed) / 2
        return total + jnp.where(term > 0, term, 0.0)

    empty = 0.0 * (own_p[:, :1] + own_q[:, 0][None])  # Varies over devices as they do.
    return jax.lax.fori_loop(0, p.shape[1], cell, jnp.where(empty == 0, empty, 0.0))

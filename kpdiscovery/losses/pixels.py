"""Losses that compare maps or pictures pixel by pixel, one number per example."""

import jax
import jax.numpy as jnp

from kpdiscovery.ops import precision


def squared_error(x: jax.Array, y: jax.Array) -> jax.Array:
    """Mean squared difference per example: two `[B, ...]` -> `[B]`."""
    return jnp.mean(precision.full(x - y) ** 2, axis=tuple(range(1, x.ndim)))


def equivariance(
    warped: jax.Array, other: jax.Array, *, valid: jax.Array | None = None
) -> jax.Array:
    """Mean squared difference of a warped map and the map of the warped picture.

    Args:
        warped, other: `[B, H, W, C]`; gradients reach both.
        valid: `[B, H, W]` bool, pixels that have a counterpart; None counts all, as the
            released code of TUSK does. An example without a valid pixel gives 0.

    Returns:
        `[B]`. Source: [jin2022], section 3.2, eq. 5.
    """
    squares = jnp.mean(precision.full(warped - other) ** 2, axis=-1)
    if valid is None:
        return squares.mean(axis=(1, 2))
    weight = valid.astype(squares.dtype)
    return (squares * weight).sum((1, 2)) / jnp.maximum(weight.sum((1, 2)), 1)

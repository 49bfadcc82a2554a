"""Lengths and distances of rows of vectors."""

import jax
import jax.numpy as jnp


def normalize(x: jax.Array, *, eps: float = 1e-12) -> jax.Array:
    """Unit length along the last axis; vectors shorter than `eps` stay short.

    The gradient at zero is finite, unlike that of a division by the norm.
    """
    squares = jnp.sum(x * x, axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(squares, eps**2))


def squared_distances(x: jax.Array, y: jax.Array) -> jax.Array:
    """||x_n - y_m||^2 for `[..., N, D]` and `[M, D]`: `[..., N, M]`, never negative."""
    lead = (1,) * (x.ndim - 1)
    inner = jnp.einsum('...d,md->...m', x, y, precision='highest')
    y_squares = jnp.sum(y * y, axis=-1).reshape(*lead, -1)
    return jnp.maximum(jnp.sum(x * x, -1, keepdims=True) - 2 * inner + y_squares, 0)

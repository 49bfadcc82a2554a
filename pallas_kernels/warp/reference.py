"""What sampling is: the four pixels around each point, weighted."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def sample(maps: jax.Array, xy: jax.Array) -> jax.Array:
    """Maps `[B, H, W, C]` at points `[B, h, w, 2]`, (x, y): `[B, h, w, C]`.

    Points outside a map read its nearest border pixel.
    """
    return jax.vmap(_sample)(maps, xy)


def gradient(maps: jax.Array, xy: jax.Array, cotangent: jax.Array) -> jax.Array:
    """That of the maps, for a cotangent `[B, h, w, C]` of the result."""
    return jax.vjp(lambda m: sample(m, xy), maps)[1](cotangent)[0]


def _sample(one, xy):
    height, width, _ = one.shape
    x = jnp.clip(xy[..., 0], 0, width - 1)
    y = jnp.clip(xy[..., 1], 0, height - 1)
    x0, y0 = (jnp.floor(jax.lax.stop_gradient(v)).astype(jnp.int32) for v in (x, y))
    x1, y1 = jnp.minimum(x0 + 1, width - 1), jnp.minimum(y0 + 1, height - 1)
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    row = lambda at: one[at, x0] * (1 - fx) + one[at, x1] * fx
    return row(y0) * (1 - fy) + row(y1) * fy

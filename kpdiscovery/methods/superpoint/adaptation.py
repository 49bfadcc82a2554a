"""Homographic adaptation: what a detector finds in many views of one picture."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from kpdiscovery.methods.superpoint.augmentation import Homographies
from kpdiscovery.ops import warps

_LEAST = 1.0  # Homographies that must have shown a pixel; below, it has no points.


def adapt(
    detect: Callable[[jax.Array], jax.Array],
    keys: jax.Array,
    gray: jax.Array,
    views: Homographies,
    *,
    count: int,
) -> jax.Array:
    """Mean probability of a point at each pixel over the views that show it.

    Args:
        detect: `[B, H, W]` pictures -> probabilities `[B, H, W]`.
        keys: `[B]`, one a picture.
        gray: `[B, H, W]` in [0, 1].
        count: views; the first is the picture itself.

    Returns:
        `[B, H, W]`.
    """
    first = detect(gray), jnp.ones_like(gray)
    size = (gray.shape[1], gray.shape[2])

    def one(sums, number):
        draw = lambda key: views.draw(jax.random.fold_in(key, number), size)
        there = jax.vmap(draw)(keys)
        back = warps.invert(there)
        seen = jax.vmap(lambda h: views.covers(h, size))(there)
        found = detect(warps.warp_image(there, gray[..., None])[..., 0]) * seen
        both = jnp.stack([found, seen.astype(gray.dtype)], axis=-1)
        both = warps.warp_image(back, both)
        own = jax.vmap(lambda h: views.covers(h, size))(back)
        fresh = jnp.moveaxis(both * own[..., None], -1, 0)
        return (sums[0] + fresh[0], sums[1] + fresh[1]), None

    (total, weight), _ = jax.lax.scan(one, first, jnp.arange(1, count))
    return combine(total, weight)


def combine(total: jax.Array, weight: jax.Array) -> jax.Array:
    """Sums of probabilities over sums of counts; 0 where hardly any view was."""
    return jnp.where(weight >= _LEAST, total / jnp.maximum(weight, _LEAST), 0)

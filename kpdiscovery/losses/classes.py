"""Losses that compare classes and pictures of classes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

_EPS = 1e-12  # Under the root, where the distance has no gradient.


def weight_map(
    logits: jax.Array, target: jax.Array, maps: jax.Array, *, regularizer: float = 1.0
) -> jax.Array:
    """Seen through its map, a picture keeps its class; the map is small: `[B]`.

    Cross-entropy plus `regularizer` times the mean of the map's absolute values. With
    `target` soft the smallest cross-entropy is the entropy of the target, not 0.

    Args:
        logits: `[B, classes]` of the pictures times their maps.
        target: `[B, classes]` probabilities.
        maps: `[B, H, W]`.

    Source: [shaharabany2021], section 3; the mean as in the later code, since
    the sum of 50,000 cells would drown the first term.
    """
    size = jnp.abs(maps).mean(axis=(1, 2))
    return optax.softmax_cross_entropy(logits, target) + regularizer * size


def triplet(
    anchor: jax.Array, positive: jax.Array, negative: jax.Array, *, margin: float = 1.0
) -> jax.Array:
    """`max(0, |a - p| - |a - n| + margin)` of vectors `[..., D]`: `[...]`.

    Source: [shaharabany2021], equations 2 to 4.
    """
    near, far = (_distance(anchor, other) for other in (positive, negative))
    return jnp.maximum(near - far + margin, 0)


def _distance(a, b):
    return jnp.sqrt(((a - b) ** 2).sum(axis=-1) + _EPS)

"""Keypoints that are told apart by their place in the list."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kpdiscovery.types import Keypoints


def labelled(
    xy: jax.Array, score: jax.Array | None = None, valid: jax.Array | None = None
) -> Keypoints:
    """Ordered landmarks `[..., K, 2]`: keypoint k has label k.

    Without `score` `[..., K]` all have 1, without `valid` `[..., K]` all count.
    """
    shape = xy.shape[:-1]
    label = jnp.broadcast_to(jnp.arange(shape[-1], dtype=jnp.int32), shape)
    return Keypoints(
        xy,
        jnp.ones(shape) if score is None else score,
        label,
        jnp.ones(shape, bool) if valid is None else valid,
    )

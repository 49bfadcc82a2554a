"""Losses of generic keypoint detectors on a grid of cells (SuperPoint)."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kpdiscovery.ops import precision, reductions, vectors


def cell_cross_entropy(
    logits: jax.Array, labels: jax.Array, valid: jax.Array
) -> jax.Array:
    """Mean cross entropy of the cells that count: `[B]`, 0 where none does.

    Args:
        logits: `[B, h, w, C]`.
        labels: `[B, h, w]` int32 class.
        valid: `[B, h, w]` bool.
    """
    loglik = jax.nn.log_softmax(precision.full(logits), axis=-1)
    own = -jnp.take_along_axis(loglik, labels[..., None], axis=-1)[..., 0]
    return reductions.mean_where(own, valid, axis=(1, 2))


def descriptor_hinge(
    first: jax.Array,
    second: jax.Array,
    same: jax.Array,
    valid: jax.Array,
    *,
    positive_weight: float = 0.05,
    positive_margin: float = 1.0,
    negative_margin: float = 0.2,
) -> jax.Array:
    """Cells of two pictures: alike where they show the same place, unlike elsewhere.

    Inner products of unit descriptors, cut at 0, are brought to unit length over the
    second picture's cells and then over the first's, so that a cell is to be alike to
    its partner more than to the others. Weights belong to this form; the paper's (250
    and 1e-4) to plain inner products.

    Args:
        first: `[B, N, D]` descriptors of cells, of any length.
        second: `[B, M, D]`.
        same: `[B, N, M]` bool.
        valid: `[B, M]` bool, cells of the second picture that count.

    Returns:
        `[B]`, mean over the pairs that count.

    Source: [detone2018], the public training code.
    """
    a, b = (vectors.normalize(precision.full(x)) for x in (first, second))
    dot = jax.nn.relu(jnp.einsum('bnd,bmd->bnm', a, b))
    dot = vectors.normalize(dot)
    dot = jnp.swapaxes(vectors.normalize(jnp.swapaxes(dot, 1, 2)), 1, 2)
    pull = positive_weight * jnp.maximum(positive_margin - dot, 0)
    push = jnp.maximum(dot - negative_margin, 0)
    each = jnp.where(same, pull, push) * valid[:, None].astype(dot.dtype)
    pairs = valid.sum(axis=1) * first.shape[1]
    return each.sum(axis=(1, 2)) / jnp.maximum(pairs, 1)

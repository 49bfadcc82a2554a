"""How landmark networks are taught: descriptors by pairs, maps by points."""

import jax
import jax.numpy as jnp

from kpdiscovery.losses import pairs
from kpdiscovery.ops import reductions


def contrastive_landmarks(
    squares: jax.Array,
    same: jax.Array,
    counts: jax.Array,
    *,
    margin: float = 0.8,
    form: str = 'distance',
) -> jax.Array:
    """Descriptors of one landmark together, of two landmarks apart: a scalar over a set.

    The mean over all pairs that count of d^2 for equal landmarks, and for different ones
    max(0, margin - d)^2 (`form='distance'`, the released codes) or max(0, margin - d^2)
    (`form='squared'`, [mallis-thesis], equations 5.3 and 6.3). 0 without pairs.

    Args:
        squares: `[...]` squared distances d^2 of pairs of descriptors, not negative.
        same: bool, broadcast to `squares`: both points are the same landmark.
        counts: bool, broadcast to `squares`: pairs that count.
        margin: distance (or squared distance) from which on a pair is left alone.

    Raises:
        ValueError: an unknown form.

    Source: [mallis-thesis], equations 5.3 and 6.3; released codes of [mallis2020] and
    [mallis2023].
    """
    pairs.check(form)
    terms = jnp.where(same, squares, pairs.hinge(squares, margin, form))
    counts = jnp.broadcast_to(counts, squares.shape)
    return reductions.mean_where(terms, counts)


def crowding(xy: jax.Array, *, reach: float) -> jax.Array:
    """How much landmarks `[B, K, 2]` cover each other: `[B]` in [0, K - 1], 0 if far apart.

    The mean over landmarks of the sum over the others of Gaussians of their distance,
    `reach` being the standard deviation.

    Source: own choice.
    """
    gap = jnp.sum((xy[:, :, None] - xy[:, None]) ** 2, axis=-1)
    covered = jnp.exp(-gap / (2 * reach**2)).sum(axis=-1) - 1  # Less the point itself.
    return covered.mean(axis=-1)


def heatmap_mse(
    predicted: jax.Array, target: jax.Array, counts: jax.Array
) -> jax.Array:
    """Half the squared error of maps `[..., H, W, K]`, unlabelled ones left alone: `[...]`.

    The mean over all K channels, those that do not count (`[..., K]` bool) with 0. (Chapter
    5 takes the mean over those that count; here a picture with few teaches less.)

    Source: [mallis-thesis], chapter 6, and the released code of [mallis2023].
    """
    errors = 0.5 * jnp.mean((predicted - target) ** 2, axis=(-3, -2))
    return jnp.where(counts, errors, 0).mean(axis=-1)


def heatmap_cross_entropy(
    logits: jax.Array, target: jax.Array, counts: jax.Array
) -> jax.Array:
    """Cross-entropy of each map's softmax over its cells with its target: `[...]` nats.

    The mean over all K channels of `[..., H, W, K]`, those that do not count
    (`[..., K]` bool) with 0. A target is scaled to sum to 1.

    Source: own choice, beside `heatmap_mse`.
    """
    cells = (-3, -2)
    share = target / jnp.maximum(target.sum(cells, keepdims=True), 1e-9)
    errors = -jnp.sum(share * jax.nn.log_softmax(logits, axis=cells), axis=cells)
    return jnp.where(counts, errors, 0).mean(axis=-1)

"""How landmark networks are taught: descriptors by pairs, maps by points."""

import functools

import jax
import jax.numpy as jnp

from kpdiscovery.ops import parallel, reductions
from pallas_kernels.contrastive.api import PairSums, contrastive

_EPS = 1e-9  # Under the root, where the distance has no gradient.


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

    Source: [mallis-thesis], sections 5.2.1 and 6.1.4; released codes of [mallis2020] and
    [mallis2023].
    """
    hinges = {
        'distance': lambda: jnp.maximum(0, margin - jnp.sqrt(squares + _EPS)) ** 2,
        'squared': lambda: jnp.maximum(0, margin - squares),
    }
    if form not in hinges:
        raise ValueError(f'form must be one of {sorted(hinges)}, got {form!r}')
    terms = jnp.where(same, squares, hinges[form]())
    counts = jnp.broadcast_to(counts, squares.shape)
    return reductions.mean_where(terms, counts)


def contrastive_sums(
    x: jax.Array,
    label: jax.Array,
    picture: jax.Array,
    *,
    margin: float = 0.8,
    form: str = 'distance',
) -> PairSums:
    """Terms of `contrastive_landmarks` summed over all pairs of points of a whole batch.

    Three sums and numbers of pairs, each pair from both ends: one landmark in one picture,
    two landmarks in one picture, two in two pictures; one landmark in two pictures is no
    pair. No number a pair is stored, and under a mesh each device, with its share of the
    points, meets everyone's.

    Args:
        x: `[N, D]` descriptors; N a multiple of the devices.
        label: `[N]` int32, -1 for points that do not count.
        picture: `[N]` int32.

    Raises:
        ValueError: shapes or an unknown form.

    Source: as `contrastive_landmarks`; negatives of other pictures are our own.
    """

    def sums(points, axis_name):
        some = functools.partial(contrastive, margin=margin, form=form)
        return (), some(*points, axis_name=axis_name)

    return parallel.over_rows(sums, (x, label, picture))[1]


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

    The mean over all K channels, those that do not count (`[..., K]` bool) with 0.

    Source: [mallis-thesis], section 6.1.7, and the released code of [mallis2023].
    """
    errors = 0.5 * jnp.mean((predicted - target) ** 2, axis=(-3, -2))
    return jnp.where(counts, errors, 0).mean(axis=-1)

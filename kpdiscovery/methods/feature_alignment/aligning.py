"""Part maps of similar pictures on the canvas of one, and what they agree on.

k neighbours of one picture, maps of h x w cells with C channels, the last of them the
background. All of one picture; `vmap` does a batch.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.methods.feature_alignment import parts
from kpdiscovery.ops import (
    alignment,
    coordinates,
    heatmaps,
    linear,
    matching,
    pseudo_truth,
    warps,
)
from kpdiscovery.ops.ransac import Ransac, ransac


class Aligned(NamedTuple):
    """Maps of the neighbours as they lie on the picture's canvas."""

    maps: jax.Array  # [k, h, w, C]
    matches: matching.Matches  # Leaves [k, M]; source: the neighbour's cells.
    transforms: Ransac  # Leaves [k, ...]: the neighbour's cells to the picture's.


def align(method, key: jax.Array, own: jax.Array, others: jax.Array) -> Aligned:
    """The maps of neighbours moved to where most matches say they belong.

    Matches are the pairs of cells whose channels are most alike, those that are
    background left out. Nothing of it has a gradient but the moved maps.

    Args:
        method: `threshold`, `matches`, `transform`, `hypotheses`, `tolerance`,
            `minimum`.
        key: one picture's; a neighbour's follows from its place.
        own: `[h, w, C]` maps of the picture.
        others: `[k, h, w, C]` of its neighbours.

    Source: [guo2020], section 3.2.2.
    """
    still, moving = jax.lax.stop_gradient((own, others))
    matches = jax.vmap(lambda other: _match(method, other, still))(moving)
    h, w, _ = own.shape
    xy = coordinates.pixel_grid(h, w).reshape(h * w, 2)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(others)))
    transforms = jax.vmap(
        lambda k, m: ransac(
            k, xy[m.source_index], xy[m.target_index], m.valid, model=method.transform,
            hypotheses=method.hypotheses, tolerance=method.tolerance,
            minimum=method.minimum,
        )
    )(keys, matches)  # fmt: skip
    return Aligned(jax.vmap(move)(others, transforms.matrix), matches, transforms)


def move(maps: jax.Array, matrix: jax.Array) -> jax.Array:
    """Maps `[h, w, C]` by a transform of cells `[3, 3]`; what comes from outside is
    background. A transform that cannot be inverted moves nothing."""
    h, w, _ = maps.shape
    back = linear.solve(matrix, jnp.eye(3))
    back = jnp.where(jnp.isfinite(back).all(), back, jnp.eye(3))
    xy = coordinates.pixel_grid(h, w).reshape(h * w, 2)
    source, ahead = alignment.project(back, xy)
    inside = ahead & warps.within(source, (h, w))
    seen = heatmaps.sample_bilinear(maps, source)
    nothing = parts.background(maps[0, 0], seen.ndim)
    return jnp.where(inside[:, None], seen, nothing).reshape(maps.shape)


def agree(method, moved: jax.Array, counts: jax.Array, valid: jax.Array) -> jax.Array:
    """Labels `[h, w]` int32 of the cells, from the mean of the neighbours' maps.

    Args:
        method: `cap`, `radius`.
        moved: `[k, h, w, C]`.
        counts: `[k]` bool, neighbours there are; without any all is background.
        valid: `[h, w]` bool, cells of the canvas that count; others are background.

    Source: [guo2020], algorithm 1.
    """
    weight = counts.astype(moved.dtype) / jnp.maximum(counts.sum(), 1)
    mean = jnp.einsum('khwc,k->hwc', jax.lax.stop_gradient(moved), weight)
    nothing = parts.background(mean[0, 0], mean.ndim)
    mean = jnp.where((valid & counts.any())[..., None], mean, nothing)
    return pseudo_truth.greedy_labels(
        mean, background=-1, cap=method.cap, radius=method.radius
    )


def _match(method, other, own) -> matching.Matches:
    """Matches of a neighbour's cells to the picture's."""
    flat = lambda maps: maps.reshape(-1, maps.shape[-1])
    seen = lambda maps: flat(maps).argmax(axis=-1) < maps.shape[-1] - 1
    return matching.cosine_matches(
        flat(other), flat(own), count=method.matches, threshold=method.threshold,
        valid_a=seen(other), valid_b=seen(own),
    )  # fmt: skip

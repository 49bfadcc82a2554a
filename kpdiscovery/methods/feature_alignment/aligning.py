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
    vectors,
    warps,
)
from kpdiscovery.ops.ransac import ransac
from kpdiscovery.ops.soft_alignment import soft_alignment

_SHARP = 8.0  # Of likeness: cells whose cosines differ by this share's inverse compete.
_EDGE = (
    1 / 6
)  # Of the sides: cells so near the border know it by the padding behind it.
_REACH = (0.29, 0.071)  # Of the sides, from first to last: 4 and 1 of 14 cells.


class Pictures(NamedTuple):
    """What is known of pictures' cells; leaves may have an axis of pictures before."""

    maps: jax.Array  # [h, w, C]
    features: jax.Array  # [h, w, D] of unit length.
    valid: jax.Array  # [h, w] bool, cells that count.


class Transforms(NamedTuple):
    """Neighbours' cells to the picture's."""

    matrix: jax.Array  # [k, 3, 3]
    partners: (
        jax.Array
    )  # [k, h * w] in [0, 1]: a cell has a like one where it is taken.
    moved: jax.Array  # [k] bool; others stay where they are.


class Aligned(NamedTuple):
    """Maps of the neighbours as they lie on the picture's canvas."""

    maps: jax.Array  # [k, h, w, C]
    covers: jax.Array  # [k, h, w] bool: a cell that counts lies there, not the outside.
    transforms: Transforms


def align(method, key: jax.Array, own: Pictures, others: Pictures) -> Aligned:
    """The maps of neighbours moved to where they are most like the picture.

    Like cells are brought onto each other (`soft_alignment`); with `parity='paper'` the
    transform is the one that most matches of cells agree on. Cells that are background
    are left out. Nothing of it has a gradient but the moved maps.

    Args:
        method: `transform`, `parity`, and for the paper's reading `threshold`,
            `matches`, `hypotheses`, `tolerance`, `minimum`.
        key: one picture's; a neighbour's follows from its place.
        own: the picture.
        others: its k neighbours.

    Source: [guo2020], section 3.2.2.
    """
    still, moving = jax.lax.stop_gradient((own, others))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(others.maps)))
    find = _agreeing if method.parity == 'paper' else _overlaying
    transforms = jax.vmap(lambda k, other: find(method, k, other, still))(keys, moving)
    maps, covers = jax.vmap(move)(others.maps, others.valid, transforms.matrix)
    return Aligned(maps, covers, transforms)


def move(
    maps: jax.Array, valid: jax.Array, matrix: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Maps `[h, w, C]` by a transform of cells `[3, 3]`, and `[h, w]` bool what they cover.

    What comes from outside is background and covers nothing, nor do cells that do not
    count. A transform that cannot be inverted moves nothing.
    """
    h, w, _ = maps.shape
    back = linear.solve(matrix, jnp.eye(3))
    back = jnp.where(jnp.isfinite(back).all(), back, jnp.eye(3))
    source, ahead = alignment.project(back, _grid(h, w))
    inside = ahead & warps.within(source, (h, w))
    seen = heatmaps.sample_bilinear(maps, source)
    counted = heatmaps.sample_bilinear(valid[..., None].astype(jnp.float32), source)
    nothing = parts.background(maps[0, 0], seen.ndim)
    moved = jnp.where(inside[:, None], seen, nothing).reshape(maps.shape)
    return moved, (inside & (counted[:, 0] > 0.5)).reshape(h, w)


def agree(
    method, moved: jax.Array, covers: jax.Array, counts: jax.Array, valid: jax.Array
) -> jax.Array:
    """Labels `[h, w]` int32 of the cells, from the mean of the maps that cover them.

    With `parity='paper'` of all maps: the outside of a neighbour votes for background.

    Args:
        method: `cap`, `radius`, `parity`.
        moved: `[k, h, w, C]`.
        covers: `[k, h, w]` bool; cells that none covers are background.
        counts: `[k]` bool, neighbours there are; without any all is background.
        valid: `[h, w]` bool, cells of the canvas that count; others are background.

    Source: [guo2020], algorithm 1.
    """
    weight = counts[:, None, None] & (covers | (method.parity == 'paper'))
    total = weight.sum(axis=0)
    weight = weight.astype(moved.dtype) / jnp.maximum(total, 1)[None]
    mean = jnp.einsum('khwc,khw->hwc', jax.lax.stop_gradient(moved), weight)
    nothing = parts.background(mean[0, 0], mean.ndim)
    mean = jnp.where((valid & (total > 0))[..., None], mean, nothing)
    return pseudo_truth.greedy_labels(
        mean, background=-1, cap=method.cap, radius=method.radius
    )


def _overlaying(method, key, other: Pictures, own: Pictures) -> Transforms:
    """Like cells onto each other, of those that do not know the border."""
    del key
    h, w, _ = own.maps.shape
    side = (h + w) / 2
    found = soft_alignment(
        _likeness(other, own), _grid(h, w), _grid(h, w), model=method.transform,
        reach=(_REACH[0] * side, _REACH[1] * side),
    )  # fmt: skip
    return Transforms(found.matrix, found.partners, found.moved)


def _likeness(other: Pictures, own: Pictures) -> jax.Array:
    """`[P, Q]` in [0, 1] of a neighbour's cells and the picture's.

    Maps tell the part; features, less what the two pictures have in common, which of its
    cells. Cells by the border are like each other for the padding that the network saw,
    which holds every picture where it is: the neighbour's do not count.
    """
    both = jnp.stack([other.features, own.features])
    counted = jnp.stack([other.valid, own.valid])[..., None]
    total = jnp.where(counted, both, 0).sum(axis=(0, 1, 2))
    common = (total / jnp.maximum(counted.sum(), 1))[None, None]
    of_maps = _cosines(_lifted(other.maps), _lifted(own.maps))
    of_cells = _cosines(other.features - common, own.features - common)
    alike = jnp.sqrt(jnp.maximum(of_maps, 0) * jnp.maximum(of_cells, 0))
    h, w, _ = own.maps.shape
    inner = parts.inner(jnp.ones((1, h, w), bool), _EDGE)[0]
    there = _foreground(other, inner)[:, None] & _foreground(own)[None]
    return jnp.where(there, jnp.exp(_SHARP * (alike - 1)), 0.0)


def _cosines(a, b):
    """Of cells `[h, w, D]`: `[P, Q]`."""
    a, b = (vectors.normalize(x.reshape(-1, x.shape[-1])) for x in (a, b))
    return jnp.einsum('pd,qd->pq', a, b, precision='highest')


def _lifted(maps):
    """Channels of maximum 1, which lifts weak parts."""
    highest = maps.max(axis=(0, 1), keepdims=True)
    return maps / jnp.where(highest > 0, highest, 1.0)


def _agreeing(method, key, other: Pictures, own: Pictures) -> Transforms:
    """The paper's: samples of the matches of cells, those above a threshold."""
    flat = lambda maps: maps.reshape(-1, maps.shape[-1])
    found = matching.cosine_matches(
        flat(other.maps), flat(own.maps), count=method.matches,
        threshold=method.threshold, valid_a=_foreground(other), valid_b=_foreground(own),
    )  # fmt: skip
    xy = _grid(*own.valid.shape)
    best = ransac(
        key, xy[found.source_index], xy[found.target_index], found.valid,
        model=method.transform, hypotheses=method.hypotheses,
        tolerance=method.tolerance, minimum=method.minimum,
    )  # fmt: skip
    agree = best.inliers.astype(jnp.float32)
    partners = jnp.zeros(len(xy)).at[found.source_index].max(agree)
    return Transforms(best.matrix, partners, best.model > 0)


def _foreground(picture: Pictures, among=True):
    """`[P]` bool, cells that are some part's."""
    maps = picture.maps
    ground = maps.argmax(axis=-1) == maps.shape[-1] - 1
    return (picture.valid & ~ground & among).reshape(-1)


def _grid(h, w):
    return coordinates.pixel_grid(h, w).reshape(h * w, 2)

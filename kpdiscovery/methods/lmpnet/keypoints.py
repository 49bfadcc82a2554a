"""From filters to keypoints, and from a keypoint to a mask ([guo2025], sections 3.2 to 3.4)."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from kpdiscovery.models.classifier import Classifier
from kpdiscovery.ops import clustering, coordinates
from kpdiscovery.types import Keypoints


def proposals(features: jax.Array, count: int) -> jax.Array:
    """The `count` strongest filters of each picture: `[B, h, w, C]` to `[B, h, w, S]`."""
    return jax.vmap(lambda maps: clustering.strongest_filters(maps, count)[0])(features)


def cluster(method, maps: jax.Array) -> Keypoints:
    """Keypoints `[B, K]` in cells, of proposals `[B, h, w, S]`."""
    one = lambda maps: clustering.cluster_proposals(
        maps,
        num_keypoints=method.num_keypoints,
        iterations=method.iterations,
        erase_threshold=method.erase_threshold,
        accumulate=method.accumulate,
    )
    return jax.vmap(one)(maps)


def join(first: Keypoints, second: Keypoints, *, threshold: float) -> Keypoints:
    """Keypoints `[B, K]` of one list, then those of the other that are new.

    A keypoint of the second list nearer than `threshold` to one of the first is left
    out; what exceeds K is cut off. Labels are counted anew.
    """
    gaps = jnp.linalg.norm(second.xy[:, :, None] - first.xy[:, None], axis=-1)
    known = ((gaps < threshold) & first.valid[:, None]).any(axis=-1)
    both = jax.tree.map(
        lambda a, b: jnp.concatenate([a, b], axis=1),
        first, dataclasses.replace(second, valid=second.valid & ~known),
    )  # fmt: skip
    order = jnp.argsort(~both.valid, axis=1, stable=True)[:, : first.xy.shape[1]]
    take = jax.vmap(lambda leaf, rows: leaf[rows])
    kept = jax.tree.map(lambda leaf: take(leaf, order), both)
    clear = jax.tree.map(lambda leaf: _where(kept.valid, leaf), kept)
    return dataclasses.replace(clear, label=first.label)


def to_pixels(
    keypoints: Keypoints, classifier: Classifier, corner: tuple[int, int]
) -> Keypoints:
    """From cells of a crop that begins at the pixel `corner` to pixels."""
    xy = classifier.to_pixels(keypoints.xy)
    xy += jnp.array(corner, xy.dtype).reshape(1, 1, 2)
    return dataclasses.replace(keypoints, xy=_where(keypoints.valid, xy))


def mask_out(
    images: jax.Array, keypoints: Keypoints, classifier: Classifier, *, cells: int
) -> jax.Array:
    """Pictures with a square about the first keypoint erased.

    Args:
        images: `[B, H, W, 3]` in [0, 1].
        keypoints: in cells of the classifier; without any, nothing is erased.
        cells: side of the square, odd.

    Returns:
        `[B, H, W, 3]`, the square in the colour that is 0 to the network.
    """
    h, w = images.shape[1:3]
    center = keypoints.xy[:, 0]
    grid = classifier.to_cells(coordinates.pixel_grid(h, w))
    gap = jnp.abs(grid[None] - center[:, None, None]).max(axis=-1)
    inside = (gap <= cells / 2) & keypoints.valid[:, 0, None, None]
    mean = jnp.asarray(classifier.backbone.mean, images.dtype).reshape(1, 1, 1, 3)
    return jnp.where(inside[..., None], mean, images)


def _where(valid, leaf):
    return jnp.where(valid.reshape(valid.shape + (1,) * (leaf.ndim - 2)), leaf, 0)

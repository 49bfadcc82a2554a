"""Landmarks from generic keypoints whose descriptors are clustered once: a baseline.

N pictures of P points with descriptors of D channels; K clusters, one a landmark.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from kpdiscovery.ops import keypoints, kmeans
from kpdiscovery.types import Keypoints


@functools.partial(jax.jit, static_argnames=('k', 'iterations', 'restarts'))
def cluster_descriptors(
    key: jax.Array,
    descriptors: jax.Array,
    valid: jax.Array,
    k: int,
    *,
    iterations: int = 100,
    restarts: int = 10,
) -> jax.Array:
    """Centroids of the descriptors of the fit pictures' points.

    Args:
        key: for the starts of k-means.
        descriptors: `[N, P, D]`, best of unit length.
        valid: `[N, P]` bool, points that count.
        k: number of landmarks.
        iterations: of k-means.
        restarts: of k-means, the best of which counts.

    Returns:
        `[K, D]` float32; with fewer valid points than k, some coincide.

    Raises:
        ValueError: shapes do not fit, or an option is out of range.

    Source: [mallis-thesis], chapter 6 (100 iterations, 10 restarts).
    """
    rows, weights = _rows(descriptors, valid)
    return kmeans.kmeans(
        key, rows, k, weights=weights, iterations=iterations, restarts=restarts
    ).centroids


@jax.jit
def landmarks_from_points(
    descriptors: jax.Array, xy: jax.Array, valid: jax.Array, centroids: jax.Array
) -> Keypoints:
    """Of the points nearest to a centroid, in each picture the one closest to it.

    Args:
        descriptors: `[N, P, D]`, as in `cluster_descriptors`.
        xy: `[N, P, 2]` pixels.
        valid: `[N, P]` bool, points that count.
        centroids: `[K, D]`.

    Returns:
        `[N, K]` points, label k being centroid k, at zero and not valid where no point
        is nearest to it; the score is exp(-squared distance to the centroid).

    Raises:
        ValueError: shapes do not fit.

    Source: [mallis-thesis], chapter 6.
    """
    if xy.shape != (*valid.shape, 2):
        raise ValueError(f'wanted xy {(*valid.shape, 2)}, got {xy.shape}')
    rows, weights = _rows(descriptors, valid)
    labels, distances = (
        v.reshape(valid.shape) for v in kmeans.assign(rows, centroids, weights=weights)
    )
    count = len(centroids)
    kept = kmeans.keep_nearest_per_image(labels, distances, k=count)
    owns = kept[..., None] & (labels[..., None] == jnp.arange(count)[None, None])
    found, point = owns.any(axis=1), owns.argmax(axis=1)  # [N, K]
    places = jnp.take_along_axis(xy, point[..., None], axis=1)
    closeness = jnp.exp(-jnp.take_along_axis(distances, point, axis=1))
    return keypoints.labelled(
        jnp.where(found[..., None], places, 0.0).astype(jnp.float32),
        jnp.where(found, closeness, 0.0),
        found,
    )


def _rows(descriptors, valid):
    """`[N * P, D]` float32 and their weights, 0 for points that do not count."""
    if descriptors.ndim != 3 or valid.shape != descriptors.shape[:2]:
        raise ValueError(
            'wanted descriptors [N, P, D] and valid [N, P], got '
            f'{descriptors.shape} and {valid.shape}'
        )
    rows = jnp.asarray(descriptors, jnp.float32).reshape(-1, descriptors.shape[-1])
    return rows, jnp.asarray(valid, jnp.float32).reshape(-1)

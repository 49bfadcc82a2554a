"""k-means over rows of vectors, on one device or rows split over many.

N rows, D channels, k clusters, R restarts. Rows are visited in blocks, so that the N x k
distances are never stored. A row counts by its weight; rows of weight 0 or with a value
that is not finite do not count and get the label -1.

Under `jax.shard_map` name the mesh axis the rows are split over: sums are then over all
devices, and the result is that of one device up to rounding. Source of the use in
landmarks: [mallis-thesis], chapters 5 and 6.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.ops import parallel, seeding, vectors
from kpdiscovery.ops.assignment import linear_assignment
from pallas_kernels.kmeans_step import api
from pallas_kernels.kmeans_step.reference import Assignment

_SPLIT = 1 / 1024  # Relative shift between the halves of a cluster that is split.


class KMeans(NamedTuple):
    """Clusters of `[N, D]` rows."""

    centroids: jax.Array  # [k, D] float32.
    labels: jax.Array  # [N] int32, nearest centroid; -1 for rows that do not count.
    inertia: jax.Array  # Scalar: weighted sum of squared distances to the nearest.


def kmeans(
    key: jax.Array,
    x: jax.Array,
    k: int,
    *,
    weights: jax.Array | None = None,
    init: jax.Array | None = None,
    iterations: int = 100,
    restarts: int = 1,
    spherical: bool = False,
    block: int | None = None,
    axis_name: str | None = None,
) -> KMeans:
    """Lloyd's algorithm from k-means++ starts; the best of all restarts.

    A cluster that loses all its rows takes half of one of the most populated. With
    fewer distinct rows than clusters the rest stay empty or coincide.

    Args:
        key: for the starts; not used with `init`.
        x: `[N, D]` float32.
        weights: `[N]`, not negative; None counts every row once.
        init: `[k, D]` centroids of a warm start, in place of k-means++ and restarts.
        iterations: of Lloyd's algorithm; always all of them (static shapes).
        spherical: keep centroids at unit length; for rows of unit length.
        block: rows visited at a time, where no kernel chooses; None: what suits the
            platform. Changes speed and memory only.
        axis_name: of the mesh axis over which rows are split, inside `jax.shard_map`.

    Raises:
        ValueError: shapes that do not fit, or k, iterations or restarts out of range.

    Source: [lloyd1982]; [arthur2007] (k-means++).
    """
    _check(x, k, weights, init, iterations, restarts)
    weights = _counted(x, weights)
    if init is None:
        start = seeding.plus_plus(key, x, weights, k, restarts, axis_name=axis_name)
    else:
        start = init[None]
    start = vectors.normalize(start) if spherical else start
    step = functools.partial(_lloyd, x, weights, spherical, block, axis_name)
    centroids = jax.lax.fori_loop(0, iterations, lambda _, c: step(c), start)
    inertia = functools.partial(_inertia, x, weights, block, axis_name)
    best = jnp.argmin(jax.lax.map(inertia, centroids)) if len(start) > 1 else 0
    found = _assign(x, centroids[best], weights, block)
    total = parallel.total(jnp.sum(found.distances * weights), axis_name)
    return KMeans(centroids[best], found.labels, total)


def assign(
    x: jax.Array,
    centroids: jax.Array,
    *,
    weights: jax.Array | None = None,
    block: int | None = None,
) -> Assignment:
    """The nearest of `[k, D]` centroids for `[N, D]` rows; weights as in `kmeans`.

    Returns:
        Labels `[N]` int32 and squared distances `[N]`; -1 and 0 for rows that do not
        count.
    """
    _check(x, len(centroids), weights, centroids, 0, 1)
    return _assign(x, centroids, _counted(x, weights), block)


def keep_nearest_per_image(
    labels: jax.Array, distances: jax.Array, *, k: int
) -> jax.Array:
    """Of the points of a picture in one cluster, the one nearest to its centroid.

    Args:
        labels: `[..., P]` clusters 0..k-1 of the points of each picture; -1: none.
        distances: `[..., P]` to the own centroid; of equal ones the first point stays.
        k: number of clusters.

    Returns:
        `[..., P]` bool; at most one point a cluster and picture.

    Source: [mallis-thesis], chapter 6.
    """
    inside = jnp.arange(k).reshape((1,) * labels.ndim + (k,)) == labels[..., None]
    apart = jnp.where(inside, distances[..., None], jnp.inf)  # [..., P, k]
    best = apart.argmin(axis=-2)  # [..., k]; any point where a cluster has none.
    mine = jnp.take_along_axis(best, jnp.maximum(labels, 0), axis=-1)
    return (labels >= 0) & (
        mine == jnp.arange(labels.shape[-1]).reshape((1,) * (labels.ndim - 1) + (-1,))
    )


def assign_uniquely(distances: jax.Array, valid: jax.Array) -> jax.Array:
    """Clusters of a picture's points, each used once, of least total distance.

    Args:
        distances: `[..., P, k]` of each point to each centroid.
        valid: `[..., P]` bool, points that count.

    Returns:
        `[..., P]` int32; -1 for points that do not count or, where P > k, are left over.

    Source: [mallis-thesis], chapter 5 (Hungarian method).
    """
    return linear_assignment(jnp.where(valid[..., None], distances, jnp.inf))


def _counted(x, weights):
    """Weights `[N]`, 0 for rows with a value that is not finite."""
    given = jnp.ones(len(x)) if weights is None else weights
    return jnp.where(jnp.isfinite(x).all(axis=-1), given, 0.0)


def _assign(x, centroids, weights, block) -> Assignment:
    labels, distances = api.assign(x, centroids, weights, block=block)
    counts = weights > 0
    return Assignment(jnp.where(counts, labels, -1), jnp.where(counts, distances, 0.0))


def _inertia(x, weights, block, axis_name, centroids):
    distances = api.assign(x, centroids, weights, block=block).distances
    return parallel.total(jnp.sum(distances * weights), axis_name)


def _lloyd(x, weights, spherical, block, axis_name, centroids):
    precision = 'high' if spherical else 'highest'  # Of unit length, 16 bits tell.
    totals = api.kmeans_step(x, centroids, weights, precision=precision, block=block)
    totals = parallel.total(totals, axis_name)
    weights = totals.weights[..., None]
    means = totals.sums / jnp.where(weights > 0, weights, 1.0)
    fresh = jnp.where(weights > 0, means, centroids)
    fresh = jax.vmap(_split)(fresh, totals.weights)
    return vectors.normalize(fresh) if spherical else fresh


def _split(centroids, weights):
    """The j-th empty cluster takes half of the j-th most populated: both move apart."""
    empty = weights <= 0
    order = jnp.argsort(-weights)  # Most populated first.
    rank = jnp.cumsum(empty) - 1  # Of each empty cluster among the empty ones.
    donor = order[rank]
    gives = jnp.zeros(len(weights), bool).at[donor].max(empty)
    shift = _SPLIT * jnp.where(jnp.arange(centroids.shape[1]) % 2, 1.0, -1.0)[None]
    halves = jnp.where(gives[:, None], centroids * (1 - shift), centroids)
    return jnp.where(empty[:, None], centroids[donor] * (1 + shift), halves)


def _check(x, k, weights, init, iterations, restarts):
    if x.ndim != 2 or len(x) == 0:
        raise ValueError(f'x must be [N, D] with at least one row, got {x.shape}')
    if k < 1 or iterations < 0 or restarts < 1:
        raise ValueError(
            'k and restarts must be at least 1 and iterations 0 or more, got '
            f'{k}, {restarts} and {iterations}'
        )
    if weights is not None and weights.shape != x.shape[:1]:
        raise ValueError(f'weights must be {x.shape[:1]}, got {weights.shape}')
    if init is not None and init.shape != (k, x.shape[1]):
        raise ValueError(f'init must be {(k, x.shape[1])}, got {init.shape}')

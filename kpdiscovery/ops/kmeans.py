"""k-means over rows of vectors, on one device or rows split over many.

N rows, D channels, k clusters, R restarts. Rows are visited in blocks, so that the N x k
distances are never stored. A row counts by its weight; rows of weight 0 or with a value
that is not finite do not count and get the label -1.

Under `jax.shard_map` name the mesh axis the rows are split over: sums are then over all
devices, and the result is that of one device up to rounding. Source of the use in
landmarks: [mallis-thesis], sections 5.3 and 6.1.2.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.ops import blocks, parallel, vectors
from kpdiscovery.ops.assignment import linear_assignment

_SPLIT = 1 / 1024  # Relative shift between the halves of a cluster that is split.


class KMeans(NamedTuple):
    """Clusters of `[N, D]` rows."""

    centroids: jax.Array  # [k, D] float32.
    labels: jax.Array  # [N] int32, nearest centroid; -1 for rows that do not count.
    inertia: jax.Array  # Scalar: weighted sum of squared distances to the nearest.


class Assignment(NamedTuple):
    """The nearest centroid of each row."""

    labels: jax.Array  # [N] int32; -1 for rows that do not count.
    distances: jax.Array  # [N] squared distances; 0 for rows that do not count.


class _Totals(NamedTuple):
    """What a pass over the rows leaves, for R sets of centroids."""

    sums: jax.Array  # [R, k, D]
    weights: jax.Array  # [R, k]
    inertia: jax.Array  # [R]


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
    block: int = 4096,
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
        block: rows visited at a time; changes speed and memory only.
        axis_name: of the mesh axis over which rows are split, inside `jax.shard_map`.

    Raises:
        ValueError: shapes that do not fit, or k, iterations or restarts out of range.

    Source: [lloyd1982]; [arthur2007] (k-means++).
    """
    _check(x, k, weights, init, iterations, restarts)
    rows = _Rows(x, weights, block, axis_name)
    start = init[None] if init is not None else _plus_plus(key, rows, k, restarts)
    start = vectors.normalize(start) if spherical else start
    step = functools.partial(_lloyd, rows, spherical)
    centroids = jax.lax.fori_loop(0, iterations, lambda _, c: step(c), start)
    if len(start) > 1:
        best = jnp.argmin(rows.totals(centroids).inertia)
        centroids = centroids[best][None]
    labels, distances = rows.assign(centroids[0])
    inertia = rows.over_devices(jnp.sum(distances * rows.weights))
    return KMeans(centroids[0], labels, inertia)


def assign(
    x: jax.Array,
    centroids: jax.Array,
    *,
    weights: jax.Array | None = None,
    block: int = 4096,
) -> Assignment:
    """The nearest of `[k, D]` centroids for `[N, D]` rows; weights as in `kmeans`."""
    _check(x, len(centroids), weights, centroids, 0, 1)
    return _Rows(x, weights, block, None).assign(centroids)


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

    Source: [mallis-thesis], section 6.1.2.
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

    Source: [mallis-thesis], section 5.3 (Hungarian method).
    """
    return linear_assignment(jnp.where(valid[..., None], distances, jnp.inf))


class _Rows:
    """Rows of one device with their weights, visited in blocks."""

    def __init__(self, x, weights, block, axis_name):
        given = jnp.ones(len(x)) if weights is None else weights
        self.x, self.axis_name = x, axis_name
        self.weights = jnp.where(jnp.isfinite(x).all(axis=-1), given, 0.0)
        self.block = min(block, len(x))
        self.blocks = blocks.count(len(x), self.block)

    def over_devices(self, tree):
        return parallel.total(tree, self.axis_name)

    def totals(self, centroids) -> _Totals:
        """Of all devices, for `[R, k, D]` centroids."""

        def visit(i, carry):
            return jax.tree.map(jnp.add, carry, self._totals(i, centroids))

        first = self._totals(0, centroids)
        return self.over_devices(jax.lax.fori_loop(1, self.blocks, visit, first))

    def assign(self, centroids) -> Assignment:
        def visit(i, carry):
            rows, _, start = self._cut(i)
            found = vectors.nearest(vectors.squared_distances(centroids, rows))
            return blocks.put(carry, found, start)

        # From the weights, so that under shard_map they vary over devices as x does.
        empty = (0 * self.weights).astype(jnp.int32), 0 * self.weights
        labels, distances = jax.lax.fori_loop(0, self.blocks, visit, empty)
        counts = self.weights > 0
        return Assignment(
            jnp.where(counts, labels, -1), jnp.where(counts, distances, 0.0)
        )

    def _totals(self, i, centroids) -> _Totals:
        rows, weights, _ = self._cut(i)
        return _block_totals(rows, weights, centroids)

    def _cut(self, i):
        """Rows of block i, their weights (0 for rows seen before), number of the first."""
        (rows, weights), start, fresh = blocks.cut(
            (self.x, self.weights), i, self.block
        )
        rows = jnp.where(weights[:, None] > 0, rows, 0.0)  # They may not be finite.
        return rows, jnp.where(fresh, weights, 0.0), start


def _block_totals(rows, weights, centroids) -> _Totals:
    restarts, k, d = centroids.shape
    squares = vectors.squared_distances(centroids.reshape(restarts * k, d), rows)
    labels, squares = vectors.nearest(squares.reshape(restarts, k, -1))
    add = functools.partial(jax.lax.platform_dependent, cpu=_scatter, default=_matmul)
    sums, members = add(rows, weights, labels, jnp.arange(k))
    return _Totals(sums, members, squares @ weights)


def _matmul(rows, weights, labels, clusters):
    """Sums `[R, k, D]` and weights `[R, k]` of `[R, n]` labels: fit for matrix units."""
    member = (labels[:, None] == clusters[None, :, None]).astype(rows.dtype)
    member *= weights[None, None]  # [R, k, n]
    sums = jnp.einsum('rkn,nd->rkd', member, rows, precision='highest')
    return sums, member.sum(-1)


def _scatter(rows, weights, labels, clusters):
    """The same row by row: a k-th of the work, but one after the other."""
    add = functools.partial(jax.ops.segment_sum, num_segments=len(clusters))
    each = lambda values: jax.lax.map(functools.partial(add, values), labels)
    return each(rows * weights[:, None]), each(weights)


def _lloyd(rows, spherical, centroids):
    totals = rows.totals(centroids)
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


def _plus_plus(key, rows, k, restarts):
    """Starts `[R, k, D]`: rows drawn by their squared distance to those drawn before."""
    x = jnp.where(jnp.isfinite(rows.x).all(-1, keepdims=True), rows.x, 0.0)
    uniform = jax.random.uniform(key, (k, restarts))
    draw_one = functools.partial(draw_row, x, rows.weights, axis_name=rows.axis_name)
    draw_rows = jax.vmap(draw_one, (1, 0))

    def draw(i, carry):
        centroids, closest = carry
        new = draw_rows(closest, uniform[i])
        closest = jnp.minimum(closest, vectors.squared_distances(x, new))
        return centroids.at[:, i].set(new), closest

    anywhere = jnp.repeat(rows.weights[:, None], restarts, axis=1)
    first = draw_rows(anywhere, uniform[0])
    start = jnp.repeat(first[:, None], k, axis=1), vectors.squared_distances(x, first)
    return jax.lax.fori_loop(1, k, draw, start)[0]


def draw_row(
    x: jax.Array,
    weights: jax.Array,
    closest: jax.Array,
    uniform: jax.Array,
    *,
    axis_name: str | None = None,
) -> jax.Array:
    """The row that a number in [0, 1) falls on, by weight times squared distance.

    Args:
        x: `[N, D]`, this device's rows.
        weights: `[N]`.
        closest: `[N]`, squared distance to the nearest row drawn before.
        uniform: scalar in [0, 1), the same on all devices.
        axis_name: of the mesh axis over which rows are split; None: all are here.

    Returns:
        `[D]`, the same on all devices.
    """
    mass = weights * closest
    *_, total = parallel.span(mass.sum(), axis_name)
    mass = jnp.where(total > 0, mass, weights)  # All rows coincide with a centroid.
    upto = jnp.cumsum(mass)
    start, stop, total = parallel.span(upto[-1], axis_name)
    target = uniform * total
    mine = (target >= start) & (target < stop)
    # Rounding must not carry the target past the last row that has any mass.
    target = jnp.minimum(target - start, upto[-1] * (1 - 1e-6))
    index = jnp.searchsorted(upto, target, side='right')
    drawn = jnp.where(mine, x[jnp.minimum(index, len(x) - 1)], 0.0)
    return parallel.total(drawn, axis_name)


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

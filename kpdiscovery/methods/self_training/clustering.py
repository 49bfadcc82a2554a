"""From descriptors of all pictures to pseudo-labels; runs once a device under shard_map.

N pictures of a device with P points each. Where `axis_name` is None one device has all.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.ops import blocks, kmeans, neighbors, parallel, vectors
from kpdiscovery.ops.agreement import contingency

_PICTURES = 64  # Whose distances to all clusters are held at a time.
_ROUNDING = 1e-5  # Of a limit.
_RECALL = 0.99  # Of neighbours whose distances have a median: nearly the same for all.
_MET = (
    0.25  # Of the sightings of two clusters: less, and nobody knows their mirror image.
)


class Mirrored(NamedTuple):
    """Clusters of points and of their mirror images."""

    labels: jax.Array  # [N, P] int32, -1 none.
    mirror: jax.Array  # [N, P] int32: of the same spot in the mirrored picture.
    distances: jax.Array  # [N, P] squared, to the own centroid.
    centroids: jax.Array  # [k, D]


class Unique(NamedTuple):
    """Clusters of which each has at most one point a picture."""

    labels: jax.Array  # [N, P] int32, -1 none.
    centroids: jax.Array  # [k, D]
    thresholds: jax.Array  # [k] squared distances; points beyond have lost their label.


def drop_outliers(
    descriptors: jax.Array,
    valid: jax.Array,
    *,
    share: float,
    neighbors_asked: int = 100,
    axis_name: str | None = None,
) -> jax.Array:
    """The points that stay when the `share` loneliest of all pictures go: `[N, P]` bool.

    Lonely is who has far nearest neighbours (`ops.neighbors.outlier_scores`).

    Args:
        descriptors: `[N, P, D]`.
        valid: `[N, P]` bool.

    Source: released codes of [mallis2020] and [mallis2023] (40 %, 100 neighbours).
    """
    flat = vectors.normalize(descriptors.astype(jnp.float32))
    flat, counts = flat.reshape(-1, flat.shape[-1]), valid.ravel()
    near = neighbors.nearest_distances(
        flat, neighbors_asked, valid=counts, recall=_RECALL, axis_name=axis_name
    )
    scores = jnp.where(counts, neighbors.outlier_scores(near), jnp.inf)
    everyone = scores if axis_name is None else jax.lax.all_gather(scores, axis_name)
    ranked = jnp.sort(everyone.ravel())
    total = parallel.total(counts.sum(), axis_name)
    last = jnp.ceil((1 - share) * total).astype(jnp.int32) - 1
    return (counts & (scores <= ranked[jnp.maximum(last, 0)])).reshape(valid.shape)


def keep_object(
    key: jax.Array,
    descriptors: jax.Array,
    inside: jax.Array,
    outside: jax.Array,
    *,
    clusters: tuple[int, int],
    iterations: int = 100,
    axis_name: str | None = None,
) -> jax.Array:
    """Points whose descriptor is nearer to one of the object than of the ground.

    Points inside the objects' boxes and points outside are clustered apart, and each
    point is compared with the nearest centroid of either: a box holds ground too.

    Args:
        descriptors: `[N, P, D]`; their lengths do not matter.
        inside: `[N, P]` bool.
        outside: `[N, P]` bool; points in neither are not kept.
        clusters: of the points inside, and of those outside.

    Returns:
        `[N, P]` bool; the points inside, where there is none outside at all.

    Source: released code of [mallis2020] for Human3.6M (100 and 250 clusters).
    """
    rows = vectors.normalize(descriptors.astype(jnp.float32))
    rows = rows.reshape(-1, rows.shape[-1])

    def distances(number, group):
        weights = group.ravel().astype(jnp.float32)
        found = kmeans.kmeans(
            jax.random.fold_in(key, number), rows, clusters[number], weights=weights,
            iterations=iterations, axis_name=axis_name,
        )  # fmt: skip
        return kmeans.assign(rows, found.centroids)[1].reshape(group.shape)

    nearer = distances(0, inside) < distances(1, outside)
    any_ground = parallel.total(outside.sum(), axis_name) > 0
    return jnp.where(any_ground, nearer & (inside | outside), inside)


def cluster_mirrored(
    key: jax.Array,
    descriptors: jax.Array,
    mirrored: jax.Array,
    valid: jax.Array,
    k: int,
    *,
    restarts: int = 1,
    iterations: int = 100,
    axis_name: str | None = None,
) -> Mirrored:
    """k clusters of points and of the same points in the mirrored pictures together.

    Which cluster a mirrored point falls into tells left from right without annotation.

    Args:
        descriptors: `[N, P, D]`; their lengths do not matter.
        mirrored: `[N, P, D]`, read in the mirrored picture.
        valid: `[N, P]` bool.

    Source: [mallis-thesis], chapter 6.
    """
    rows = _unit_rows(descriptors, mirrored)
    weights = jnp.stack([valid, valid], axis=1).ravel().astype(jnp.float32)
    found = kmeans.kmeans(
        key, rows, k, weights=weights, restarts=restarts, iterations=iterations,
        axis_name=axis_name,
    )  # fmt: skip
    assigned = kmeans.assign(rows, found.centroids, weights=weights)
    many, points = valid.shape
    labels, distances = (a.reshape(many, 2, points) for a in assigned)
    return Mirrored(labels[:, 0], labels[:, 1], distances[:, 0], found.centroids)


def _unit_rows(descriptors, mirrored):
    """Unit length, `[N * 2 * P, D]`: a picture's points, then their mirror images.

    Written block by block into one array: at once, a TPU would hold all of them twice,
    and pair by pair it would lay them out anew, after minutes of compiling.
    """
    many, points, channels = descriptors.shape
    block = min(_PICTURES, many)

    def visit(i, rows):
        pair, start, _ = blocks.cut((descriptors, mirrored), i, block)
        both = jnp.stack(pair, axis=1).astype(jnp.float32)  # [block, 2, P, D]
        return blocks.put(rows, vectors.normalize(both), start)

    empty = jnp.zeros((many, 2, points, channels))
    rows = jax.lax.fori_loop(0, blocks.count(many, block), visit, empty)
    return rows.reshape(-1, channels)


def without_duplicates(pair: Mirrored) -> jax.Array:
    """Points that are the nearest of their picture to their centroid: `[N, P]` bool."""
    return kmeans.keep_nearest_per_image(
        pair.labels, pair.distances, k=len(pair.centroids)
    )


def flip_map(pair: Mirrored, *, axis_name: str | None = None) -> jax.Array:
    """The cluster that each cluster's mirror images fall into: `[k]` int32, -1 unknown.

    Source: [mallis-thesis], chapter 6, there each cluster's most frequent one.
    """
    k = len(pair.centroids)
    counts = contingency(pair.labels, pair.mirror, shape=(k, k), axis_name=axis_name)
    return mirror_pairs(counts)


def mirror_pairs(counts: jax.Array, seen: jax.Array | None = None) -> jax.Array:
    """Each cluster's mirror image, of which it is the mirror image in turn: `[k]` int32.

    The pair that explains most sightings beyond those of either as its own mirror image,
    then the next of those that are left; what is left is its own. A row's argmax can map
    two clusters to one. -1, nobody knows, where the two (or the one) have met in less than
    a quarter of their sightings: a left eye whose partner another has is no right eye.

    Args:
        counts: `[k, k]` how often i was j in the mirrored picture.
        seen: `[k]` sightings of each, those counted nowhere too; None: all are counted.
    """
    k = len(counts)
    counts = jnp.asarray(counts, jnp.float32)
    if seen is None:
        seen = (counts.sum(axis=0) + counts.sum(axis=1)) / 2
    own = jnp.diagonal(counts)
    gain = counts + counts.T - own[:, None] - own[None]

    def pair(_, state):
        flip, gain = state
        best = gain.argmax()
        i, j = best // k, best % k
        found = gain[i, j] > 0
        flip = jnp.where(found, flip.at[i].set(j).at[j].set(i), flip)
        gone = jnp.isin(jnp.arange(k), jnp.stack([i, j]))
        return flip, jnp.where(gone[:, None] | gone[None], -jnp.inf, gain)

    start = jnp.arange(k, dtype=jnp.int32), jnp.where(jnp.eye(k) > 0, -jnp.inf, gain)
    flip = jax.lax.fori_loop(0, k, pair, start)[0]
    met = counts[jnp.arange(k), flip] + counts[flip, jnp.arange(k)]
    return jnp.where((met > 0) & (met >= _MET * (seen + seen[flip])), flip, -1)


def cluster_uniquely(
    key: jax.Array,
    descriptors: jax.Array,
    valid: jax.Array,
    k: int,
    *,
    init: jax.Array | None = None,
    iterations: int = 100,
    axis_name: str | None = None,
) -> Unique:
    """k clusters, a point each at most in every picture (Hungarian), the far ones dropped.

    A point keeps its label if its squared distance is below the mean plus the standard
    deviation of those of its cluster's nearest points.

    Args:
        descriptors: `[N, P, D]`; their lengths do not matter.
        valid: `[N, P]` bool.
        init: `[k, D]` centroids of a warm start.

    Source: [mallis-thesis], chapter 5, and the released code of [mallis2020].
    """
    unit = vectors.normalize(descriptors.astype(jnp.float32))
    rows, weights = unit.reshape(-1, unit.shape[-1]), valid.ravel().astype(jnp.float32)
    found = kmeans.kmeans(
        key, rows, k, weights=weights, init=init, iterations=iterations,
        axis_name=axis_name,
    )  # fmt: skip
    nearest = kmeans.assign(rows, found.centroids, weights=weights)
    limits = distance_thresholds(*nearest, k=k, axis_name=axis_name)
    return Unique(assign_within(unit, valid, found.centroids, limits),
                  found.centroids, limits)  # fmt: skip


def assign_within(
    unit: jax.Array, valid: jax.Array, centroids: jax.Array, limits: jax.Array
) -> jax.Array:
    """Clusters of points `[N, P, D]` of unit length, each once a picture: `[N, P]`.

    -1 for points that do not count or are not nearer than their cluster's limit. Of a
    cluster with two points the farther is at it exactly, which rounding must not decide.
    """
    limits = limits * (1 - _ROUNDING)

    def one(arguments):
        points, counts = arguments
        squares = vectors.squared_distances(points, centroids)
        counts = counts & jnp.isfinite(points).all(axis=-1)
        label = kmeans.assign_uniquely(squares, counts)
        at = jnp.maximum(label, 0)
        own = jnp.take_along_axis(squares, at[:, None], axis=1)[:, 0]
        return jnp.where((label >= 0) & (own < limits[at]), label, -1)

    return jax.lax.map(one, (unit, valid), batch_size=min(_PICTURES, len(unit)))


def distance_thresholds(
    labels: jax.Array, distances: jax.Array, *, k: int, axis_name: str | None = None
) -> jax.Array:
    """Mean plus standard deviation of the `[n]` distances in each cluster: `[k]`.

    0 for a cluster without points. Source: released code of [mallis2020].
    """
    at = jnp.where(labels >= 0, labels, k)  # Out of range: dropped.
    add = lambda values: parallel.total(
        jnp.zeros(k).at[at].add(values, mode='drop'), axis_name
    )
    many = jnp.maximum(add(jnp.ones_like(distances)), 1)
    mean = add(distances) / many
    apart = (distances - mean[jnp.minimum(at, k - 1)]) ** 2
    return mean + jnp.sqrt(add(apart) / many)

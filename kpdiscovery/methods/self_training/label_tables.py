"""The table of pseudo-labels: how it starts, and how a sweep renews it.

A row a picture, P points a row: `xy` `[N, P, 2]` in cells of the maps, `score`, and the
clusters of each point, -1 for none: `label` (what descriptors are trained with), `mirror`
(that in the mirrored picture) and `landmark` (what stage 2 is trained with). What
prediction needs of a sweep (centroids, the map from landmarks to their mirror images) goes
to the state's variables under `clusters`.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from typing import Any

import jax
import jax.numpy as jnp

from kpdiscovery.methods.self_training import clustering, network
from kpdiscovery.methods.self_training.health import (
    advise,
    advise_start,
    health,
    old_labels,
)
from kpdiscovery.ops import coordinates, heatmaps, parallel, vectors
from kpdiscovery.ops import images as image_ops
from kpdiscovery.ops.agreement import contingency
from kpdiscovery.ops.reductions import mean_where
from kpdiscovery.types import Batch, Keypoints, State, Sweep, SweepResult, Tree

LABELS = ('label', 'mirror', 'landmark')
_log = logging.getLogger(__name__)
_INSIDE = 100  # Clusters of points inside boxes that ground is told from, at most.


def empty(points: int, rows: int, before: Tree, batch: Batch) -> Tree:
    """The table a phase starts with: that of the phase before, or one without labels."""
    del batch
    if before:
        return before
    table = {'xy': jnp.zeros((rows, points, 2)), 'score': jnp.zeros((rows, points))}
    return {**table, **without_labels((rows, points))}


def without_labels(shape: tuple[int, ...]) -> dict[str, jax.Array]:
    return {name: jnp.full(shape, -1, jnp.int32) for name in LABELS}


def table_sweep(method, every: int, extract, label, **options) -> Sweep:
    """A sweep that renews the table: `extract(method, state, batch, labels)` and
    `label(method, ...)` of `over_rows`."""
    return Sweep(
        every=every,
        init=functools.partial(empty, method.num_points),
        extract=functools.partial(extract, method),
        reduce=over_rows(functools.partial(label, method)),
        **options,
    )


def from_generic(method, steps: int) -> Sweep:
    """One sweep, before the first step: labels of the generic keypoints."""
    label = _label_generic if method.chapter == 5 else label_slots
    label = _label_given if method.start == 'clusters' else label
    return table_sweep(method, steps, read_generic, label, advise=advise_start)


def from_network(method, every: int) -> Sweep:
    """Labels of the network's own points, before every round and after the last."""
    label = _label_unique if method.chapter == 5 else _label_mirrored
    return table_sweep(method, every, describe, label, at_end=True, advise=advise)


def read_generic(method, state: State, batch: Batch, labels: Tree) -> Tree:
    """The best of a batch's generic keypoints on the object, in cells.

    Where the batch has `boxes`, points outside all of them are left out, unless the
    picture has no valid box ([mallis-thesis], chapter 5). With `ground_clusters` they stay,
    marked by `inside`, until all pictures' descriptors have been seen.

    Raises:
        ValueError: the batch has no generic keypoints, or in chapter 5 none with
            descriptors.
    """
    del state, labels
    if 'detected' not in batch:
        raise ValueError(
            "self_training starts from generic keypoints: set data.keypoints to 'sift', "
            "'orb', 'superpoint', 'superpoint+sift', 'xfeat' or a FILE.npz"
        )
    if method.chapter == 5 and 'detected_descriptors' not in batch:
        raise ValueError(
            'chapter 5 clusters the descriptors of the generic keypoints: the file of '
            "data.keypoints has no 'descriptors'"
        )
    if method.start == 'clusters' and 'detected_label' not in batch:
        raise ValueError(
            "method.start='clusters' wants keypoints that have labels: "
            'data.keypoints=constellation, or the workdir of such a run'
        )
    if 'detected_descriptors' not in batch and (
        method.outliers or method.ground_clusters
    ):
        _log.warning(
            'the generic keypoints have no descriptors: method.outliers and '
            'method.ground_clusters do nothing'
        )
    xy, score = batch['detected'], batch['detected_score']
    on_object = coordinates.in_boxes(xy, batch['image'].shape[1:3], batch)
    if not method.ground_clusters or 'detected_descriptors' not in batch:
        score = jnp.where(on_object, score, 0)
    score, order = jax.lax.top_k(score, min(method.num_points, score.shape[1]))
    take = lambda a: jnp.take_along_axis(a, order[..., None], axis=1)
    xy = coordinates.pixel_to_cell(take(xy), network.STRIDE)
    rows = {'xy': xy, 'score': score, 'valid': score > 0}
    if 'detected_descriptors' in batch:
        rows['descriptor'] = take(batch['detected_descriptors'])
        rows['inside'] = jnp.take_along_axis(on_object, order, axis=1)
    if 'detected_label' in batch:
        pick = lambda name: jnp.take_along_axis(batch[name], order, axis=1)
        rows['given'] = pick('detected_label')
        rows['given_mirror'] = pick('detected_mirror')
    rows = network.fill(rows, method.num_points)
    return {**rows, 'before': jnp.full(rows['score'].shape, -1, jnp.int32)}


def describe(method, state: State, batch: Batch, labels: Tree) -> Tree:
    """The network's points of a batch with their descriptors, unit length."""
    images = image_ops.as_float(batch['image'])
    maps = network.stage_one(method.network, state.variables, images)
    points = found = method.detect(maps.scores)
    if method.chapter == 5 or method.start == 'clusters':
        near = network.apart(method.half, maps.scores.shape[2])
        points = _keep_old(points, labels, near)
    read = lambda features, xy: vectors.normalize(
        heatmaps.sample_bilinear(features, xy)
    )
    rows = {
        'xy': points.xy,
        'score': points.score,
        'valid': points.valid,
        'descriptor': read(maps.descriptors, points.xy),
        'before': old_labels(points.xy, labels['xy'], labels['label']),
        'taken': found.valid.mean(axis=1),
    }
    if method.chapter == 6:
        mirror = images[:, :, ::-1]
        other = network.stage_one(method.network, state.variables, mirror)
        xy = mirrored(points.xy, maps.scores.shape[2])
        rows['mirror_descriptor'] = read(other.descriptors, xy)
    return rows


def mirrored(xy: jax.Array, width: int) -> jax.Array:
    """Cells `[..., 2]` of a map in the frame of the mirrored picture's map."""
    return xy.at[..., 0].set(width - 1 - xy[..., 0])


def _keep_old(points: Keypoints, labels: Tree, near: int) -> Keypoints:
    """Old labelled points and the new ones not within `near` cells of any
    ([mallis-thesis], chapter 5).

    Points that another run gave stay likewise, under whatever label the clusters of the
    round give them: a detector that learns only what its own clusters have kept finds
    fewer from round to round (RESULTS.md).
    """
    old = (labels['label'] >= 0) | (labels['landmark'] >= 0)
    gap = jnp.abs(points.xy[:, :, None] - labels['xy'][:, None]).max(
        axis=-1
    )  # [B, P, Q]
    far = jnp.where(old[:, None], gap, jnp.inf).min(axis=-1) >= near
    xy = jnp.concatenate([labels['xy'], points.xy], axis=1)
    score = jnp.concatenate([labels['score'], points.score], axis=1)
    ranks = [jnp.where(old, 1 + labels['score'], 0), jnp.where(far, points.score, 0)]
    many = points.score.shape[1]
    rank, order = jax.lax.top_k(jnp.concatenate(ranks, axis=1), many)
    score = jnp.take_along_axis(score, order, axis=1)
    xy = jnp.take_along_axis(xy, order[..., None], axis=1)
    return Keypoints(xy, score, jnp.full(order.shape, -1, jnp.int32), rank > 0)


def over_rows(label):
    """A sweep's reduce from `label(rows, clusters, step, key, axis_name)`, run per device.

    `label` returns (table, what to keep under `clusters`, scalars).
    """

    def split(*arguments, axis_name):
        table, *whole = label(*arguments, axis_name=axis_name)
        return table, whole

    def reduce(rows: Tree, state: State, key: jax.Array) -> SweepResult:
        clusters = state.variables.get('clusters', {})
        table, (found, scalars) = parallel.over_rows(
            split, rows, clusters, state.step, key
        )
        if found:  # A checkpoint does not remember an empty dict.
            kept = {**state.variables, 'clusters': {**clusters, **found}}
            state = dataclasses.replace(state, variables=kept)
        return SweepResult(table, state, scalars)

    return reduce


def label_slots(method, rows, clusters, step, key, *, axis_name):
    """Every keypoint that is no outlier is its own label in its own picture.

    Generic ones, or in chapter 4 those of the detector before.
    """
    del clusters, step
    valid = counted(rows)
    kept = _without_outliers(method, rows, valid, key, axis_name)
    slot = jnp.where(kept, jnp.arange(valid.shape[1])[None], -1)
    table = {**_points(rows), **without_labels(valid.shape), 'label': slot}
    scalars = _health(method, rows, slot, valid, method.num_points, axis_name)
    told = ('points', 'dropped', 'crowded', 'full')
    return table, {}, {name: scalars[name] for name in told if name in scalars}


def _label_given(method, rows, clusters, step, key, *, axis_name):
    """The landmarks of another run, by their labels there.

    `flip` is -1 where it does not say what a landmark is in the mirror.
    """
    del clusters, step, key
    valid, k = counted(rows), method.num_keypoints
    valid &= rows['given'] < k
    label = jnp.where(valid, rows['given'], -1)
    mirror = jnp.where(valid, rows['given_mirror'], -1)
    table = {**_points(rows), 'label': label, 'mirror': mirror, 'landmark': label}
    scalars = _health(method, rows, label, valid, k, axis_name)
    keep = {}
    if method.chapter == 6:
        meet = functools.partial(contingency, shape=(k, k), axis_name=axis_name)
        seen = jnp.diagonal(meet(label, label))
        keep = {'flip': clustering.mirror_pairs(meet(label, mirror), seen)}
    return table, keep, scalars


def _label_generic(method, rows, clusters, step, key, *, axis_name):
    """Chapter 5: clusters of the generic descriptors, which nothing later reads."""
    del clusters, step
    valid = counted(rows)
    kept = _without_outliers(method, rows, valid, key, axis_name)
    found = _unique(method, rows, kept, key, axis_name)()
    scalars = _health(method, rows, found.labels, valid, method.num_clusters, axis_name)
    return _unique_table(rows, found), {}, scalars


def _label_unique(method, rows, clusters, step, key, *, axis_name):
    """Chapter 5: the Hungarian method and thresholds, warm started after the first."""
    valid = counted(rows)
    cluster = _unique(method, rows, valid, key, axis_name)
    again = functools.partial(cluster, init=clusters['centroids'])
    found = jax.lax.cond(step == 0, cluster, again)
    scalars = _health(method, rows, found.labels, valid, method.num_clusters, axis_name)
    keep = {'centroids': found.centroids, 'thresholds': found.thresholds}
    return _unique_table(rows, found), keep, scalars


def _unique(method, rows, valid, key, axis_name):
    return functools.partial(
        clustering.cluster_uniquely, key, rows['descriptor'], valid,
        method.num_clusters, iterations=method.kmeans_iterations, axis_name=axis_name,
    )  # fmt: skip


def _unique_table(rows, found):
    blank = without_labels(found.labels.shape)
    return {**_points(rows), **blank, 'label': found.labels, 'landmark': found.labels}


def _label_mirrored(method, rows, clusters, step, key, *, axis_name):
    """Chapter 6: clustered twice, with mirror images, one point a cluster and picture."""
    del clusters, step
    valid = counted(rows)
    cluster = functools.partial(
        clustering.cluster_mirrored, descriptors=rows['descriptor'],
        mirrored=rows['mirror_descriptor'], iterations=method.kmeans_iterations,
        restarts=method.kmeans_restarts, axis_name=axis_name,
    )  # fmt: skip
    keys = jax.random.split(key)
    coarse = cluster(keys[0], valid=valid, k=method.num_keypoints)
    left = clustering.without_duplicates(coarse)
    fine = cluster(keys[1], valid=left, k=method.num_clusters)
    kept = clustering.without_duplicates(fine)
    kept &= (kept.sum(axis=1) >= method.min_points)[:, None]
    table = {
        **_points(rows),
        'label': jnp.where(kept, fine.labels, -1),
        'mirror': jnp.where(kept, fine.mirror, -1),
        'landmark': jnp.where(left, coarse.labels, -1),
    }
    flip = clustering.flip_map(coarse, axis_name=axis_name)
    scalars = _health(
        method, rows, table['label'], valid, method.num_clusters, axis_name
    )
    return table, {'centroids': coarse.centroids, 'flip': flip}, scalars


def _health(method, rows, labels, valid, clusters, axis_name):
    """The health line, with how `full` a detector's threshold has let its places become."""
    found = health(
        labels, rows['before'], rows['xy'], valid, rows['row_valid'],
        clusters=clusters, least=method.min_points, axis_name=axis_name,
    )  # fmt: skip
    if 'taken' not in rows:
        return found
    full = mean_where(rows['taken'], rows['row_valid'], axis_name=axis_name)
    return {**found, 'full': full}


def _without_outliers(method, rows, valid, key, axis_name):
    """Points that look like those of other pictures and, where asked, not like ground."""
    if 'descriptor' not in rows:
        return valid
    if method.ground_clusters:
        inside = rows['inside']
        valid = clustering.keep_object(
            jax.random.fold_in(key, 1), rows['descriptor'], valid & inside,
            valid & ~inside,
            clusters=(min(method.num_clusters, _INSIDE), method.ground_clusters),
            iterations=method.kmeans_iterations, axis_name=axis_name,
        )  # fmt: skip
    if not method.outliers:
        return valid
    return clustering.drop_outliers(
        rows['descriptor'], valid, share=method.outliers, axis_name=axis_name
    )


def counted(rows) -> Any:
    """Points `[N, P]` that are there, in rows that are pictures."""
    return rows['valid'] & rows['row_valid'][:, None]


def _points(rows):
    return {name: rows[name] for name in ('xy', 'score')}

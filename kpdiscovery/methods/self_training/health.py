"""What a round of labels looks like from outside, and what to do when it looks bad."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from kpdiscovery.ops import parallel
from kpdiscovery.ops.agreement import contingency, mutual_information

_GRID = 256  # Cells a side that are told apart.
_FEW_LANDMARKS = 3
_NEAR = 1.5  # Cells within which an old point and a new one are the same.


def old_labels(xy: jax.Array, old_xy: jax.Array, old: jax.Array) -> jax.Array:
    """Label of the nearest labelled old point within 1.5 cells of each new one.

    Args:
        xy: `[N, P, 2]` cells.
        old_xy: `[N, Q, 2]`.
        old: `[N, Q]` int32, -1 none.

    Returns:
        `[N, P]` int32, -1 where there was none.
    """
    apart = jnp.abs(xy[:, :, None] - old_xy[:, None]).max(axis=-1)  # [N, P, Q]
    apart = jnp.where(old[:, None] >= 0, apart, jnp.inf)
    nearest = jnp.take_along_axis(old, apart.argmin(axis=-1), axis=1)
    return jnp.where(apart.min(axis=-1) <= _NEAR, nearest, -1)


def health(
    labels: jax.Array,
    before: jax.Array,
    xy: jax.Array,
    detected: jax.Array,
    pictures: jax.Array,
    *,
    clusters: int,
    least: int = 0,
    axis_name: str | None = None,
) -> dict[str, jax.Array]:
    """The health line of a round.

    Args:
        labels: `[N, P]` of the points that are left, -1 none.
        before: `[N, P]` labels that the same points had, -1 none.
        xy: `[N, P, 2]` cells.
        detected: `[N, P]` bool, points found before clustering.
        pictures: `[N]` bool, rows that are pictures.
        clusters: labels are below it, those of `before` below it or P.
        least: labelled points that a picture must have to teach anything.

    Returns:
        `points` a picture; `idle` share of pictures with fewer than `least`; share of
        clusters `alive`; `dropped` share of the detected points that lost theirs;
        `crowded` share of points on the most frequent cell;
        `change` = 1 - normalised mutual information of old and new labels (0: the same
        clusters under any numbers).
    """
    add = lambda values: parallel.total(values.astype(jnp.float32).sum(), axis_name)
    left = labels >= 0
    many, found = add(left), jnp.maximum(add(detected), 1)
    old = max(clusters, labels.shape[1])
    meet = functools.partial(contingency, axis_name=axis_name)
    table = meet(before, labels, shape=(old, clusters))
    used = meet(labels, labels, shape=(clusters, clusters))
    x, y = jnp.moveaxis(jnp.clip(jnp.round(xy), 0, _GRID - 1).astype(jnp.int32), -1, 0)
    y = jnp.where(left, y, -1)
    grid = meet(y, x, shape=(_GRID, _GRID))
    return {
        'points': many / jnp.maximum(add(pictures), 1),
        'idle': add(pictures & (left.sum(axis=1) < least))
        / jnp.maximum(add(pictures), 1),
        'alive': (jnp.diagonal(used) > 0).mean(),
        'dropped': 1 - many / found,
        'crowded': grid.max() / jnp.maximum(many, 1),
        'change': 1 - mutual_information(table),
    }


def advise_template(scalars: Mapping[str, float]) -> str:
    """Chapter 4: a warning with its remedy when the template lacks points, or few pictures
    match it, else ''."""
    if scalars.get('template', 1.0) < 1:
        return (
            f'no picture has as many points as landmarks are asked for, the template '
            f'{scalars["template"]:.0%} of them: the others are never learnt; lower '
            'method.threshold or method.num_keypoints'
        )
    if scalars['aligned'] >= 0.25:
        return ''
    return (
        f'{scalars["aligned"]:.0%} of the pictures match the template, the others teach '
        'nothing: the detector must find as many points as landmarks are asked for; lower '
        'method.threshold, method.min_matched or method.num_keypoints'
    )


def advise_merging(scalars: Mapping[str, float]) -> str:
    """Chapter 5: a warning with its remedy when hardly a landmark is left, else ''."""
    if scalars['landmarks'] >= _FEW_LANDMARKS:
        return ''
    return (
        f'only {scalars["landmarks"]:.0f} landmarks are left: clusters of at most '
        'method.min_population points go, and a picture has one of each at most; lower it '
        'well below the number of pictures'
    )


def advise_start(scalars: Mapping[str, float]) -> str:
    """The same of the generic keypoints, which no network has made, else ''."""
    if scalars['points'] < 2:
        return (
            f'only {scalars["points"]:.1f} generic keypoints a picture are left: raise '
            'data.num_detected, lower method.outliers, or take another data.keypoints'
        )
    if scalars.get('idle', 0.0) > 0.5:
        return _idle(scalars, 'raise data.num_detected')
    if scalars.get('alive', 1.0) < 0.5:
        return (
            f'only {scalars["alive"]:.0%} of the clusters have points: lower '
            'method.num_clusters, or take descriptors that differ more (data.keypoints)'
        )
    return ''


def advise(scalars: Mapping[str, float]) -> str:
    """A warning with its remedy when labels are collapsing, else ''."""
    if scalars['points'] < 2:
        return (
            f'only {scalars["points"]:.1f} labelled points a picture: train longer '
            'before labelling (steps of the phase before), or lower method.threshold'
        )
    if scalars.get('idle', 0.0) > 0.5:
        return _idle(scalars, 'lower method.threshold')
    if scalars.get('full', 0.0) > 0.9:
        return (
            f'{scalars["full"]:.0%} of the places for points are taken: the detector lets '
            'nearly everything pass; raise method.threshold above the mean of its targets, '
            'or method.num_points'
        )
    if scalars['crowded'] > 0.5:
        return (
            f'{scalars["crowded"]:.0%} of all points lie on one cell: the detector has '
            'collapsed; lower the learning rate, or widen method.augmentation'
        )
    if scalars.get('alive', 1.0) < 0.5:
        return (
            f'only {scalars["alive"]:.0%} of the clusters have points: descriptors are '
            'collapsing; lower method.num_clusters or raise method.descriptor_weight'
        )
    return ''


def _idle(scalars, mend):
    return (
        f'{scalars["idle"]:.0%} of the pictures have fewer than method.min_points labelled '
        f'points and teach nothing: lower it, or {mend}'
    )

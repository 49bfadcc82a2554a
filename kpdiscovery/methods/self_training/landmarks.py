"""Stage 2: one map a landmark, and in chapter 5 the merging of doubled ones."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from kpdiscovery import losses
from kpdiscovery.methods.learning import descend, start
from kpdiscovery.methods.self_training import network
from kpdiscovery.methods.self_training.correspond import labelled_view
from kpdiscovery.methods.self_training.health import advise_merging
from kpdiscovery.methods.self_training.label_tables import table_sweep, without_labels
from kpdiscovery.ops import heatmaps, parallel
from kpdiscovery.ops import images as image_ops
from kpdiscovery.ops.agreement import contingency
from kpdiscovery.types import Batch, State, Sweep, Tree

_SIGMA = 0.75  # Cells; with the 3x3 window below, the released codes' target.
LOSSES = {
    'mse': losses.heatmap_mse,
    'cross_entropy': losses.heatmap_cross_entropy,
}


def init(method, update, key: jax.Array, batch: Batch, before: State | None) -> State:
    """The trunk of stage 1 and its descriptor head with a fresh last layer.

    Without a phase before, fresh networks (chapter 4).
    """
    outputs = method.num_labels
    if before is None or 'descriptor' not in before.variables:
        images = image_ops.as_float(batch['image'][:1])
        nets = network.init(key, images, method.network, {'landmarks': outputs})
        clusters = method.blank_clusters()
    else:
        old, clusters = before.variables, before.variables['clusters']
        head = network.replace_last(key, method.network, old['descriptor'], outputs)
        nets = {'trunk': old['trunk'], 'landmarks': head}
    return start({**nets, 'clusters': clusters}, update, _GROUPS)


_GROUPS = {'trunk': 'trunk', 'head': 'landmarks'}  # Each with its own optimiser.


def step(
    method, flip: bool, update, state: State, batch: Batch, labels: Tree, key: jax.Array
):
    """One step on one view of each picture."""
    mirror = state.variables['clusters']['flip'] if flip else None
    images, target, counts = make_views(method, mirror, key, batch, labels)
    differ = LOSSES[method.landmark_loss]

    def loss(variables):
        value = differ(_maps(method, variables, images), target, counts).mean()
        return value, ({'loss': value, 'labelled': counts.mean()}, {})

    return descend(loss, update, state, _GROUPS)


def landmark_maps(method, variables, images: jax.Array) -> jax.Array:
    """Maps `[B, h, w, K]` of `[B, H, W, 3]` pictures, about 1 where a landmark surely is."""
    maps = _maps(method, variables, images)
    if method.landmark_loss == 'cross_entropy':
        maps = jax.nn.softmax(maps, axis=(1, 2)) * (2 * jnp.pi * _SIGMA**2)
    return maps


def _maps(method, variables, images):
    maps = network.features(method.network, variables, images)
    return network.head(method.network, variables, 'landmarks', maps)


def make_views(method, mirror, key, batch, labels):
    """Views `[B, H, W, 3]`, target maps `[B, h, w, K]` and labelled channels `[B, K]`.

    Args:
        mirror: `[K]` the landmark that each is in a mirrored picture, which does not teach
            those of -1; None: none is mirrored.
    """
    table = {name: labels[name] for name in ('xy', 'landmark', 'score')}
    rows = parallel.take_rows(table, batch['index'])
    label = other = rows['landmark']
    keys = parallel.view_keys(key, batch['index'])
    flipped = jnp.zeros(len(keys), bool)
    if mirror is not None:
        flipped = jax.vmap(method.landmark_augmentation.flips)(keys)
        other = jnp.where(label >= 0, mirror[jnp.maximum(label, 0)], -1)
        flipped &= (other >= 0).any(axis=-1)
    view = functools.partial(labelled_view, method.landmark_augmentation)
    images, cells, label = jax.vmap(view)(
        keys, image_ops.as_float(batch['image']), rows['xy'], label, other, flipped
    )
    size = tuple(n // network.STRIDE for n in images.shape[1:3])
    xy, counts = by_channel(cells, label, rows['score'], method.num_labels)
    return images, landmark_targets(xy, counts, size), counts


def by_channel(xy, label, score, channels: int):
    """The best point of each label: `[B, K, 2]`, and whether there is one, `[B, K]`."""
    inside = label[..., None] == jnp.arange(channels).reshape(1, 1, -1)  # [B, P, K]
    rank = jnp.where(inside, 1 + score[..., None], 0)
    best = rank.argmax(axis=1)
    return jnp.take_along_axis(xy, best[..., None], axis=1), rank.max(axis=1) > 0


def landmark_targets(xy: jax.Array, counts: jax.Array, size: tuple[int, int]):
    """Gaussians of height 1 at cells `[B, K, 2]`, no wider than 3x3: `[B, h, w, K]`."""
    wide = heatmaps.gaussian_heatmaps(xy, size, sigma=_SIGMA)
    corner = jnp.exp(-1 / _SIGMA**2)  # Cells farther than the corners are outside.
    return jnp.where((wide >= 0.99 * corner) & counts[:, None, None], wide, 0)


def merging(method, every: int) -> Sweep:
    """Chapter 5: channels that fall on one another in most pictures become one."""
    return table_sweep(
        method, every, _see_channels, _merge, at_end=True, advise=advise_merging
    )


def _see_channels(method, state: State, batch: Batch, labels: Tree) -> Tree:
    images = image_ops.as_float(batch['image'])
    xy, value = network.peaks(landmark_maps(method, state.variables, images))
    xy = xy * network.CELLS * network.STRIDE / images.shape[2]
    return {**labels, 'peak': xy, 'sure': value >= method.threshold}


def _merge(method, rows, clusters, step, key, *, axis_name):
    """Relabels the table by the map from channels to those that stay."""
    del key
    table = {name: rows[name] for name in ('xy', 'score', *without_labels((1,)))}
    label = jnp.where(rows['row_valid'][:, None], table['landmark'], -1)
    m = method.num_labels
    population = jnp.diagonal(
        contingency(label, label, shape=(m, m), axis_name=axis_name)
    )
    sure = rows['sure'] & rows['row_valid'][:, None]
    together, many = _meetings(rows['peak'], sure, method.merge_distance)
    together, many = parallel.total((together, many), axis_name)
    active = clusters['active'] & (population > method.min_population)
    never = 2.0  # More than all pictures.
    overlap = jnp.where(step >= method.merge_start, method.merge_overlap, never)
    goes_to = merge_map(population, together, many, active, overlap=overlap)
    at = jnp.maximum(label, 0)
    moved = jnp.where((label >= 0) & active[at], goes_to[at], -1)
    label = _once_a_picture(moved, label, population)
    active = active & (goes_to == jnp.arange(m))
    found = {'active': active}
    scalars = {'landmarks': active.sum(), 'merged': (goes_to != jnp.arange(m)).sum()}
    return {**table, 'landmark': label, 'label': label}, found, scalars


def merge_map(population, together, many, active, *, overlap) -> jax.Array:
    """Which channel each of M channels becomes part of: `[M]` int32, itself if it stays.

    From the most to the least populated, a channel joins the first one kept that it
    meets in more than `overlap` of the pictures in which the rarer of the two is sure.

    Args:
        population: `[M]` labelled points.
        together: `[M, M]` pictures in which both are sure and close.
        many: `[M]` pictures in which each is sure.
        active: `[M]` bool; others stay alone.

    Source: [mallis-thesis], chapter 5, and the released code of [mallis2020].
    """
    m = len(population)
    order = jnp.argsort(-population)
    least = jnp.minimum(many[:, None], many[None])
    meets = (together > overlap * least) & active[:, None] & active[None]

    def visit(i, carry):
        goes_to, kept = carry
        channel = order[i]
        candidates = meets[channel] & kept
        rank = jnp.where(candidates[order], jnp.arange(m), m)
        first = rank.min()
        joins = first < m
        goal = jnp.where(joins, order[jnp.minimum(first, m - 1)], channel)
        stays = active[channel] & ~joins
        return goes_to.at[channel].set(goal), kept.at[channel].set(stays)

    start = jnp.arange(m), jnp.zeros(m, bool)
    return jax.lax.fori_loop(0, m, visit, start)[0].astype(jnp.int32)


def _meetings(xy, sure, distance):
    """Pictures in which two channels are sure and closer than `distance` cells."""
    n = len(sure)

    def add(i, carry):
        apart = jnp.sqrt(jnp.sum((xy[i][:, None] - xy[i][None]) ** 2, axis=-1))
        both = sure[i][:, None] & sure[i][None] & (apart < distance)
        return carry[0] + both, carry[1] + sure[i]

    zero = 0.0 * sure[0]  # Varies over devices as the rows do.
    return jax.lax.fori_loop(0, n, add, (zero[:, None] + zero[None], zero))


def _once_a_picture(moved, label, population):
    """Of two points that now share a label, the one of the larger old cluster keeps it."""
    rank = jnp.where(label >= 0, population[jnp.maximum(label, 0)], -1.0)
    same = (moved[:, :, None] == moved[:, None]) & (moved >= 0)[:, :, None]
    slots = jnp.arange(moved.shape[1])
    better = (rank[:, None] > rank[:, :, None]) | (
        (rank[:, None] == rank[:, :, None]) & (slots[None, :, None] > slots[None, None])
    )
    return jnp.where((same & better).any(axis=2), -1, moved)

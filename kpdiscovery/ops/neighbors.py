"""Nearest neighbours of every row among all rows, without storing N x N.

Replaces the approximate index (inverted lists, one probe) of the released landmark code.
What limits the search is not distances but the choice of the k least. A TPU sorts for it,
so there a choice that may miss some is offered, one sort for many rows. Elsewhere the k
groups of rows with the least minima are sought first: they hold the k nearest rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.ops import blocks, vectors

_GROUP = 8  # Rows whose minimum is looked at first.
_PIECES = 16  # XLA for CPUs runs operations side by side where there are more than 8.


class _Way(NamedTuple):
    """How to search on a platform."""

    queries: int  # Rows a tile.
    others: int  # That they are compared with.
    # `[queries, others]` distances and k -> fewer, the k least among them.
    sift: Callable[[jax.Array, int], jax.Array]
    top: Callable[..., Any] = jax.lax.top_k  # Or what does the same.


class _Rows(NamedTuple):
    """Rows that can be neighbours, and who they are."""

    x: jax.Array  # [N, D]
    number: jax.Array  # [N] int32 over all devices; -1 for rows that do not count.


def nearest_distances(
    x: jax.Array,
    k: int,
    *,
    valid: jax.Array | None = None,
    recall: float = 1.0,
    block: int | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """Squared distances of every row to its k nearest other rows, nearest first.

    Args:
        x: `[N, D]` float32.
        valid: `[N]` bool, rows that count; None: all. Rows with a value that is not
            finite never count.
        recall: share of the neighbours to be found on TPUs, on average; below 1 a
            search there is many times as fast. Elsewhere all are found.
        block: rows and neighbours compared at a time; `[block, block]` is stored. None:
            what is fast on the platform; at most 270 MB are stored.
        axis_name: of the mesh axis over which rows are split, inside `jax.shard_map`:
            the shards travel round the devices.

    Returns:
        `[N, k]` float32; inf beyond the number of rows that count, and for rows that
        do not count themselves.

    Raises:
        ValueError: x is not `[N, D]`, k is not positive, or recall is not in (0, 1].
    """
    if x.ndim != 2 or not len(x) or k < 1:
        raise ValueError(f'wanted x [N, D] with rows and k >= 1, got {x.shape} and {k}')
    if not 0 < recall <= 1:
        raise ValueError(f'recall must be in (0, 1], got {recall}')
    counts = jnp.isfinite(x).all(axis=-1)
    counts = counts if valid is None else counts & valid
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * len(x)
    number = jnp.where(counts, first + jnp.arange(len(x)), -1)
    rows = _Rows(jnp.where(counts[:, None], x, 0.0), number)
    best = jnp.full((len(x), k), jnp.inf) + 0 * rows.x[:, :1]  # Varies like x.
    merge = functools.partial(_merge, rows, recall=recall, block=block)
    best = _all_shards(merge, best, rows, axis_name)
    return jnp.where(counts[:, None], best, jnp.inf)


def outlier_scores(distances: jax.Array) -> jax.Array:
    """Median of `[N, k]` distances to neighbours: `[N]`, high for lonely rows.

    Of those that are finite: rows with fewer than k neighbours are judged by what they
    have, rows with none get inf.

    Source: released code of [mallis2020] (k 100, the 40 % of the points that
    score highest are dropped).
    """
    many = jnp.isfinite(distances).sum(axis=-1)
    last = jnp.maximum(many - 1, 0)
    pick = lambda i: jnp.take_along_axis(distances, i[:, None], axis=-1)[:, 0]
    middle = (pick(last // 2) + pick((last + 1) // 2)) / 2
    return jnp.where(many > 0, middle, jnp.inf)


def _all_shards(merge, best, rows, axis_name):
    """`merge(best, shard)` for the shard of every device, passed on in a ring."""
    if axis_name is None:
        return merge(best, rows)
    devices = jax.lax.axis_size(axis_name)
    ring = [(i, (i + 1) % devices) for i in range(devices)]

    def visit(_, carry):
        best, shard = carry
        best = merge(best, shard)
        return best, jax.lax.ppermute(shard, axis_name, ring)

    return jax.lax.fori_loop(0, devices, visit, (best, rows))[0]


def _merge(queries, best, shard, *, recall, block):
    """The k smallest of `best` and the distances to the shard's rows."""
    on_tpu = _Way(1024, 1024, lambda far, k: far)
    if recall < 1:
        on_tpu = _Way(
            1024, 262144, functools.partial(_most_of_the_least, recall=recall)
        )
    in_pieces = functools.partial(_by_groups, top=_top_in_pieces)
    ways = {
        'tpu': on_tpu,
        'cpu': _Way(512, 32768, in_pieces, _top_in_pieces),
        'default': _Way(512, 16384, _by_groups),
    }
    if block is not None:
        ways = {p: w._replace(queries=block, others=block) for p, w in ways.items()}
    search = {p: functools.partial(_search, way) for p, way in ways.items()}
    return jax.lax.platform_dependent(queries, best, shard, **search)


def _search(way, queries, best, shard):
    size = blocks.even(len(queries.x), way.queries)
    others = blocks.even(len(shard.x), way.others)

    def visit_queries(i, best):
        (mine, old), start, fresh = blocks.cut((queries, best), i, size)
        near = functools.partial(_merge_tile, way, mine, shard, others)
        new = jax.lax.fori_loop(0, blocks.count(len(shard.x), others), near, old)
        return blocks.put(best, jnp.where(fresh[:, None], new, old), start)

    many = blocks.count(len(queries.x), size)
    return jax.lax.fori_loop(0, many, visit_queries, best)


def _merge_tile(way, mine, shard, others, i, best):
    other, _, fresh = blocks.cut(shard, i, others)
    squares = vectors.squared_distances(mine.x, other.x)
    counts = (fresh & (other.number >= 0))[None] & (
        mine.number[:, None] != other.number[None]
    )
    k = best.shape[1]
    near = way.sift(jnp.where(counts, squares, jnp.inf), k)
    return -way.top(-jnp.concatenate([best, near], axis=1), k)[0]


def _most_of_the_least(far, k, *, recall):
    if far.shape[1] <= k:
        return far
    return jax.lax.approx_min_k(far, k, recall_target=recall)[0]


def _by_groups(far, k, top=jax.lax.top_k):
    """All of the k groups with the least minima, and the rows left over."""
    rows, many = far.shape
    groups = many // _GROUP
    if groups <= k:
        return far
    split = far[:, : groups * _GROUP].reshape(rows, _GROUP, groups)
    least = top(-split.min(axis=1), k)[1]
    near = jnp.take_along_axis(split, least[:, None], axis=2).reshape(rows, -1)
    return jnp.concatenate([near, far[:, groups * _GROUP :]], axis=1)


def _top_in_pieces(x, k):
    """`top_k` of some rows at a time: one runs on one thread."""
    found = [
        jax.lax.top_k(rows, k) for rows in jnp.array_split(x, min(_PIECES, len(x)))
    ]
    return [jnp.concatenate(parts) for parts in zip(*found, strict=True)]

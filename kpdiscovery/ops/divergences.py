"""Jensen-Shannon divergences, and pictures whose maps are most alike.

N pictures, P cells, C channels; the maps are probabilities over the channels. In nats, so
between 0 and ln 2.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery.ops import blocks, precision
from pallas_kernels.pairwise_js import api

_BLOCK, _TPU_BLOCK = 64, 256
_LOG_2 = float(np.log(2))


class Similar(NamedTuple):
    """The k pictures most like each, nearest first, equally near ones by number."""

    distances: jax.Array  # [N, k] float32; inf where there are no more.
    indices: jax.Array  # [N, k] int32, rows over all devices; -1 where no more.


class _Pictures(NamedTuple):
    """Pictures that can be neighbours, and who they are."""

    maps: jax.Array  # [N, P, C]
    own: jax.Array  # [N, P]: sum of p log 2p of each cell.
    cells: jax.Array  # [N, P] bool, cells that count; none of pictures that do not.
    number: jax.Array  # [N] int32 over all devices.


def most_similar(
    maps: jax.Array,
    k: int,
    *,
    exclude_self: bool = True,
    valid: jax.Array | None = None,
    cell_valid: jax.Array | None = None,
    pool: int = 0,
    block: int | None = None,
    axis_name: str | None = None,
) -> Similar:
    """The pictures of least Jensen-Shannon divergence to each, mean over the cells.

    With s = p + q the divergence is (sum p log 2p + sum q log 2q - sum s log s) / 2: of
    a pair only the last sum takes logarithms, and each pair is compared once, for both
    pictures. Beyond the maps no more than a cell of two blocks is looked at.

    Args:
        maps: `[N, P, C]` probabilities, any float dtype; computed in float32. Of
            bfloat16 XLA keeps a float32 copy on a CPU: hand in float32 there.
        k: neighbours a picture.
        exclude_self: a picture is no neighbour of its own.
        valid: `[N]` bool, pictures that count; None: all. Those with a value that is
            negative or not finite in a cell that counts never do.
        cell_valid: `[N, P]` bool, cells that count, None: all. The mean is over the
            cells that count in both pictures; without any the distance is inf.
        pool: pictures that may be neighbours, evenly spread over all (over those of
            each device, where devices do not divide them); 0: all. The time goes with N
            times so many, not with the square of N.
        block: pictures compared at a time; changes speed and memory only. None: what is
            fast on the platform. A CPU keeps the `[block, block, C]` terms of a cell,
            best in its caches; a TPU does not, and takes fewer, larger steps.
        axis_name: of the mesh axis over which pictures are split, inside
            `jax.shard_map`: the shards travel half-way round the devices.

    Raises:
        ValueError: shapes that do not fit, k or block not positive, or pool negative.

    Source: [guo2020], section 3.2.1.
    """
    _check(maps, k, valid, cell_valid, block, pool)
    valid = jnp.ones(len(maps), bool) if valid is None else valid
    cells = jnp.ones(maps.shape[:2], bool) if cell_valid is None else cell_valid
    if in_pool(pool, len(maps), axis_name):
        return similar_in_pool(
            lambda maps, cells: maps, maps, k, pool=pool, valid=valid, cell_valid=cells,
            chunk=len(maps), block=block, exclude_self=exclude_self, axis_name=axis_name,
        )  # fmt: skip
    pictures = _pictures(maps, cells, valid, _numbers(len(maps), axis_name))
    visit = functools.partial(
        _visit_by_platform, pictures, block=block, exclude_self=exclude_self
    )
    none = _none(pictures.number, k)
    mine, theirs = visit(pictures, none, none, same=True)
    if axis_name is not None:
        mine, theirs = _half_way_round(visit, pictures, mine, theirs, axis_name)
    return _told(_nearest(mine, theirs))


def in_pool(pool: int, rows: int, axis_name: str | None) -> bool:
    """Whether neighbours are sought among fewer than all pictures, `rows` a device."""
    devices = 1 if axis_name is None else jax.lax.axis_size(axis_name)
    return 0 < pool < devices * rows


def similar_in_pool(
    describe: Callable[[Any, jax.Array], jax.Array],
    table: Any,
    k: int,
    *,
    pool: int,
    valid: jax.Array,
    cell_valid: jax.Array,
    chunk: int = 2_048,
    block: int | None = None,
    exclude_self: bool = True,
    axis_name: str | None = None,
) -> Similar:
    """`most_similar` in a pool of pictures, whose maps are made a `chunk` at a time.

    Args:
        describe: makes maps `[n, P, C]` of rows of the table and of `cell_valid`.
        table: arrays `[N, ...]`.
        valid, cell_valid: `[N]` and `[N, P]`, as of `most_similar`.
        chunk: pictures whose maps there are at a time, beside those of the pool.
    """
    chunk = min(chunk, len(valid))
    rows = table, cell_valid, valid, _numbers(len(valid), axis_name)
    look = lambda row: _pictures(describe(*row[:2]), *row[1:])
    guests = look(
        jax.tree.map(lambda leaf: leaf[_spread(pool, len(valid), axis_name)], rows)
    )
    if axis_name is not None:
        guests = jax.lax.all_gather(guests, axis_name, tiled=True)

    def of_chunk(i, best):
        row, start, _ = blocks.cut(rows, i, chunk)
        hosts = look(row)
        found, _ = _visit_by_platform(
            hosts, guests, _none(hosts.number, k), nobody, block=block,
            exclude_self=exclude_self, same=False,
        )  # fmt: skip
        return blocks.put(best, found, start)

    many, best = blocks.count(len(valid), chunk), _none(rows[-1], k)
    nobody = jax.tree.map(lambda x: x[jnp.zeros(len(guests.number), int)], best)
    return _told(jax.lax.fori_loop(0, many, of_chunk, best))


def _none(number, k):
    varying = 0 * number[:, None]  # Over devices, as the pictures do.
    return Similar(jnp.full((1, k), jnp.inf) + varying, jnp.full((1, k), -1) + varying)


def _told(found):
    known = jnp.isfinite(found.distances)
    return Similar(found.distances, jnp.where(known, found.indices, -1))


def _numbers(n, axis_name):
    """Of the rows of this device over all."""
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * n
    return first + jnp.arange(n, dtype=jnp.int32)


def _pictures(maps, cells, valid, number):
    own = jnp.where(cells, _own(_positive(maps)), 0.0)
    counts = jnp.isfinite(own).all(axis=-1) & valid
    return _Pictures(maps, own, cells & counts[:, None], number)


def _spread(pool, n, axis_name):
    """Rows of this device that are of the pool."""
    devices = 1 if axis_name is None else jax.lax.axis_size(axis_name)
    count = -(-pool // devices)
    return jnp.arange(count) * n // count


def _half_way_round(visit, pictures, mine, theirs, axis_name):
    """Pictures travel with their neighbours found so far: hosts fill in both."""
    devices = jax.lax.axis_size(axis_name)
    shift = lambda n: [(i, (i + n) % devices) for i in range(devices)]

    def step(i, carry):
        mine, guests, theirs = carry
        guests, theirs = jax.lax.ppermute((guests, theirs), axis_name, shift(1))
        mine, found = visit(guests, mine, theirs, same=False)
        # Devices opposite each other are each other's hosts at once.
        theirs = jax.tree.map(
            lambda new, old: jnp.where(2 * i == devices, old, new), found, theirs
        )
        return mine, guests, theirs

    half = devices // 2
    mine, _, theirs = jax.lax.fori_loop(1, half + 1, step, (mine, pictures, theirs))
    return mine, jax.lax.ppermute(theirs, axis_name, shift(-half))


def _visit_by_platform(*pictures, block, **options):
    fewest = min(len(side.number) for side in pictures[:2])
    of = lambda size, sums: functools.partial(
        _visit, block=min(block or size, fewest), sums=sums, **options
    )
    return jax.lax.platform_dependent(
        *pictures, tpu=of(_TPU_BLOCK, _sums_at_once), default=of(_BLOCK, _sums_by_cells)
    )


def _visit(hosts, guests, mine, theirs, *, block, sums, exclude_self, same):
    """Neighbours of hosts and guests, after each host has met each guest.

    The `same` pictures on both sides meet once: blocks on the diagonal count for the
    hosts only, those below it not at all.
    """
    many, others = (blocks.count(len(p.number), block) for p in (hosts, guests))
    pairs = [(i, j) for i in range(many) for j in range(i if same else 0, others)]
    tiles = jnp.array(pairs, jnp.int32)

    def visit(t, carry):
        mine, theirs = carry
        i, j = tiles[t, 0], tiles[t, 1]
        apart, here, there = _tile(hosts, guests, i, j, block, sums, exclude_self)
        mine = _merge(mine, apart, guests.number, here, there)
        apart = jnp.where(same & (i == j), jnp.inf, apart)
        return mine, _merge(theirs, apart.T, hosts.number, there, here)

    return jax.lax.fori_loop(0, len(pairs), visit, (mine, theirs))


def _tile(hosts, guests, i, j, block, sums, exclude_self):
    """Divergences `[block, block]` of two blocks, and the numbers of their first rows.

    Pairs that do not count, or that an earlier tile held, are inf apart.
    """
    (own_a, cells_a, a), here, fresh_a = blocks.cut(hosts[1:], i, block)
    (own_b, cells_b, b), there, fresh_b = blocks.cut(guests[1:], j, block)
    total, count = sums(
        (hosts.maps, here, own_a, cells_a), (guests.maps, there, own_b, cells_b)
    )
    meet = fresh_a[:, None] & fresh_b[None] & (count > 0)
    meet &= ~(exclude_self & (a[:, None] == b[None]))
    return jnp.where(meet, total / jnp.maximum(count, 1), jnp.inf), here, there


def _sums_by_cells(hosts, guests):
    """Sums of divergences over cells that count for both, and their number."""
    maps_a, here, own_a, cells_a = hosts
    maps_b, there, own_b, cells_b = guests
    block = len(own_a)

    def cell(c, carry):
        total, count = carry
        p, q = _cell(maps_a, here, c, block), _cell(maps_b, there, c, block)
        both = cells_a[:, c][:, None] & cells_b[:, c][None]
        mixed = _sum_x_log_x(p[:, None] + q[None])
        # Not over all cells at once: terms near 0 lose nothing in float32.
        term = (own_a[:, c][:, None] + own_b[:, c][None] - mixed) / 2
        return total + jnp.where(both, jnp.maximum(term, 0.0), 0.0), count + both

    varying = 0 * (cells_a[:, :1] + cells_b[:, 0][None])  # Over devices.
    empty = jnp.zeros((block, block)) + varying
    return jax.lax.fori_loop(0, maps_a.shape[1], cell, (empty, empty))


def _sums_at_once(*sides):
    """The same by a kernel, which has both blocks copied."""
    maps, own = [], []
    for whole, start, mine, cells in sides:
        some = jax.lax.dynamic_slice_in_dim(whole, start, len(mine))
        maps.append(_positive(some))
        own.append(jnp.where(cells, mine, -jnp.inf))
    a, b = (side[3].astype(jnp.float32) for side in sides)
    return api.pairwise_js(*maps, *own), a @ b.T


def _cell(maps, start, c, block):
    """Cell c of a block of pictures `[block, C]`, without copying the block."""
    size = (block, 1, maps.shape[2])
    return _positive(jax.lax.dynamic_slice(maps, (start, c, 0), size)[:, 0])


def _merge(best, apart, number, start, other):
    """Neighbours of all rows, where rows from `start` on may have nearer ones."""
    rows, many = best.distances.shape[1], apart.shape[1]
    near, which = jax.lax.top_k(-apart, min(rows, many))
    found = Similar(-near, number[other + which])
    cut = lambda v: jax.lax.dynamic_slice_in_dim(v, start, len(apart))
    return blocks.put(best, _nearest(jax.tree.map(cut, best), found), start)


def _nearest(a, b) -> Similar:
    """The nearest of both, as many as `a` has."""
    both = [jnp.concatenate(pair, axis=1) for pair in zip(a, b, strict=True)]
    ordered = jax.lax.sort(both, num_keys=2)
    return Similar(*(v[:, : a.distances.shape[1]] for v in ordered))


def _positive(p):
    """float32 above 0: 0 log 0 is 0, and one addition a value, not a test a pair."""
    return precision.full(p) + jnp.finfo(jnp.float32).tiny


def _own(p):
    return jnp.sum(p * (jnp.log(p) + _LOG_2), axis=-1)


def _sum_x_log_x(x):
    return jnp.sum(x * jnp.log(x), axis=-1)


def _check(maps, k, valid, cell_valid, block, pool):
    if maps.ndim != 3 or not len(maps) or k < 1 or (block is not None and block < 1):
        raise ValueError(
            'wanted maps [N, P, C] with pictures, k >= 1 and block >= 1, got '
            f'{maps.shape}, {k} and {block}'
        )
    if pool < 0:
        raise ValueError(f'pool must be >= 0, got {pool}')
    if valid is not None and valid.shape != maps.shape[:1]:
        raise ValueError(f'valid must be {maps.shape[:1]}, got {valid.shape}')
    if cell_valid is not None and cell_valid.shape != maps.shape[:2]:
        raise ValueError(f'cell_valid must be {maps.shape[:2]}, got {cell_valid.shape}')

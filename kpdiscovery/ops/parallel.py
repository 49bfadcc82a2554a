"""The few places where it matters that rows are split over devices."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec

AXIS = 'data'  # Of the mesh: rows are split over it.


def gather_rows(x: jax.Array, axis_name: str | None) -> jax.Array:
    """All devices' rows of `[N, ...]` on every device.

    Under `pmap` or `shard_map` name the axis. Under `jit` with sharded arrays the rows
    are all there already, and this only asks for one all-gather here instead of one in
    every operation that follows; without a mesh it does nothing.
    """
    if axis_name is not None:
        return jax.lax.all_gather(x, axis_name, tiled=True)
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, PartitionSpec())


def take_rows(table: Any, rows: jax.Array) -> Any:
    """`leaf[rows]` of a table split over devices under `jit`: its rows travel, not all of it.

    Every device adds up, in the place of each row asked for, its own and zeros.

    Args:
        table: leaves `[N, ...]`.
        rows: `[B, ...]` int32 in [0, N), split like the table.
    """
    mesh = jax.sharding.get_abstract_mesh()
    sizes = [len(rows), *map(len, jax.tree.leaves(table))]
    if AXIS not in mesh.auto_axes or any(n % mesh.shape[AXIS] for n in sizes):
        return jax.tree.map(lambda leaf: leaf[rows], table)
    spec = PartitionSpec(AXIS)
    send = lambda table, rows: jax.tree.map(lambda leaf: _send(leaf, rows), table)
    return jax.shard_map(send, in_specs=spec, out_specs=spec)(table, rows)


def _send(block, rows):
    asked = jax.lax.all_gather(rows, AXIS, tiled=True)
    asked -= jax.lax.axis_index(AXIS) * len(block)
    own = (asked >= 0) & (asked < len(block))
    found = block.astype(jnp.int8) if block.dtype == bool else block
    found = found[jnp.clip(asked, 0, len(block) - 1)]
    own = own.reshape(own.shape + (1,) * (found.ndim - own.ndim))
    found = jnp.where(own, found, jnp.zeros_like(found))
    mine = jax.lax.psum_scatter(found, AXIS, scatter_dimension=0, tiled=True)
    return mine.astype(block.dtype)


def spread_rows(x: jax.Array) -> jax.Array:
    """`[N, ...]` with its rows split over the devices under `jit`, zeros after the last.

    For work by rows that every device would do whole, because it has them all. As it is
    without a mesh, and inside `shard_map` and `pmap`.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if AXIS not in mesh.auto_axes:
        return x
    missing = -len(x) % mesh.shape[AXIS]
    padded = jnp.pad(x, ((0, missing), *[(0, 0)] * (x.ndim - 1)))
    return jax.lax.with_sharding_constraint(padded, PartitionSpec(AXIS))


def split_rows(x: jax.Array) -> jax.Array:
    """`[N, ...]` -> `[devices, N / devices, ...]` under `jit`: each device's rows.

    `[1, N, ...]` without a mesh, inside `shard_map` and `pmap`, and where the devices do
    not divide N.
    """
    mesh = jax.sharding.get_abstract_mesh()
    devices = mesh.shape[AXIS] if AXIS in mesh.auto_axes else 1
    devices = devices if len(x) % devices == 0 else 1
    return x.reshape(devices, -1, *x.shape[1:])


def span(amount: jax.Array, axis_name: str | None):
    """Where a device's share of a total begins and ends, and the total: like `amount`.

    Shares follow one another in the order of the devices, without gaps.
    """
    if axis_name is None:
        return jnp.zeros_like(amount), amount, amount
    ends = jnp.cumsum(jax.lax.all_gather(amount, axis_name), axis=0)
    device = jax.lax.axis_index(axis_name)
    start = jnp.where(device > 0, ends[device - 1], 0)
    return start, ends[device], ends[-1]


def mean(tree, axis_name: str | None):
    """Mean over devices under `pmap`; under `jit` means are global already."""
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def total(tree, axis_name: str | None):
    """Sum over devices under `pmap` or `shard_map`; without an axis it is one already."""
    return tree if axis_name is None else jax.lax.psum(tree, axis_name)


def example_keys(key: jax.Array, index: jax.Array) -> jax.Array:
    """One key an example, independent of batch layout and device count: `[B]` keys."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, index)


def view_keys(key: jax.Array, index: jax.Array) -> jax.Array:
    """`example_keys`, but for the second and further rows of one example: a batch larger
    than the data set has pictures several times, which should be seen in several ways."""
    keys = example_keys(key, index)
    rows = jnp.arange(len(index))
    same = index[:, None] == index[None]
    times = (same & (rows[None] < rows[:, None])).sum(axis=1)
    again = jax.vmap(jax.random.fold_in)(keys, times)
    return jnp.where(times > 0, again, keys)


def by_rows(function: Callable, *arrays: jax.Array) -> Any:
    """`function` of arrays `[N, ...]`, each device computing its own rows.

    For kernels and loops, which the compiler does not split. Every result has a row for
    each of the N; where N is no multiple of the devices, each computes all of them.
    """
    mesh = jax.sharding.get_abstract_mesh()
    kinds = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    if kinds.get(AXIS) != AxisType.Auto:
        return function(*arrays)  # One device, or each has its own already.
    even = not any(len(array) % mesh.shape[AXIS] for array in arrays)
    spec = PartitionSpec(AXIS) if even else PartitionSpec()
    return jax.shard_map(
        function,
        in_specs=spec,
        out_specs=spec,
        axis_names={AXIS},
        check_vma=False,  # Loops start from constants.
    )(*arrays)


def over_rows(function: Callable, rows: Any, *whole: Any) -> tuple[Any, Any]:
    """`function(rows, *whole, axis_name=...)` on every device, each with its own rows.

    For what needs collectives of its own (k-means, mixtures, neighbours). Without a mesh
    `axis_name` is None.

    Args:
        function: returns (what has a row for each of `rows`, what is the same on all
            devices).
        rows: leaves `[N, ...]`, split over the mesh axis.
        whole: the same on all devices.
    """
    if jax.sharding.get_abstract_mesh().empty:
        return function(rows, *whole, axis_name=None)
    split, everywhere = PartitionSpec(AXIS), PartitionSpec()
    return jax.shard_map(
        functools.partial(function, axis_name=AXIS),
        in_specs=(split, *[everywhere] * len(whole)),
        out_specs=(split, everywhere),
        check_vma=False,  # Loops start from constants.
    )(rows, *whole)

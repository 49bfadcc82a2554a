"""The few places where a step must see the whole batch and not its device's share."""

from __future__ import annotations

import jax
from jax.sharding import PartitionSpec


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


def mean(tree, axis_name: str | None):
    """Mean over devices under `pmap`; under `jit` means are global already."""
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def example_keys(key: jax.Array, index: jax.Array) -> jax.Array:
    """One key an example, independent of batch layout and device count: `[B]` keys."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, index)

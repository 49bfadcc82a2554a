"""The device mesh: one axis, `data`; arrays are replicated or split by rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from kpdiscovery.ops import parallel
from kpdiscovery.types import UserError

AXIS = parallel.AXIS


def make_mesh(count: int = -1) -> Mesh:
    """Mesh of the first `count` devices; -1 takes all."""
    devices = jax.devices()
    if count == 0 or count > len(devices):
        raise UserError(
            f'mesh.data is {count}, but this machine has {len(devices)} devices'
        )
    count = len(devices) if count < 0 else count
    if count < len(devices) and jax.process_count() > 1:
        raise UserError(
            f'mesh.data is {count}, but several processes take all {len(devices)} devices'
        )
    return mesh_of(devices[:count])


def mesh_of(devices: Sequence[Any]) -> Mesh:
    """Mesh of all of some devices, along their links."""
    return jax.make_mesh((len(devices),), (AXIS,), (AxisType.Auto,), devices=devices)


def replicated(mesh: Any) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def by_rows(mesh: Any) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(AXIS))

"""Programs compiled for TPUs that are not here, and what libtpu says of them.

Two figures, for want of a clock. *Estimated*: cycles that the compiler expects, which
prices matrix products, convolutions and fusions. *Static*: the bundles of the final
schedule, for what the estimate leaves out (kernels, gathers, sorts): a lower bound, since
it knows of no stalls.
"""

from __future__ import annotations

import atexit
import collections
import functools
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from kpdiscovery.compiled import bundles, hlo
from kpdiscovery.types import UserError

CLOCK_HZ = {'v5e': 1.5e9, 'v5p': 1.75e9, 'v6e': 1.75e9}  # Assumed: none is published.
BYTES_PER_S = {'v5e': 819e9, 'v5p': 2765e9, 'v6e': 1640e9}  # Of a chip, as published.
HBM_BYTES = {  # That the compiler lets a program have.
    'v5e': 15.75 * 2**30, 'v5p': 95.73 * 2**30, 'v6e': 31.24 * 2**30,
}  # fmt: skip
_ENVIRONMENT = {
    'TPU_SKIP_MDS_QUERY': '1',
    'TPU_ACCELERATOR_TYPE': 'v5litepod-8',
    'TPU_WORKER_HOSTNAMES': 'localhost',
    'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
}


class Figures(NamedTuple):
    """Of one chip's program."""

    estimated_ms: float  # All that the compiler prices.
    static_ms: float  # Schedules of what it does not.
    temporary_mb: float
    code_mb: float
    flops: float
    unpriced: dict[str, int]  # Opcode -> how often a run does it.


def chips(topology: str) -> np.ndarray:
    """The chips of a topology such as 'v5e:2x4', 'v5p:2x2x2' or 'v6e:2x4'.

    Raises:
        UserError: libtpu is not installed, or knows no such topology.
    """
    if importlib.util.find_spec('libtpu') is None:
        raise UserError(
            f'compiling for {topology} needs libtpu: pip install libtpu (no TPU needed)'
        )
    if topology.partition(':')[0] not in HBM_BYTES:
        raise UserError(
            f'no topology {topology!r}: known are {", ".join(HBM_BYTES)}, say v5e:2x4'
        )
    os.environ.update(_ENVIRONMENT)
    from jax.experimental import topologies

    try:
        found = topologies.get_topology_desc(platform='tpu', topology_name=topology)
    except (RuntimeError, ValueError, NotImplementedError) as error:
        raise UserError(
            f'no topology {topology!r} (such as v5e:2x4): {str(error).splitlines()[0]}'
        ) from error
    return np.array(found.devices)


@functools.cache
def prepare() -> Path:
    """The folder that schedules of all later programs go to.

    To be called before anything is computed: arrays then stay on the CPU, and libtpu, which
    reads its settings once, will write them.
    """
    jax.config.update('jax_platforms', 'cpu')
    folder = Path(tempfile.mkdtemp(prefix='schedules-'))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    given = os.environ.get('LIBTPU_INIT_ARGS', '')
    os.environ['LIBTPU_INIT_ARGS'] = (
        f'{given} --xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true'
    )
    return folder


def milliseconds(bytes: float, topology: str) -> float:
    """What moving so many bytes takes a chip at least: no schedule knows of it."""
    return 1e3 * bytes / BYTES_PER_S[topology.partition(':')[0]]


def compile_for(chip: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    """`function` compiled for one chip, of arrays or their shapes."""
    mesh = Mesh(np.array([chip]), ('data',), axis_types=(AxisType.Auto,))
    place = lambda leaf: jax.ShapeDtypeStruct(
        leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, PartitionSpec())
    )
    placed = jax.tree.map(place, arguments)
    with jax.set_mesh(mesh):
        alone = jax.shard_map(function, in_specs=PartitionSpec(),
                              out_specs=PartitionSpec(), check_vma=False)  # fmt: skip
        return jax.jit(alone).lower(*placed).compile()


def figures(program: Any, *, topology: str, schedules: Path) -> Figures:
    """What the compiler says of a program compiled since `prepare` gave `schedules`.

    Empties the folder: the next program's operations may have the same names.
    """
    clock = CLOCK_HZ[topology.partition(':')[0]]
    estimated, static = 0, 0.0
    unpriced: collections.Counter[str] = collections.Counter()
    texts = _schedules(schedules)
    for operation in hlo.operations(program.as_text()):
        estimated += operation.cycles * operation.times
        if not operation.cycles and operation.name in texts:
            static += bundles.count(texts[operation.name]) * operation.times
            unpriced[operation.opcode] += operation.times
    for path in schedules.iterdir():
        path.unlink()
    memory = program.memory_analysis()
    return Figures(
        1e3 * estimated / clock,
        1e3 * static / clock,
        memory.temp_size_in_bytes / 1e6,
        memory.generated_code_size_in_bytes / 1e6,
        (program.cost_analysis() or {}).get('flops', 0.0),
        dict(unpriced),
    )


def _schedules(folder: Path) -> dict[str, str]:
    """Operation -> its schedule; of equal ones libtpu makes and writes but one."""
    written = {}
    for path in folder.glob('*-final_bundles.txt'):
        if 'schedule-analysis' not in path.name:
            _, *name, _, _ = path.name.split('-')
            written['-'.join(name)] = path.read_text()
    found = dict(written)
    for path in folder.glob('*-deduplication-map.txt'):
        for entry in path.read_text().split('key:')[1:]:
            key, *lines = entry.splitlines()
            equal = [line.strip() for line in lines if line.startswith('  ')]
            found |= {name: written[key] for name in equal if key in written}
    return found

"""What one of two processes does: sweeps with k-means, a run that is stopped, and one
in which a picture cannot be read.

python -m tests.training.worker ADDRESS PROCESS DEVICES FILE
"""

import argparse
import errno
import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec

from kpdiscovery import processes
from kpdiscovery.data.feeds import Feed
from kpdiscovery.data.generated.tetrominoes import tetrominoes
from kpdiscovery.ops import vectors
from kpdiscovery.ops.kmeans import kmeans
from kpdiscovery.ops.neighbors import nearest_distances
from kpdiscovery.training import loop, sharding
from kpdiscovery.training.sweeps import Sweeper
from kpdiscovery.types import State, Sweep, SweepResult
from tests.training.toy import Colors, Toy, config

PROCESSES = 2
SOURCES = {
    'read': functools.partial(Colors, length=37),
    'generated': functools.partial(tetrominoes, split='train', length=21),
}


def sweep(name: str, mesh: Mesh) -> dict[str, np.ndarray]:
    """Labels, centroids and scalars of two rounds."""
    with jax.set_mesh(mesh):
        feed = Feed(SOURCES[name](), 16, sharding.by_rows(mesh))
        sweeper = Sweeper(Sweep(1, _tables, _extract, _reduce), feed)
        labels = sweeper.init({}, {})
        state = State(jnp.zeros((), jnp.int32), {'centroids': jnp.zeros((5, 3))}, {})
        for turn in range(2):
            labels, state, scalars = sweeper.run(state, labels, jax.random.key(turn))
        found = {**labels, **state.variables, **scalars}
        return processes.gather(found)


def _tables(rows, labels, batch):
    del labels, batch
    whole = jnp.zeros(rows, jnp.int32)
    return {'cluster': whole, 'second': whole, 'index': whole, 'turn': whole,
            'near': jnp.zeros((rows, 4))}  # fmt: skip


def _extract(state, batch, labels):
    color = batch['image'].astype(jnp.float32).mean((1, 2))
    return {'color': color, 'index': batch['index'], 'turn': labels['turn'] + 1}


def _reduce(rows, state, key):
    split, whole = PartitionSpec(sharding.AXIS), PartitionSpec()
    cluster = jax.shard_map(
        _cluster, in_specs=(whole, split, split), out_specs=(split, whole)
    )
    labels, found = cluster(key, rows['color'], rows['row_valid'])
    labels |= {'index': rows['index'], 'turn': rows['turn']}
    variables = {'centroids': found.pop('centroids')}
    return SweepResult(labels, state.replace(variables=variables), found)


def _cluster(key, color, valid):
    """Clusters, clusters of the distances to them, and nearest neighbours."""
    options = {'weights': valid.astype(jnp.float32), 'axis_name': sharding.AXIS}
    first = kmeans(key, color, 5, iterations=10, **options)
    away = jnp.sqrt(vectors.squared_distances(color, first.centroids))
    second = kmeans(jax.random.fold_in(key, 1), away, 3, iterations=10, **options)
    near = nearest_distances(color, 4, valid=valid, axis_name=sharding.AXIS)
    labels = {'cluster': first.labels, 'second': second.labels, 'near': near}
    return labels, {
        'centroids': first.centroids,
        'inertia': first.inertia,
        'second_inertia': second.inertia,
    }


def train(workdir: str, max_seconds: float | None = None) -> dict[str, np.ndarray]:
    """A run that may be stopped once, and goes on to its end."""
    settings = config(mesh={'data': -1})
    run = functools.partial(loop.train, Toy(), settings, Colors(), workdir)
    stopped = run(max_seconds=max_seconds)
    assert stopped.finished == (max_seconds is None and jax.process_count() == 1)
    return {'color': np.asarray(run().variables['color'])}


class Torn(Colors):
    """Pictures on a disk that fails after a while."""

    reads = 0

    def __getitem__(self, index):
        Torn.reads += 1
        if Torn.reads > 30:
            raise OSError(errno.EIO, 'Input/output error', f'{index}.png')
        return super().__getitem__(index)


def main(address: str, process: str, devices: str, file: str) -> None:
    jax.config.update('jax_num_cpu_devices', int(devices))
    args = argparse.Namespace(
        coordinator=address, num_processes=PROCESSES, process_id=int(process)
    )
    with processes.together(args):
        assert len(jax.devices()) == PROCESSES * int(devices)
        _work(process, file)
        source = Torn() if int(process) else Colors()
        settings = config(mesh={'data': -1})
        loop.train(Toy(steps=10_000), settings, source, f'{file}.torn')


def _work(process: str, file: str) -> None:
    # Neighbours in the mesh are of different processes, as they may be on a TPU pod.
    mixed = np.array(jax.devices()).reshape(PROCESSES, -1).T.ravel()
    mesh = Mesh(mixed, (sharding.AXIS,), axis_types=(AxisType.Auto,))
    found = {name: sweep(name, mesh) for name in SOURCES}
    found['train'] = train(f'{file}.run', 0.0 if int(process) else None)
    flat = {f'{name}/{key}': v for name in found for key, v in found[name].items()}
    if jax.process_index() == 0:
        np.savez(file, **flat)


if __name__ == '__main__':
    main(*sys.argv[1:])

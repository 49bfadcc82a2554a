"""k-means and the neighbour filter compile for real TPUs, within their memory."""

import functools

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from kpdiscovery.ops.kmeans import KMeans, kmeans
from kpdiscovery.ops.neighbors import nearest_distances

pytestmark = pytest.mark.tpu_aot

HBM = 16e9  # Bytes a chip, v5e.
TOPOLOGIES = pytest.mark.parametrize('topology', [
    'v5e:2x4', pytest.param('v6e:2x4', marks=pytest.mark.slow),
])  # fmt: skip


def compiled(chips, function, shape, out):
    """`function(key, rows)` of each of the chips, for rows of all of them together."""
    mesh = Mesh(chips, ('data',), axis_types=(AxisType.Auto,))
    place = lambda leaf, spec: jax.ShapeDtypeStruct(
        leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, spec)
    )
    key = place(jax.eval_shape(lambda: jax.random.key(0)), P())
    rows = place(jax.ShapeDtypeStruct(shape, jnp.float32), P('data'))
    with jax.set_mesh(mesh):
        split = jax.shard_map(function, in_specs=(P(), P('data')), out_specs=out)
        return jax.jit(split).lower(key, rows).compile()


def neighbors(key, rows):
    del key
    return nearest_distances(rows, 100, axis_name='data')


@pytest.mark.slow
@TOPOLOGIES
def test_kmeans_of_mafl_holds_little_beside_its_rows(tpu_topology, topology):
    """2.6 million rows a chip, 2.7 GB: numbers a row and restart, nothing by cluster."""
    n, restarts = 161_962 * 64 * 2, 10
    run = functools.partial(kmeans, k=100, restarts=restarts, axis_name='data')
    out = KMeans(P(), P('data'), P())
    program = compiled(tpu_topology(topology), run, (n, 256), out)
    used = program.memory_analysis().temp_size_in_bytes
    assert used < 4 * n / 8 * restarts * 6
    assert 'tpu_custom_call' in program.as_text()


@TOPOLOGIES
def test_neighbors_over_eight_chips_store_no_pairs(tpu_topology, topology):
    n = 80_000
    program = compiled(tpu_topology(topology), neighbors, (n, 256), P('data'))
    used = program.memory_analysis().temp_size_in_bytes
    assert used < 4 * n * n / 8 / 50


def test_neighbors_of_800_000_rows_fit_one_chip(tpu_topology):
    chip = tpu_topology('v5e:2x4')[:1]
    program = compiled(chip, neighbors, (800_000, 256), P('data'))
    assert program.memory_analysis().peak_memory_in_bytes < HBM / 4

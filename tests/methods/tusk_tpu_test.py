"""TUSK's step compiles for real TPUs, sharded over eight chips."""

import re

import jax
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from kpdiscovery import config, data, methods

pytestmark = pytest.mark.tpu_aot


@pytest.fixture(scope='module', params=['v5e:2x4', 'v6e:2x4'])
def chips(request, tpu_topology):
    return tpu_topology(request.param)


def compile_step(chips):
    settings = config.load('tusk/tetrominoes:smoke', ['method.memory=16'])
    method = methods.build(settings.method)
    (phase,) = method.phases(settings.to_dict())
    mesh = Mesh(chips, ('data',), axis_types=(AxisType.Auto,))
    everywhere = NamedSharding(mesh, PartitionSpec())
    rows = NamedSharding(mesh, PartitionSpec('data'))
    place = lambda tree, where: jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), tree
    )
    source = data.build(settings.data, split='train')
    batch = jax.eval_shape(lambda: source.batch(range(8)))
    state = jax.eval_shape(lambda b: phase.init(jax.random.key(0), b, None), batch)
    key = place(jax.eval_shape(lambda: jax.random.key(0)), everywhere)
    with jax.set_mesh(mesh):
        step = jax.jit(phase.step, donate_argnums=0, out_shardings=everywhere)
        lowered = step.lower(place(state, everywhere), place(batch, rows), {}, key)
    return lowered.compile(), state


def collectives(text):
    """(kind, number of elements) of every collective in an optimised module."""
    pattern = r'= \(?(.*?)\)? (all-reduce|all-gather|all-to-all|collective-permute)(?:-start)?\('
    for shapes, kind in re.findall(pattern, text):
        yield kind, sum(map(_count, re.findall(r'\w+\[([\d,]*)\]', shapes)))


def _count(dims):
    total = 1
    for number in filter(None, dims.split(',')):
        total *= int(number)
    return total


def test_step_compiles_reduces_gradients_and_donates(chips):
    compiled, state = compile_step(chips)
    parameters = sum(
        leaf.size
        for name in ('encoder', 'decoder')
        for leaf in jax.tree.leaves(state.variables[name])
    )
    found = list(collectives(compiled.as_text()))
    reduced = sum(size for kind, size in found if kind == 'all-reduce')
    assert parameters <= reduced < 1.2 * parameters + 1000
    others = [(kind, size) for kind, size in found if kind != 'all-reduce']
    assert all(size < 0.1 * parameters for _, size in others), others
    assert compiled.memory_analysis().alias_size_in_bytes > 0

"""TUSK's step compiles for real TPUs, sharded over eight chips."""

import functools
import re

import jax
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from kpdiscovery import config, data, methods

pytestmark = [pytest.mark.tpu_aot, pytest.mark.slow]


V5E, V6E = 'v5e:2x4', 'v6e:2x4'


@pytest.fixture(scope='module')
def compiled(tpu_topology):
    """Function from a topology to the compiled step and its state's shapes."""
    return functools.cache(lambda name: compile_step(tpu_topology(name)))


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


@pytest.mark.parametrize('topology', [V5E, V6E])
def test_step_compiles_and_donates(compiled, topology):
    step, state = compiled(topology)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    assert step.memory_analysis().alias_size_in_bytes >= 0.9 * size


def test_gradients_are_the_only_collective_of_size(compiled):
    """On v5e: jax cannot print libtpu's v6e module, whose collectives are asynchronous."""
    step, state = compiled(V5E)
    networks = [state.variables[name] for name in ('encoder', 'decoder')]
    parameters = sum(leaf.size for leaf in jax.tree.leaves(networks))
    found = list(collectives(step.as_text()))
    reduced = sum(size for kind, size in found if kind == 'all-reduce')
    assert parameters <= reduced < 1.2 * parameters + 1000
    others = [(kind, size) for kind, size in found if kind != 'all-reduce']
    assert all(size < 0.1 * parameters for _, size in others), others

"""LMPNet and the weight map compile for real TPUs over eight chips: every step."""

import functools

import jax
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from kpdiscovery import config, methods

pytestmark = pytest.mark.tpu_aot
CHIPS = 8


def abstract(tree, where):
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), tree
    )


def parts(name):
    """(name, function, arguments, which of them are split by rows) of a whole run."""
    chosen = config.load(name)
    phases = methods.build(chosen.method).phases(chosen.to_dict())
    like = lambda shape, kind: jax.ShapeDtypeStruct((CHIPS, *shape), kind)
    size = chosen.data.size
    batch = {'image': like((size, size, 3), 'uint8'), 'index': like((), 'int32'),
             'label': like((), 'int32')}  # fmt: skip
    key, state, table = jax.eval_shape(lambda: jax.random.key(0)), None, {}
    for phase in phases:
        state = jax.eval_shape(functools.partial(phase.init, before=state), key, batch)
        if phase.sweep:
            table = jax.eval_shape(functools.partial(phase.sweep.init, CHIPS), table)
            rows = dict(jax.eval_shape(phase.sweep.extract, state, batch, table))
            yield 'extract', phase.sweep.extract, (state, batch, table), (0, 1, 1)
            rows['row_valid'] = like((), 'bool')
            yield 'reduce', phase.sweep.reduce, (rows, state, key), (1, 0, 0)
        yield phase.name, phase.step, (state, batch, table, key), (0, 1, 1, 0)


def compile_parts(chips, name, wanted):
    """Text of the compiled parts of a run, by name."""
    mesh = Mesh(chips, ('data',), axis_types=(AxisType.Auto,))
    everywhere, rows = (
        NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ('data',))
    )
    found = {}
    with jax.set_mesh(mesh):
        for part, function, arguments, split in parts(name):
            if part in wanted:
                placed = [abstract(a, rows if s else everywhere)
                          for a, s in zip(arguments, split, strict=True)]  # fmt: skip
                found[part] = jax.jit(function).lower(*placed).compile().as_text()
    return found


def test_lmpnet(tpu_topology):
    found = compile_parts(
        tpu_topology('v5e:2x4'), 'lmpnet/critters:smoke', ('classify', 'mask_out')
    )
    assert len(found) == 2
    assert all('all-reduce' in text for text in found.values())


def test_the_weight_map_by_triplets(tpu_topology):
    """Method II's run has every phase there is."""
    wanted = ('classify', 'embed', 'extract', 'reduce', 'localize')
    found = compile_parts(
        tpu_topology('v5e:2x4'), 'weight_map/critters:method2,smoke', wanted
    )
    assert set(found) == set(wanted)
    steps = ('classify', 'embed', 'localize')
    assert all('all-reduce' in found[name] for name in steps)


def test_the_weight_map_by_classes(tpu_topology):
    found = compile_parts(
        tpu_topology('v5e:2x4'), 'weight_map/critters:smoke', ('localize',)
    )
    assert 'all-reduce' in found['localize']


@pytest.mark.parametrize('name, part', [
    ('lmpnet/critters:smoke', 'mask_out'),
    ('weight_map/critters:method2,smoke', 'localize'),
])  # fmt: skip
def test_the_largest_steps_for_the_other_chip(tpu_topology, name, part):
    """v6e's module cannot be printed by jax 0.10, so nothing is read from it."""
    chips = tpu_topology('v6e:2x4')
    mesh = Mesh(chips, ('data',), axis_types=(AxisType.Auto,))
    everywhere, rows = (
        NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ('data',))
    )
    with jax.set_mesh(mesh):
        for found, function, arguments, split in parts(name):
            if found == part:
                placed = [abstract(a, rows if s else everywhere)
                          for a, s in zip(arguments, split, strict=True)]  # fmt: skip
                compiled = jax.jit(function).lower(*placed).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 2**28

"""Self-training compiles for real TPUs over eight chips: every step, extract and reduce."""

import functools

import jax
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from kpdiscovery import config, methods

pytestmark = pytest.mark.tpu_aot
CHIPS, POINTS = 8, 6


def abstract(tree, where):
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), tree
    )


def shapes(function, *arguments):
    return jax.eval_shape(function, *arguments)


def batch_of(size):
    like = lambda shape, dtype: jax.ShapeDtypeStruct((CHIPS, *shape), dtype)
    return {
        'image': like((size, size, 3), 'uint8'),
        'index': like((), 'int32'),
        'detected': like((POINTS, 2), 'float32'),
        'detected_score': like((POINTS,), 'float32'),
        'detected_descriptors': like((POINTS, 8), 'float32'),
    }


def parts(variant):
    """(name, function, arguments, which of them are split by rows) of a whole run."""
    chosen = config.load(f'self_training/critters:{variant}smoke', [
        f'method.num_points={POINTS}', 'method.network.depth=1',
    ])  # fmt: skip
    phases = methods.build(chosen.method).phases(chosen.to_dict())
    batch, key = batch_of(chosen.data.size), shapes(lambda: jax.random.key(0))
    state, table = None, {}
    for phase in phases:
        state = shapes(functools.partial(phase.init, before=state), key, batch)
        if phase.sweep:
            table = shapes(functools.partial(phase.sweep.init, CHIPS), table)
            arguments = state, batch, table
            yield f'{phase.name} extract', phase.sweep.extract, arguments, (0, 1, 1)
            rows = dict(shapes(phase.sweep.extract, *arguments))
            rows['row_valid'] = jax.ShapeDtypeStruct((CHIPS,), bool)
            yield (
                f'{phase.name} reduce',
                phase.sweep.reduce,
                (rows, state, key),
                (1, 0, 0),
            )
        yield f'{phase.name} step', phase.step, (state, batch, table, key), (0, 1, 1, 0)


def compile_parts(chips, variant, wanted):
    """Temporary bytes a chip of the parts of a run whose name `wanted` accepts."""
    mesh = Mesh(chips, ('data',), axis_types=(AxisType.Auto,))
    everywhere, rows = (
        NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ('data',))
    )
    sizes = {}
    with jax.set_mesh(mesh):
        for name, function, arguments, split in parts(variant):
            if wanted(name):
                placed = [abstract(a, rows if s else everywhere)
                          for a, s in zip(arguments, split, strict=True)]  # fmt: skip
                compiled = jax.jit(function).lower(*placed).compile()
                sizes[name] = compiled.memory_analysis().temp_size_in_bytes
    return sizes


def test_chapter_six_whole(tpu_topology):
    sizes = compile_parts(tpu_topology('v5e:2x4'), '', lambda name: True)
    assert len(sizes) == 7 and max(sizes.values()) < 2**28


@pytest.mark.parametrize('variant, part', [
    ('', 'correspond step'), ('', 'correspond reduce'), ('', 'landmarks step'),
])  # fmt: skip
def test_newer_chips(tpu_topology, variant, part):
    assert compile_parts(tpu_topology('v6e:2x4'), variant, lambda name: name == part)


@pytest.mark.parametrize('variant, part', [
    ('ch5,', 'correspond step'), ('ch5,', 'correspond reduce'),
    ('ch5,', 'landmarks reduce'), ('ch4,', 'locate_2 extract'), ('ch4,', 'locate_2 step'),
    ('ch4,', 'landmarks reduce'),
])  # fmt: skip
def test_what_older_chapters_have_of_their_own(tpu_topology, variant, part):
    assert compile_parts(tpu_topology('v5e:2x4'), variant, lambda name: name == part)

"""All that a run compiles, for real TPU topologies over eight chips."""

import functools

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from kpdiscovery import methods

CHIPS = 8
shapes = jax.eval_shape


def batch_of(size, **fields):
    """Shapes of a batch of a picture a chip; `fields` are (shape of a row, dtype)."""
    rows = {'image': ((size, size, 3), 'uint8'), 'index': ((), 'int32'), **fields}
    return {
        name: jax.ShapeDtypeStruct((CHIPS, *shape), dtype)
        for name, (shape, dtype) in rows.items()
    }


def compile_parts(chips, settings, batch, wanted):
    """{name: compiled} of the parts of a run, say 'localize step', that `wanted` accepts."""
    mesh = Mesh(chips, ('data',), axis_types=(AxisType.Auto,))
    everywhere, rows = (
        NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ('data',))
    )
    found = {}
    with jax.set_mesh(mesh):
        for name, function, arguments, split in _parts(settings, batch):
            if wanted(name):
                placed = [_place(a, rows if s else everywhere)
                          for a, s in zip(arguments, split, strict=True)]  # fmt: skip
                found[name] = jax.jit(function).lower(*placed).compile()
    return found


def _parts(settings, batch):
    """(name, function, arguments, which of them are split by rows) of a whole run."""
    phases = methods.build(settings.method).phases(settings.to_dict())
    key, state, table = shapes(lambda: jax.random.key(0)), None, {}
    for phase in phases:
        state = shapes(functools.partial(phase.init, before=state), key, batch)
        if phase.sweep:
            table = shapes(functools.partial(phase.sweep.init, CHIPS), table, batch)
            asked = state, batch, table
            yield f'{phase.name} extract', phase.sweep.extract, asked, (0, 1, 1)
            rows = dict(shapes(phase.sweep.extract, *asked))
            rows['row_valid'] = jax.ShapeDtypeStruct((CHIPS,), bool)
            seen = rows, state, key
            yield f'{phase.name} reduce', phase.sweep.reduce, seen, (1, 0, 0)
        yield f'{phase.name} step', phase.step, (state, batch, table, key), (0, 1, 1, 0)


def _place(tree, where):
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), tree
    )

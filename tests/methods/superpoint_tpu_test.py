"""SuperPoint's steps compile for real TPUs, sharded over eight chips."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from kpdiscovery import config, methods

pytestmark = pytest.mark.tpu_aot


def shape_of(tree, where):
    place = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)
    return jax.tree.map(place, tree)


@pytest.mark.slow
def test_the_joint_step_compiles_and_donates(tpu_topology):
    """`describe` has all there is: two views, both heads, pairs of cells."""
    settings = config.load('superpoint/folder:smoke')
    phase = methods.build(settings.method).phases(settings.to_dict())[-1]
    mesh = Mesh(tpu_topology('v5e:2x4'), ('data',), axis_types=(AxisType.Auto,))
    everywhere = NamedSharding(mesh, PartitionSpec())
    rows = NamedSharding(mesh, PartitionSpec('data'))
    batch = {
        'image': jax.ShapeDtypeStruct((8, 32, 32, 3), jnp.uint8),
        'index': jax.ShapeDtypeStruct((8,), jnp.int32),
    }
    labels = {
        'xy': jax.ShapeDtypeStruct((16, 8, 2), jnp.float32),
        'score': jax.ShapeDtypeStruct((16, 8), jnp.float32),
    }
    state = jax.eval_shape(lambda b: phase.init(jax.random.key(0), b, None), batch)
    key = shape_of(jax.eval_shape(lambda: jax.random.key(0)), everywhere)
    with jax.set_mesh(mesh):
        step = jax.jit(phase.step, donate_argnums=0, out_shardings=everywhere)
        args = (
            shape_of(state, everywhere),
            shape_of(batch, rows),
            shape_of(labels, rows),
        )
        compiled = step.lower(*args, key).compile()
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    assert compiled.memory_analysis().alias_size_in_bytes >= 0.9 * size
    assert 'all-reduce' in compiled.as_text()

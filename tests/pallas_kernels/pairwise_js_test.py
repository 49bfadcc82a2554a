"""Divergences of blocks of pictures: every implementation, and the TPU's compiler."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from scipy.spatial.distance import jensenshannon

from pallas_kernels.pairwise_js import api, shapes


def blocks(shape, seed=0):
    """Maps, and own terms with cells that do not count, which hold NaN."""
    a, b, cells, channels = shape
    rng = np.random.default_rng(seed)
    p, q = (rng.dirichlet(np.full(channels, 0.3), (n, cells)) + 1e-30 for n in (a, b))
    own = [(x * np.log(2 * x)).sum(-1) for x in (p, q)]
    apart = jensenshannon(p[:, None], q[None], axis=-1) ** 2 if channels > 1 else 0.0
    apart = np.broadcast_to(np.nan_to_num(apart), (a, b, cells)).copy()
    if cells > 1:
        apart[0, :, 1], own[0][0, 1], p[0, 1] = 0, -np.inf, np.nan
        apart[:, -1, 0], own[1][-1, 0], q[-1, 0] = 0, -np.inf, np.nan
    return [np.float32(x) for x in (p, q, *own)], apart.sum(-1)


def js(implementation):
    return jax.jit(functools.partial(api.pairwise_js, implementation=implementation))


@pytest.mark.parametrize('implementation', ['reference', 'interpret'])
@pytest.mark.parametrize('name', shapes.ODD)
def test_matches_float64(implementation, name):
    arguments, want = blocks(shapes.ODD[name])
    np.testing.assert_allclose(js(implementation)(*arguments), want, atol=2e-6)


def test_shapes_are_checked():
    (p, q, own_p, own_q), _ = blocks((2, 3, 2, 4))
    with pytest.raises(ValueError, match='wanted'):
        api.pairwise_js(p, q, own_q, own_p)


@pytest.mark.tpu_aot
@pytest.mark.parametrize('topology', [
    'v5e:2x4', *(pytest.param(name, marks=pytest.mark.slow)
                 for name in ('v5p:2x2x2', 'v6e:2x4')),
])  # fmt: skip
@pytest.mark.parametrize('name', shapes.METHODS)
def test_compiles_for_eight_chips(tpu_topology, topology, name):
    a, b, cells, channels = shapes.METHODS[name]
    mesh = jax.sharding.Mesh(
        tpu_topology(topology)[:8], ('data',), axis_types=(AxisType.Auto,)
    )
    rows = jax.sharding.NamedSharding(mesh, P('data'))
    arguments = [
        jax.ShapeDtypeStruct((8 * shape[0], *shape[1:]), jnp.float32, sharding=rows)
        for shape in (
            (a, cells, channels),
            (b, cells, channels),
            (a, cells),
            (b, cells),
        )
    ]
    run = jax.shard_map(js('auto'), mesh=mesh, in_specs=P('data'), out_specs=P('data'))
    text = jax.jit(run).lower(*arguments).compile().as_text()
    assert text.count('custom_call_target="tpu_custom_call"') == 1

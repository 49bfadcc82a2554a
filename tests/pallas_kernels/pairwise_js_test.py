"""Divergences of blocks of pictures: every implementation, and the TPU's compiler."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from scipy.spatial.distance import jensenshannon

from kpdiscovery.compiled import tpu
from kpdiscovery.ops import divergences
from pallas_kernels.pairwise_js import api, mosaic_tpu, shapes

EVERY_WAY = pytest.mark.parametrize('implementation', ['reference', 'interpret'])
TPUS = pytest.mark.parametrize('topology', [
    'v5e:2x4', *(pytest.param(name, marks=pytest.mark.slow)
                 for name in ('v5p:2x2x2', 'v6e:2x4')),
])  # fmt: skip


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


@EVERY_WAY
@pytest.mark.parametrize('name', shapes.ODD)
def test_matches_float64(implementation, name):
    arguments, want = blocks(shapes.ODD[name])
    np.testing.assert_allclose(js(implementation)(*arguments), want, atol=2e-6)


@EVERY_WAY
def test_bfloat16_maps_are_computed_in_float32(implementation):
    (p, q, own_p, own_q), _ = blocks((3, 5, 2, 9))
    few = [jnp.asarray(x, jnp.bfloat16) for x in (p, q)]
    same = [x.astype(jnp.float32) for x in few]
    got = js(implementation)(*few, own_p, own_q)
    assert got.dtype == jnp.float32
    want = js(implementation)(*same, own_p, own_q)
    np.testing.assert_array_equal(got, want)


def test_vmap():
    """By the plain interpreter: the other does not know the axis that is added."""
    cases = [blocks((3, 5, 2, 9), seed) for seed in (1, 2)]
    stacked = [jnp.stack(x) for x in zip(*(given for given, _ in cases), strict=True)]
    want = [sums for _, sums in cases]
    kernel = functools.partial(mosaic_tpu.pairwise_js, interpret=True)
    for run in (js('reference'), kernel):
        np.testing.assert_allclose(jax.vmap(run)(*stacked), want, atol=2e-6)


@EVERY_WAY
def test_eight_devices_have_hosts_of_their_own(implementation):
    (p, q, own_p, own_q), want = blocks((24, 5, 2, 9))
    mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
    # The interpreter's own loops do not say what varies.
    split = jax.shard_map(js(implementation), mesh=mesh,
                          in_specs=(P('data'), P(), P('data'), P()), out_specs=P('data'),
                          check_vma=implementation == 'reference')  # fmt: skip
    got = jax.jit(split)(p, q, own_p, own_q)
    np.testing.assert_allclose(got, want, atol=2e-6)
    one = js(implementation)(p, q, own_p, own_q)
    np.testing.assert_array_equal(got, one)


@pytest.mark.parametrize('rows', [1, 6])
def test_searches_by_the_kernel(monkeypatch, rows):
    """More neighbours than pictures; equally near ones by number; one picture."""
    maps = blocks((4, 1, 3, 9))[0][0]
    maps = jnp.asarray(np.nan_to_num(maps, nan=1 / 9)[[1, 2, 1, 1, 3, 0]][:rows])
    want = divergences.most_similar(maps, 8, block=4)
    monkeypatch.setattr(divergences, '_sums_by_cells', divergences._sums_at_once)
    monkeypatch.setattr(divergences.api, 'pairwise_js', js('interpret'))
    got = divergences.most_similar(maps, 8, block=4)
    np.testing.assert_array_equal(got.indices, want.indices)
    np.testing.assert_allclose(got.distances, want.distances, atol=1e-6)
    if rows > 1:
        np.testing.assert_array_equal(got.indices[0, :2], [2, 3])
    assert (np.asarray(got.indices)[:, rows - 1 :] == -1).all()


def test_shapes_are_checked():
    (p, q, own_p, own_q), _ = blocks((2, 3, 2, 4))
    with pytest.raises(ValueError, match='wanted'):
        api.pairwise_js(p, q, own_q, own_p)


@pytest.mark.tpu_aot
@TPUS
@pytest.mark.parametrize('shape', [*shapes.METHODS.values(), *shapes.ODD.values()])
def test_compiles_for_eight_chips(tpu_topology, topology, shape):
    a, b, cells, channels = shape
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


@pytest.mark.tpu_aot
@pytest.mark.slow  # Ten seconds each.
@TPUS
@pytest.mark.parametrize('shape', shapes.SEARCHES.values())
def test_searches_compile_for_a_chip(tpu_topology, topology, shape):
    chip, maps = tpu_topology(topology)[0], jax.ShapeDtypeStruct(shape, jnp.float32)
    search = functools.partial(divergences.most_similar, k=15)
    program = tpu.compile_for(chip, search, maps)  # Some have no text: async updates.
    assert program.memory_analysis().temp_size_in_bytes < 500e6

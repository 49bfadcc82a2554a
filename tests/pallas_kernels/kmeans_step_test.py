"""Every implementation against float64, at odd shapes; the kernel at the methods' own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from pallas_kernels.kmeans_step import api, mosaic_tpu, reference, shapes

SMALL = {'rows': 128, 'interpret': pltpu.InterpretParams()}  # Several blocks, soon.


def both(step, assign, **options):
    return tuple(jax.jit(functools.partial(f, **options)) for f in (step, assign))


WAYS = {
    'reference': both(reference.kmeans_step, reference.assign),
    'blocks': both(reference.kmeans_step, reference.assign, block=64),
    'by_matrix': both(  # What accelerators do where there is no kernel.
        lambda x, c, w: reference._step(
            reference._Multiplied, min(99, len(x)), x, c, w
        ),
        lambda x, c, w: reference._assign(
            reference._Multiplied, min(99, len(x)), x, c[None], w
        ),
    ),
    'kernel': both(mosaic_tpu.kmeans_step, mosaic_tpu.assign, **SMALL),
}
EVERY_WAY = pytest.mark.parametrize('way', WAYS)


def case(n, d, k, restarts, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)).astype(np.float32)
    centroids = rng.normal(size=(restarts, k, d)).astype(np.float32)
    return x, centroids, rng.uniform(0.1, 2, size=n).astype(np.float32)


def oracle(x, centroids, weights):
    """Sums, weights, labels `[R, N]` and squared distances `[R, N]`."""
    x, centroids = np.where(weights[:, None] > 0, x, 0).astype(np.float64), centroids
    squares = ((x[None, :, None] - centroids[:, None]) ** 2).sum(-1)  # [R, N, K]
    labels = squares.argmin(-1)
    member = (labels[..., None] == np.arange(centroids.shape[1])) * weights[:, None]
    sums = np.einsum('rnk,nd->rkd', member, x)
    return sums, member.sum(1), labels, squares.min(-1)


@EVERY_WAY
@pytest.mark.parametrize('shape', shapes.ODD)
def test_matches_float64(way, shape):
    x, centroids, weights = case(*shape)
    step, assign = WAYS[way]
    sums, many, labels, squares = oracle(x, centroids, weights)
    got = step(x, centroids, weights)
    np.testing.assert_allclose(got.sums, sums, atol=2e-5)
    np.testing.assert_allclose(got.weights, many, rtol=1e-5, atol=1e-6)
    got = assign(x, centroids[-1], weights)
    np.testing.assert_array_equal(got.labels, labels[-1])
    np.testing.assert_allclose(got.distances, squares[-1], rtol=1e-5, atol=1e-6)


@EVERY_WAY
def test_the_first_of_equals_also_of_a_later_chunk(way):
    """Centroids 1, 2 and 140 are the same; chunks of a kernel have at most 128."""
    x, centroids, weights = case(40, 4, 150, 1)
    centroids[0] += 9
    centroids[0, [1, 2, 140]] = x.mean(0)
    step, assign = WAYS[way]
    np.testing.assert_array_equal(assign(x, centroids[0], weights).labels, 1)
    np.testing.assert_array_equal(
        np.flatnonzero(step(x, centroids, weights).weights), 1
    )


@EVERY_WAY
def test_rows_of_weight_0_may_hold_anything(way):
    x, centroids, weights = case(30, 4, 3, 2)
    x[:3], weights[:3] = [[np.nan], [np.inf], [1e38]], 0
    step, assign = WAYS[way]
    got, want = step(x, centroids, weights), oracle(x, centroids, weights)
    np.testing.assert_allclose(got.sums, want[0], atol=1e-5)
    np.testing.assert_allclose(got.weights, want[1], atol=1e-5)
    got = assign(x, centroids[0], weights)
    np.testing.assert_array_equal(got.labels, want[2][0])
    np.testing.assert_allclose(got.distances, want[3][0], rtol=1e-5)


@EVERY_WAY
def test_far_from_the_origin_distances_keep_their_digits(way):
    x, centroids, weights = case(30, 4, 3, 1)
    x += 300
    centroids += 300
    got = WAYS[way][1](x, centroids[0], weights)
    want = oracle(x, centroids.astype(np.float64), weights)
    np.testing.assert_array_equal(got.labels, want[2][0])
    np.testing.assert_allclose(got.distances, want[3][0], rtol=1e-4)


@EVERY_WAY
def test_bfloat16_rows_are_computed_in_float32(way):
    x, centroids, weights = case(40, 6, 5, 1)
    few = jnp.asarray(x, jnp.bfloat16)
    got = WAYS[way][0](few, centroids, weights)
    want = oracle(np.asarray(few, np.float64), centroids, weights)
    assert got.sums.dtype == jnp.float32
    np.testing.assert_allclose(got.sums, want[0], atol=1e-5)


@EVERY_WAY
def test_vmap(way):
    step = WAYS[way][0]
    if way == 'kernel':  # The other interpreter does not know the axis that is added.
        step = functools.partial(mosaic_tpu.kmeans_step, interpret=True)
    cases = [case(20, 4, 3, 1, seed) for seed in (1, 2)]
    got = jax.vmap(step)(*(jnp.stack(leaves) for leaves in zip(*cases, strict=True)))
    for i, one in enumerate(cases):
        np.testing.assert_allclose(got.sums[i], oracle(*one)[0], atol=1e-5)


@EVERY_WAY
def test_sums_of_eight_devices(way):
    x, centroids, weights = case(64, 4, 3, 2)
    mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
    one = lambda *arrays: jax.lax.psum(WAYS[way][0](*arrays), 'data')
    # The interpreter's own loops do not say what varies.
    split = jax.shard_map(one, mesh=mesh, in_specs=(P('data'), P(), P('data')),
                          out_specs=P(), check_vma=way != 'kernel')  # fmt: skip
    got = jax.jit(split)(x, centroids, weights)
    np.testing.assert_allclose(got.sums, oracle(x, centroids, weights)[0], atol=1e-5)


def test_all_bits_where_they_are_asked_for():
    """Far from the origin 'high' has too few of them to tell centroids that are near."""
    x, centroids, weights = case(256, 64, 2, 1)
    centroids[0, 1] = centroids[0, 0] + 1e-2 * centroids[0, 1]
    x, centroids = x + 30, centroids + 30
    want = oracle(x, centroids, weights)[2][0]

    def wrong(precision):
        assign = functools.partial(mosaic_tpu.assign, precision=precision, **SMALL)
        return (jax.jit(assign)(x, centroids[0], weights).labels != want).sum()

    assert wrong('highest') < wrong('high') / 3


def test_first_of_least_is_argmin(rng):
    scores = rng.integers(5, size=(3, 7, 40)).astype(np.float32)  # Ties: the first.
    label = reference.first_of_least(jnp.asarray(scores))
    np.testing.assert_array_equal(label, scores.argmin(-2))
    broken = reference.first_of_least(jnp.full((4, 2), jnp.nan))
    assert ((broken >= 0) & (broken < 4)).all()


def test_what_fits_no_core_is_left_to_the_compiler():
    x, centroids = jnp.zeros((8, 256)), jnp.zeros((10, 1000, 256))
    assert mosaic_tpu.block_rows(x, centroids) == 0
    step = jax.jit(api.kmeans_step).trace(x, centroids, jnp.ones(8))
    assert 'tpu_custom_call' not in step.lower(lowering_platforms=('tpu',)).as_text()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'x': jnp.zeros(3)}, r'x \[N, D\]'),
        ({'centroids': jnp.zeros((1, 2, 4))}, 'centroids'),
        ({'weights': jnp.zeros(3)}, 'weights'),
        ({'x': jnp.zeros((0, 3)), 'weights': jnp.zeros(0)}, 'none empty'),
        ({'precision': 'low'}, "'high' or 'highest', got 'low'"),
    ],
)
def test_bad_input(change, message):
    given = {'x': jnp.zeros((4, 3)), 'centroids': jnp.zeros((1, 2, 3))}
    with pytest.raises(ValueError, match=message):
        api.kmeans_step(**given | {'weights': jnp.ones(4)} | change)


@pytest.mark.tpu_aot
@pytest.mark.parametrize('topology', [
    'v5e:2x4', *(pytest.param(t, marks=pytest.mark.slow) for t in ('v5p:2x2x1', 'v6e:2x4')),
])  # fmt: skip
@pytest.mark.parametrize('shape', [
    *(pytest.param(shape, marks=pytest.mark.slow if name == 'many' else ())
      for name, shape in shapes.METHODS.items()), *shapes.ODD,
])  # fmt: skip
def test_compiles_for_a_tpu(tpu_topology, topology, shape):
    """Of a step and of an assignment, split over two chips."""
    n, d, k, restarts = shape
    mesh = Mesh(tpu_topology(topology)[:2], ('data',), axis_types=(AxisType.Auto,))
    place = lambda spec, *size: jax.ShapeDtypeStruct(
        size, jnp.float32, sharding=NamedSharding(mesh, spec)
    )

    def run(x, centroids, weights):
        totals = api.kmeans_step(x, centroids, weights)
        found = api.assign(x, centroids[0], weights)
        return jax.lax.psum(totals, 'data'), found

    split = jax.shard_map(run, mesh=mesh, in_specs=(P('data'), P(), P('data')),
                          out_specs=(P(), P('data')))  # fmt: skip
    program = jax.jit(split).lower(
        place(P('data'), 2 * n, d), place(P(), restarts, k, d), place(P('data'), 2 * n)
    ).compile()  # fmt: skip
    assert program.as_text().count('custom_call_target="tpu_custom_call"') == 2
    assert program.memory_analysis().temp_size_in_bytes < 16 * n + 16e6

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist

from kpdiscovery.ops.kmeans import (
    assign,
    assign_uniquely,
    keep_nearest_per_image,
    kmeans,
)
from kpdiscovery.ops.seeding import draw_row, plus_plus

KEY = jax.random.key(0)


def blobs(n=600, k=5, d=8, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(k, d)) * 4
    owner = rng.integers(k, size=n)
    return (centres[owner] + rng.normal(size=(n, d)) * noise).astype(np.float32), owner


def lloyd(x, centroids, iterations, weights=None):
    """The oracle, in float64 and with all distances at once."""
    x, c = x.astype(np.float64), centroids.astype(np.float64)
    w = np.ones(len(x)) if weights is None else weights
    for _ in range(iterations):
        label = cdist(x, c).argmin(1)
        c = np.stack([np.average(x[label == m], axis=0, weights=w[label == m])
                      for m in range(len(c))])  # fmt: skip
    squares = cdist(x, c, 'sqeuclidean')
    return c, squares.argmin(1), (w * squares.min(1)).sum()


def test_two_steps_by_hand():
    """Rows 0, 1, 5, 6 and 10 from the centroids 0 and 1: {0}, {1, 5, 6, 10}, then
    {0, 1}, {5, 6, 10}."""
    x = jnp.array([[0.0], [1], [5], [6], [10]])
    got = kmeans(KEY, x, 2, init=jnp.array([[0.0], [1]]), iterations=2)
    np.testing.assert_allclose(got.centroids, [[0.5], [7]], rtol=1e-6)
    np.testing.assert_array_equal(got.labels, [0, 0, 1, 1, 1])
    np.testing.assert_allclose(got.inertia, 0.5 + 4 + 1 + 9, rtol=1e-6)


@pytest.mark.parametrize('block', [64, 1000, 7])
def test_matches_float64(block):
    x, _ = blobs()
    weights = np.random.default_rng(1).uniform(0.1, 2, len(x)).astype(np.float32)
    start = x[:9]
    got = kmeans(KEY, x, 9, weights=weights, init=start, iterations=12, block=block)
    centroids, labels, inertia = lloyd(x, start, 12, weights)
    np.testing.assert_allclose(got.centroids, centroids, atol=1e-4)
    np.testing.assert_array_equal(got.labels, labels)
    np.testing.assert_allclose(got.inertia, inertia, rtol=1e-5)


def test_as_good_as_scipy():
    x, owner = blobs(k=12)
    got = kmeans(KEY, x, 12, iterations=30, restarts=8)
    centroids, labels = kmeans2(x.astype(np.float64), 12, 30, minit='++', rng=3)
    theirs = ((x - centroids[labels]) ** 2).sum()
    assert float(got.inertia) <= 1.001 * theirs
    pairs = {(int(a), int(b)) for a, b in zip(got.labels, owner, strict=True)}
    assert len(pairs) == 12  # Clusters are the blobs.


def test_restarts_keep_the_best_and_a_key_decides():
    x, _ = blobs(n=200, k=10)
    one = [kmeans(jax.random.key(s), x, 10, iterations=5) for s in range(4)]
    again = kmeans(jax.random.key(2), x, 10, iterations=5)
    np.testing.assert_array_equal(again.centroids, one[2].centroids)
    many = kmeans(jax.random.key(7), x, 10, iterations=5, restarts=16)
    assert float(many.inertia) <= min(float(run.inertia) for run in one) * 1.0001


def test_plus_plus_spreads_its_starts():
    """Each of five tight blobs gets a start; by weight alone that is rare (5!/5^5)."""
    x, owner = blobs(n=100, noise=0.01)
    start = jax.jit(lambda key: kmeans(key, x, 5, iterations=0).centroids)
    for seed in range(10):
        assert len(set(owner[cdist(start(jax.random.key(seed)), x).argmin(1)])) == 5


def test_rows_without_weight_and_broken_rows_do_not_count():
    x, _ = blobs()
    bad = np.concatenate([x, np.full((3, 8), np.nan), np.full((5, 8), 1e3)])
    weights = np.r_[np.ones(len(x) + 3), np.zeros(5)].astype(np.float32)
    got = kmeans(KEY, bad, 5, weights=weights, init=x[:5], iterations=8, block=50)
    want = kmeans(KEY, x, 5, init=x[:5], iterations=8)
    np.testing.assert_allclose(got.centroids, want.centroids, atol=1e-5)
    np.testing.assert_array_equal(got.labels[len(x) :], -1)
    starts = kmeans(KEY, bad, 50, weights=weights, iterations=0).centroids
    assert np.abs(starts).max() < 100


def test_empty_clusters_are_filled():
    x, _ = blobs(k=3)
    far = np.full((2, 8), 50, np.float32)
    start = np.concatenate([x[:2], far])
    got = kmeans(KEY, x, 4, init=start, iterations=20)
    assert len(np.unique(got.labels)) == 4
    assert np.abs(got.centroids).max() < 20


def test_degenerate_data_stays_finite():
    same = jnp.ones((6, 3))
    got = kmeans(KEY, same, 4, iterations=5, restarts=2)
    assert np.isfinite(got.centroids).all()
    assert float(got.inertia) < 1e-3
    few = kmeans(KEY, jnp.arange(2.0)[:, None], 5, iterations=5)
    assert np.isfinite(few.centroids).all() and float(few.inertia) < 1e-5
    none = kmeans(KEY, jnp.full((4, 2), jnp.nan), 2, iterations=3)
    np.testing.assert_array_equal(none.labels, -1)
    assert np.isfinite(none.centroids).all() and float(none.inertia) == 0


def test_spherical_centroids_have_unit_length():
    x, owner = blobs()
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    got = kmeans(KEY, x, 5, iterations=10, restarts=4, spherical=True)
    np.testing.assert_allclose(np.linalg.norm(got.centroids, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(got.labels, (x @ got.centroids.T).argmax(1))
    assert len({(int(a), int(b)) for a, b in zip(got.labels, owner, strict=True)}) == 5


@pytest.mark.parametrize('warm', [True, False])
def test_eight_devices_give_the_result_of_one(warm):
    x, _ = blobs(n=640)
    x[-3:] = np.nan
    options = {'iterations': 10, 'block': 32, 'init': x[:7] if warm else None}
    one = kmeans(KEY, x, 7, **options)
    mesh = jax.make_mesh((8,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
    run = functools.partial(kmeans, k=7, axis_name='data', **options)
    out = type(one)(P(), P('data'), P())
    with jax.set_mesh(mesh):
        split = jax.shard_map(run, in_specs=(P(), P('data')), out_specs=out)
        eight = jax.jit(split)(KEY, x)
    np.testing.assert_allclose(eight.centroids, one.centroids, atol=1e-5)
    np.testing.assert_array_equal(eight.labels, one.labels)
    np.testing.assert_allclose(eight.inertia, one.inertia, rtol=1e-5)


def test_distances_are_never_all_stored():
    n, k = 20_000, 100
    x = jax.ShapeDtypeStruct((n, 16), jnp.float32)
    run = jax.jit(functools.partial(kmeans, k=k, iterations=3, block=512))
    used = run.lower(KEY, x).compile().memory_analysis().temp_size_in_bytes
    assert used < 4 * n * k / 4  # Of 8 MB for the distances alone.


def test_inertia_far_from_the_origin_keeps_its_digits():
    x, owner = blobs()
    x += 500
    start = x[[np.argmax(owner == m) for m in range(5)]]
    got = kmeans(KEY, x, 5, init=start, iterations=3)
    squares = cdist(x, got.centroids, 'sqeuclidean').min(1)
    np.testing.assert_allclose(got.inertia, squares.sum(), rtol=1e-4)


@pytest.mark.parametrize('n', [1, 100, 5000])
def test_a_draw_falls_on_rows_by_their_mass(n):
    """At the middle of each row's share of the mass; rows without mass have none."""
    rng = np.random.default_rng(n)
    weights = rng.integers(4, size=n).astype(np.float32)
    weights[-1] = 2
    closest = np.where(weights > 0, rng.integers(3, size=n) + 1, np.nan)
    mass = np.where(weights > 0, weights * closest, 0)
    few = np.flatnonzero(mass)[:: max(1, n // 50)]
    middle = (np.cumsum(mass)[few] - mass[few] / 2) / mass.sum()
    draw = functools.partial(draw_row, jnp.arange(n)[:, None], weights, closest)
    drawn = jax.jit(jax.vmap(draw))(middle.astype(np.float32))
    np.testing.assert_array_equal(drawn[:, 0], few)


def test_seeding_holds_a_number_a_row_and_restart():
    """No copy of the rows, and no running sums over all of them."""
    n, restarts = 20_000, 3
    x = jax.ShapeDtypeStruct((n, 256), jnp.float32)
    run = functools.partial(plus_plus, k=9, restarts=restarts)
    program = jax.jit(run).lower(KEY, x, x.update(shape=(n,))).compile()
    assert program.memory_analysis().temp_size_in_bytes < 4 * n * 8 * restarts


def test_assign():
    x, _ = blobs()
    got = assign(x, x[:4], block=100)
    squares = cdist(x, x[:4], 'sqeuclidean')
    np.testing.assert_array_equal(got.labels, squares.argmin(1))
    np.testing.assert_allclose(got.distances, squares.min(1), atol=1e-3)


def test_the_nearest_of_a_cluster_stays():
    labels = jnp.array([[0, 1, 0, -1, 1], [2, 2, 2, -1, -1]])
    distances = jnp.array([[0.3, 0.1, 0.2, 0.0, 0.1], [5.0, 4, 4, 0, 0]])
    got = keep_nearest_per_image(labels, distances, k=3)
    np.testing.assert_array_equal(got[0], [False, True, True, False, False])
    np.testing.assert_array_equal(got[1], [False, True, False, False, False])
    none = keep_nearest_per_image(jnp.full(4, -1), jnp.zeros(4), k=2)
    assert not none.any()


def test_unique_clusters_are_of_least_total_distance():
    """Section 7 of the reference: each row's nearest would be column 0."""
    distances = jnp.array([[[0.1, 0.2, 0.9], [0.15, 0.6, 0.8]]])
    got = assign_uniquely(distances, jnp.ones((1, 2), bool))
    np.testing.assert_array_equal(got, [[1, 0]])
    got = assign_uniquely(distances, jnp.array([[False, True]]))
    np.testing.assert_array_equal(got, [[-1, 0]])
    many = assign_uniquely(jnp.array([[3.0], [1], [2]]), jnp.ones(3, bool))
    np.testing.assert_array_equal(many, [-1, 0, -1])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'x': jnp.zeros((0, 3))}, 'at least one row'),
        ({'x': jnp.zeros(3)}, r'\[N, D\]'),
        ({'k': 0}, 'k and restarts'),
        ({'restarts': 0}, 'k and restarts'),
        ({'weights': jnp.ones(3)}, 'weights must be'),
        ({'init': jnp.ones((2, 5))}, 'init must be'),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        kmeans(**{'key': KEY, 'x': jnp.zeros((4, 3)), 'k': 2} | change)

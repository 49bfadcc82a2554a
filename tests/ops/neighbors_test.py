import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from scipy.spatial import cKDTree

from kpdiscovery.ops.neighbors import nearest_distances, outlier_scores


def points(n=300, d=5, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def oracle(x, k):
    return cKDTree(x.astype(np.float64)).query(x, k + 1)[0][:, 1:] ** 2


@pytest.mark.parametrize('block', [300, 64, 1000])
def test_matches_a_tree(block):
    x = points()
    got = nearest_distances(x, 9, block=block)
    np.testing.assert_allclose(got, oracle(x, 9), atol=1e-4)


def test_groups_hold_the_nearest():
    """Of more rows than are looked at one by one, no multiple of a group; some equal."""
    x = points(403)
    x[100:200] = x[7]
    got = nearest_distances(x, 9)
    np.testing.assert_allclose(got, oracle(x, 9), atol=1e-4)


def test_cpus_choose_in_pieces():
    """More than the eight operations that XLA runs one after another."""
    search = jax.jit(functools.partial(nearest_distances, k=9)).trace(points(403))
    pieces = lambda platform: (
        search.lower(lowering_platforms=(platform,)).as_text().count('chlo.top_k')
    )
    assert pieces('cpu') > 8 > pieces('cuda')


def test_by_hand():
    """0, 1, 3 on a line; equal rows are neighbours at distance 0, a row of itself not."""
    x = jnp.array([[0.0], [1], [3], [3]])
    got = nearest_distances(x, 3)
    want = [[1, 9, 9], [1, 4, 4], [0, 4, 9], [0, 4, 9]]
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_rows_that_do_not_count():
    x = points(40)
    broken = np.concatenate([x, points(5, seed=1), np.full((2, 5), np.nan)])
    valid = np.arange(len(broken)) < 40
    valid[-1] = True
    got = nearest_distances(broken, 6, valid=valid, block=16)
    np.testing.assert_allclose(got[:40], oracle(x, 6), atol=1e-4)
    assert np.isinf(got[40:]).all()


def test_fewer_rows_than_neighbours():
    got = nearest_distances(jnp.array([[0.0], [2.0]]), 4)
    np.testing.assert_allclose(got, [[4] + [np.inf] * 3] * 2)
    np.testing.assert_allclose(outlier_scores(got), [4, 4])
    assert np.isinf(outlier_scores(nearest_distances(jnp.zeros((1, 2)), 3))).all()


def test_scores_are_medians():
    x = points(50)
    for k in (4, 5):
        got = outlier_scores(nearest_distances(x, k))
        np.testing.assert_allclose(got, np.median(oracle(x, k), axis=1), atol=1e-4)


def test_eight_devices_give_the_result_of_one():
    x = points(160)
    x[7] = np.nan
    one = nearest_distances(x, 5)
    mesh = jax.make_mesh((8,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
    run = functools.partial(nearest_distances, k=5, block=8, axis_name='data')
    with jax.set_mesh(mesh):
        eight = jax.jit(jax.shard_map(run, in_specs=P('data'), out_specs=P('data')))(x)
    np.testing.assert_allclose(eight, one, atol=1e-5)


def test_memory_stays_below_all_pairs():
    n = 20_000
    x = jax.ShapeDtypeStruct((n, 8), jnp.float32)
    run = jax.jit(functools.partial(nearest_distances, k=10, block=512))
    used = run.lower(x).compile().memory_analysis().temp_size_in_bytes
    assert used < 4 * n * n / 50


def test_bad_input():
    with pytest.raises(ValueError, match='wanted x'):
        nearest_distances(jnp.zeros((0, 3)), 2)
    with pytest.raises(ValueError, match='k >= 1'):
        nearest_distances(jnp.zeros((3, 3)), 0)
    with pytest.raises(ValueError, match='recall must be'):
        nearest_distances(jnp.zeros((3, 3)), 1, recall=0)

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from scipy.spatial.distance import jensenshannon

from kpdiscovery.ops import divergences
from kpdiscovery.ops.divergences import most_similar

STATIC = ('k', 'exclude_self', 'pool', 'block', 'axis_name')
search = jax.jit(most_similar, static_argnames=STATIC)


def softmax_maps(n=13, cells=6, channels=9, seed=0, sharpness=3.0):
    z = sharpness * np.random.default_rng(seed).normal(size=(n, cells, channels))
    e = np.exp(z)
    return (e / e.sum(-1, keepdims=True)).astype(np.float32)


def oracle(maps, cells=None):
    """`[N, N]` mean divergences in float64, inf where no cell counts in both."""
    p = maps.astype(np.float64)
    cells = np.ones(p.shape[:2], bool) if cells is None else cells
    apart = jensenshannon(p[:, None], p[None], axis=-1) ** 2  # [N, N, P]
    both = cells[:, None] & cells[None]
    count = both.sum(-1)
    return np.where(count, (apart * both).sum(-1) / np.maximum(count, 1), np.inf)


def check(got, apart, k, valid=None, exclude_self=True):
    """Distances are the k least, and indices are where they are."""
    n = len(apart)
    apart = np.where(np.eye(n, dtype=bool) & exclude_self, np.inf, apart)
    if valid is not None:
        apart = np.where(valid[:, None] & valid[None], apart, np.inf)
    least = np.pad(np.sort(apart, 1), ((0, 0), (0, k)), constant_values=np.inf)[:, :k]
    np.testing.assert_allclose(got.distances, least, atol=1e-5)
    indices = np.asarray(got.indices)
    np.testing.assert_array_equal(indices < 0, np.isinf(least))
    there = np.take_along_axis(apart, np.maximum(indices, 0), axis=1)
    finite = np.isfinite(least)
    np.testing.assert_allclose(there[finite], least[finite], atol=1e-5)
    for row, real in zip(indices, finite, strict=True):
        assert len(set(row[real])) == real.sum()


def test_vectors_of_the_reference():
    p = jnp.array([[0.5, 0.5], [0.9, 0.1], [1.0, 0.0], [0.3, 0.7]])
    q = jnp.array([[1.0, 0.0], [0.1, 0.9], [0.0, 1.0], [0.3, 0.7]])
    want = [0.2157616, 0.3680642, 0.6931472, 0]
    pairs = jnp.stack([p, q], axis=1)[:, :, None]  # Two pictures of one cell.
    got = jax.vmap(lambda pair: search(pair, k=1).distances[:, 0])(pairs)
    np.testing.assert_allclose(got, np.stack([want, want], axis=1), atol=2e-7)


@pytest.mark.parametrize('block', [4, 13, 5, 128])
def test_matches_float64(block):
    """Blocks that divide the pictures and that do not; all tiles are of one size."""
    maps = softmax_maps()
    got = search(maps, 4, block=block)
    check(got, oracle(maps), 4)
    np.testing.assert_array_equal(got.indices, search(maps, 4, block=13).indices)


def test_many_channels_and_sharp_maps():
    """As the method has them: 513 channels, near one-hot, with values that are 0."""
    maps = softmax_maps(n=10, cells=20, channels=513, sharpness=12.0)
    maps[0, :, :500] = 0
    maps[0] /= maps[0].sum(-1, keepdims=True)
    maps[1] = np.eye(513)[:20]
    check(search(maps, 9, block=4), oracle(maps), 9)


def test_bfloat16_maps_are_computed_in_float32():
    maps = jnp.asarray(softmax_maps(), jnp.bfloat16)
    near = np.asarray(maps, np.float64)
    terms = lambda p: p * np.log(np.maximum(p, 1e-300))
    a, b = near[:, None], near[None]
    apart = (terms(a) + terms(b) + (a + b) * np.log(2) - terms(a + b)).sum(-1) / 2
    check(search(maps, 3, block=8), apart.mean(-1), 3)


def test_equal_pictures_are_neighbours_in_order():
    """Duplicates are at distance 0; of equally near ones the first; oneself, or not."""
    maps = softmax_maps(n=4)[np.array([0, 1, 0, 0, 2, 3])]
    got = search(maps, 3, block=2)
    np.testing.assert_array_equal(got.indices[0, :2], [2, 3])
    np.testing.assert_array_equal(got.indices[3, :2], [0, 2])
    np.testing.assert_allclose(got.distances[0, :2], 0, atol=1e-6)
    same = search(maps, 3, block=2, exclude_self=False)
    check(same, oracle(maps), 3, exclude_self=False)
    np.testing.assert_array_equal(same.indices[4:, 0], [4, 5])


def test_pictures_and_cells_that_do_not_count():
    maps, rng = softmax_maps(), np.random.default_rng(1)
    valid = rng.random(13) < 0.7
    cells = rng.random((13, 6)) < 0.6
    cells[2] = [True] * 3 + [False] * 3
    cells[5] = ~cells[2]  # Nothing in common.
    broken = maps.copy()
    broken[~cells] = np.nan  # Such cells may hold anything.
    got = search(broken, 5, valid=valid, cell_valid=cells, block=4)
    check(got, oracle(maps, cells), 5, valid)
    maps[7, 0, 0] = np.nan
    got = search(maps, 12, block=4)
    check(got, oracle(np.nan_to_num(maps)), 12, np.arange(13) != 7)


def test_fewer_pictures_than_neighbours():
    maps = softmax_maps(n=3)
    got = search(maps, 5)
    check(got, oracle(maps), 5)
    np.testing.assert_array_equal(got.indices[:, 2:], -1)


@pytest.mark.parametrize('devices', [1, 2, 3, 8])
def test_devices_give_the_result_of_one(devices):
    """Even numbers meet their opposite twice, odd ones have none."""
    maps = softmax_maps(n=48)
    maps[7, 0, 0] = np.nan
    maps[20] = maps[9]
    valid = np.arange(48) != 30
    one = search(maps, 6, valid=valid, block=16)
    check(one, oracle(np.nan_to_num(maps)), 6, valid & (np.arange(48) != 7))
    mesh = jax.sharding.Mesh(jax.devices()[:devices], ('data',))
    run = lambda maps, valid: most_similar(
        maps, 6, valid=valid, block=4, axis_name='data'
    )
    with jax.set_mesh(mesh):
        split = jax.shard_map(run, in_specs=(P('data'), P('data')), out_specs=P('data'))
        many = jax.jit(split)(maps, valid)
    np.testing.assert_allclose(many.distances, one.distances, atol=1e-6)
    np.testing.assert_array_equal(many.indices, one.indices)


@pytest.mark.parametrize('devices', [1, 4])
@pytest.mark.parametrize('pool', [5, 12, 16])
def test_neighbours_from_a_pool(pool, devices):
    """All pictures get neighbours, among every few of them only."""
    maps, valid = softmax_maps(n=48), np.arange(48) != 12
    share = -(-pool // devices)
    local = np.arange(share) * (48 // devices) // share
    chosen = (np.arange(devices)[:, None] * (48 // devices) + local).ravel()
    mesh = jax.sharding.Mesh(jax.devices()[:devices], ('data',))
    run = lambda maps, valid: most_similar(
        maps, 6, valid=valid, pool=pool, block=4, axis_name='data'
    )
    with jax.set_mesh(mesh):
        split = jax.shard_map(run, in_specs=(P('data'), P('data')), out_specs=P('data'))
        got = jax.jit(split)(maps, valid)
    apart = np.where(np.isin(np.arange(48), chosen)[None], oracle(maps), np.inf)
    check(got, apart, 6, valid)
    if devices == 1:
        alone = search(maps, 6, valid=valid, pool=pool, block=5)
        np.testing.assert_array_equal(alone.indices, got.indices)
        everyone = search(maps, 6, valid=valid, pool=48)
        np.testing.assert_array_equal(everyone.indices, search(maps, 6, valid=valid)[1])


def test_maps_of_a_pool_are_made_as_they_are_needed():
    """17 of 48 pictures at a time, the last ones again with some before."""
    maps, valid = softmax_maps(n=48), np.arange(48) != 12
    cells = np.random.default_rng(1).random((48, 6)) < 0.8
    sizes = []

    def describe(rows, cells):
        sizes.append((len(rows), len(cells)))
        return rows / 2

    got = divergences.similar_in_pool(
        describe, jnp.asarray(2 * maps), 6, pool=9, valid=jnp.asarray(valid),
        cell_valid=jnp.asarray(cells), chunk=17, block=4,
    )  # fmt: skip
    want = most_similar(maps, 6, valid=valid, cell_valid=cells, pool=9, block=4)
    np.testing.assert_allclose(got.distances, want.distances, atol=1e-6)
    np.testing.assert_array_equal(got.indices, want.indices)
    assert set(sizes) == {(9, 9), (17, 17)}


def test_a_tpu_finds_the_same(monkeypatch):
    maps = softmax_maps()
    cells = np.random.default_rng(1).random((13, 6)) < 0.6
    maps[~cells] = np.nan
    want = most_similar(maps, 5, cell_valid=cells, block=4)
    monkeypatch.setattr(divergences, '_sums_by_cells', divergences._sums_at_once)
    got = most_similar(maps, 5, cell_valid=cells, block=4)
    np.testing.assert_allclose(got.distances, want.distances, atol=1e-6)
    np.testing.assert_array_equal(got.indices, want.indices)


def test_memory_stays_far_below_the_maps_and_all_pairs():
    n, cells, channels = 512, 49, 65
    maps = jax.ShapeDtypeStruct((n, cells, channels), jnp.float32)
    run = jax.jit(functools.partial(most_similar, k=15, block=32))
    used = run.lower(maps).compile().memory_analysis().temp_size_in_bytes
    assert used < 4 * n * n  # One number a pair; terms of all pairs: 3185 times that.
    assert used < 4 * n * cells * channels / 10  # A tenth of the maps.


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'maps': jnp.zeros((4, 3))}, r'\[N, P, C\]'),
        ({'maps': jnp.zeros((0, 3, 2))}, 'with pictures'),
        ({'k': 0}, 'k >= 1'),
        ({'block': 0}, 'block >= 1'),
        ({'pool': -1}, 'pool must be >= 0'),
        ({'valid': jnp.ones(3, bool)}, 'valid must be'),
        ({'cell_valid': jnp.ones((4, 2), bool)}, 'cell_valid must be'),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        most_similar(**{'maps': jnp.ones((4, 3, 2)), 'k': 2} | change)

"""The assembled landmark network, and points read from its maps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.methods.self_training import landmarks, network

SMALL = network.Size(features=16, depth=2, groups=2)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def nets(size, heads, pixels=256):
    image = jax.ShapeDtypeStruct((1, pixels, pixels, 3), jnp.float32)
    make = lambda key, images: network.init(key, images, size, heads)
    return jax.eval_shape(make, jax.random.key(0), image)


def test_parameters_of_the_reference():
    stage_one = nets(network.Size(), {'detector': 1, 'descriptor': 256})
    assert count(stage_one) == 6_770_945
    for k, want in (
        (10, 6_234_762),
        (30, 6_239_902),
        (100, 6_257_892),
        (250, 6_296_442),
    ):
        fresh = jax.eval_shape(
            lambda key, k=k: network.replace_last(
                key,
                network.Size(),
                jax.tree.map(jnp.zeros_like, stage_one['descriptor']),
                k,
            ),
            jax.random.key(0),
        )
        assert count(stage_one['trunk']) + count(fresh) == want


def start(images, heads):
    """Compiled: by single operations it takes seconds."""
    return jax.jit(lambda key: network.init(key, images, SMALL, heads))(
        jax.random.key(0)
    )


def test_surgery_keeps_all_but_the_last_layer():
    params = start(jnp.zeros((1, 32, 32, 3)), {'descriptor': 16})
    old = params['descriptor']
    new = network.replace_last(jax.random.key(1), SMALL, old, 5)
    assert new['last']['conv']['kernel'].shape == (1, 1, 16, 5)
    for name in set(old) - {'last'}:
        jax.tree.map(np.testing.assert_array_equal, old[name], new[name])


def test_maps_are_a_quarter_of_the_picture(rng):
    images = jnp.asarray(rng.uniform(size=(2, 32, 48, 3)), jnp.float32)
    params = start(images, {'detector': 1, 'descriptor': 16})
    maps = jax.jit(network.stage_one, static_argnums=0)(SMALL, params, images)
    assert maps.scores.shape == (2, 8, 12) and maps.descriptors.shape == (2, 8, 12, 16)
    assert (maps.scores > 0).all() and (maps.scores < 1).all()


def scored(points, shape=(16, 16)):
    scores = np.zeros((1, *shape), np.float32)
    for x, y, value in points:
        scores[0, y, x] = value
    return scores


@pytest.mark.parametrize('half, want', [(1, [0, 2, 4]), (2, [0])])
def test_suppression_of_the_reference(half, want):
    points = [(10, 10, 0.9), (11, 10, 0.8), (12, 10, 0.7), (13, 10, 0.6), (10, 12, 0.5),
              (11, 11, 0.4)]  # fmt: skip
    found = network.detect(scored(points, (64, 64)), 6, threshold=0.1, half=half)
    scores = np.asarray(found.score[0])[np.asarray(found.valid[0])]
    np.testing.assert_allclose(scores, [points[i][2] for i in want])


@pytest.mark.parametrize('width, apart', [(64, 4), (32, 2), (16, 2)])
def test_distances_are_shares_of_the_map(width, apart):
    """Boxes of 2 of 64 cells: fewer cells do not make faces farther apart."""
    points = [(2 + i, 3, 0.9 - 0.1 * i) for i in range(6)]
    found = network.detect(scored(points, (8, width)), 6, threshold=0.1, half=2)
    x = np.sort(np.asarray(found.xy[0, :, 0])[np.asarray(found.valid[0])].round())
    np.testing.assert_array_equal(x, np.arange(2, 8, apart))


def test_threshold_and_padding():
    found = network.detect(
        scored([(3, 4, 0.9), (9, 9, 0.15)]), 3, threshold=0.15, half=1
    )
    np.testing.assert_array_equal(found.valid, [[True, False, False]])
    np.testing.assert_allclose(found.xy[0, 0], [3, 4])
    few = network.detect(scored([(1, 1, 0.9)], (2, 2)), 9, threshold=0.1, half=1)
    assert few.xy.shape == (1, 9, 2) and few.valid.sum() == 1


def test_nothing_found_in_a_flat_map():
    found = network.detect(np.zeros((2, 8, 8), np.float32), 4, threshold=0.1, half=2)
    assert not found.valid.any() and jnp.isfinite(found.xy).all()


def test_points_move_a_quarter_towards_the_higher_neighbour():
    scores = scored([(5, 5, 1.0), (6, 5, 0.5), (5, 4, 0.2), (0, 9, 0.7)])
    cells = jnp.array([[[5.0, 5], [0, 9], [12, 12]]])
    got = network.toward_neighbor(scores, cells)
    np.testing.assert_allclose(got, [[[5.25, 4.75], [0, 9], [12, 12]]])


def test_points_move_towards_neighbours_below_the_threshold_too():
    scores = scored([(5, 5, 0.83), (4, 5, 0.2), (6, 5, 0.58)])
    found = network.detect(scores, 1, threshold=0.6, half=1)
    np.testing.assert_allclose(found.xy, [[[5.25, 5]]])


def test_peak_of_every_channel(rng):
    maps = rng.uniform(0, 0.1, (2, 6, 7, 3)).astype(np.float32)
    maps[0, 4, 2, 1], maps[1, 0, 6, 2] = 0.9, 0.8
    xy, value = jax.jit(network.peaks)(maps)
    assert xy.shape == (2, 3, 2)
    np.testing.assert_allclose(value, maps.max((1, 2)))
    y, x = np.mgrid[:6, :7]
    for i, k, (px, py) in ((0, 1, (2, 4)), (1, 2, (6, 0))):
        room = [min(2, p, last - p) for p, last in ((px, 6), (py, 5))]
        near = (abs(x - px) <= room[0]) & (abs(y - py) <= room[1])
        mass = maps[i, ..., k] * near
        want = [(x * mass).sum() / mass.sum(), (y * mass).sum() / mass.sum()]
        np.testing.assert_allclose(xy[i, k], want, rtol=1e-5)


def test_a_perfect_map_is_read_where_it_peaks_at_the_border_too():
    want = [[x, y] for x in (0, 1, 5, 14, 15) for y in (0, 1, 7, 15)]
    xy = jnp.array([want], jnp.float32)
    target = landmarks.landmark_targets(xy, jnp.ones((1, len(want)), bool), (16, 16))
    read, _ = network.peaks(target)
    np.testing.assert_allclose(read[0], want, atol=0.05)


def test_mirrored_maps_mirror_the_points(rng):
    scores = rng.uniform(size=(1, 9, 11)).astype(np.float32)
    one = network.detect(scores, 5, threshold=0.1, half=2)
    two = network.detect(scores[:, :, ::-1], 5, threshold=0.1, half=2)
    np.testing.assert_allclose(10 - one.xy[..., 0], two.xy[..., 0], atol=1e-6)
    np.testing.assert_allclose(one.xy[..., 1], two.xy[..., 1], atol=1e-6)

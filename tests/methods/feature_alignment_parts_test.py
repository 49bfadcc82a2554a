"""Part maps, the dictionary and the alignment of feature_alignment, by hand and numpy."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from kpdiscovery.methods.feature_alignment import (
    FeatureAlignment,
    Features,
    aligning,
    parts,
)
from kpdiscovery.ops import parallel

METHOD = FeatureAlignment(
    features=Features(backbone='given'), num_keypoints=4, border=0.17, per_image=6,
    iterations=20, hypotheses=50, matches=32,
)  # fmt: skip
GROUND = 4  # Of five channels.
align = jax.jit(aligning.align, static_argnums=0)
likeness = jax.jit(aligning._likeness)
agree = jax.jit(aligning.agree, static_argnums=0)
move = jax.jit(aligning.move)
learn_dictionary = jax.jit(
    functools.partial(parts.learn_dictionary, axis_name=None), static_argnums=0
)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


# Part maps.


def test_part_maps_are_a_softmax_of_cosines(rng):
    directions, features = rng.normal(size=(5, 8)), unit(rng.normal(size=(2, 3, 8)))
    got = parts.part_maps(
        jnp.asarray(directions), jnp.asarray(features), jnp.ones((2, 3), bool), kappa=30
    )
    power = np.exp(30 * features @ unit(directions).T)
    np.testing.assert_allclose(got, power / power.sum(-1, keepdims=True), rtol=2e-4)


def test_a_cell_that_does_not_count_is_background(rng):
    features = jnp.asarray(unit(rng.normal(size=(2, 8))))
    valid = jnp.array([True, False])
    got = parts.part_maps(
        jnp.asarray(rng.normal(size=(5, 8))), features, valid, kappa=3
    )
    assert got[1].tolist() == [0, 0, 0, 0, 1]
    assert got[0].max() < 1


def test_features_of_zeros_belong_to_every_channel_alike(rng):
    directions = jnp.asarray(rng.normal(size=(5, 8)))
    got = parts.part_maps(directions, jnp.zeros((1, 8)), jnp.ones(1, bool), kappa=30)
    np.testing.assert_allclose(got, np.full((1, 5), 0.2), rtol=1e-6)


# The dictionary.


def test_cells_at_the_border_are_dropped():
    valid = jnp.ones((1, 4, 6), bool).at[0, 2, 2].set(False)
    kept = np.asarray(parts.inner(valid, 0.25)[0])
    assert kept[1:3, 1:5].sum() == kept.sum() == 7
    assert not kept[2, 2]
    with pytest.raises(ValueError, match=r'border=3 of the sides.*maps of 4 x 6'):
        parts.inner(valid, 3)


@pytest.mark.parametrize(('side', 'kept'), [(7, 7), (14, 12), (16, 14), (28, 24)])
def test_the_border_goes_with_the_size_of_the_map(side, kept):
    """Three of 14 cells, whatever the size, lost a third of critters' keypoints."""
    valid = jnp.ones((1, side, side), bool)
    assert parts.inner(valid, FeatureAlignment().border).sum() == kept**2


def test_a_picture_gives_different_cells_or_all_it_has(rng):
    features = jnp.arange(2 * 9, dtype=jnp.float32).reshape(2, 3, 3, 1)
    allowed = jnp.ones((2, 3, 3), bool).at[1].set(False).at[1, 0, :2].set(True)
    rows, counts = parts.sample_cells(
        jax.random.key(0), features, allowed, 4, axis_name=None
    )
    rows, counts = rows.reshape(2, 4), counts.reshape(2, 4)
    assert counts.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert len(set(rows[0].tolist())) == 4
    assert sorted(rows[1, :2].tolist()) == [9, 10]


def table_of(rng, pictures=16, kinds=4):
    """Features near one of four directions, and the directions."""
    centres = unit(rng.normal(size=(kinds, 8)))
    kind = rng.integers(0, kinds, (pictures, 6, 6))
    features = unit(centres[kind] + 0.05 * rng.normal(size=(pictures, 6, 6, 8)))
    table = {
        'features': features.astype(np.float32),
        'valid': np.ones((pictures, 6, 6), bool),
        'row_valid': np.ones(pictures, bool),
    }
    return table, centres


def test_the_dictionary_finds_what_features_are_made_of(rng):
    table, centres = table_of(rng)
    directions, scalars = learn_dictionary(METHOD, table, jax.random.key(0))
    cosines = np.asarray(directions[:GROUND]) @ centres.T
    np.testing.assert_allclose(cosines.max(axis=0), 1, atol=0.01)
    ground = unit(table['features'].sum(axis=(0, 1, 2)))
    np.testing.assert_allclose(directions[GROUND], ground, atol=1e-5)
    assert scalars['features'] == 16 * 6 and scalars['rare_parts'] == 0


def test_cells_and_rows_that_do_not_count_teach_nothing(rng):
    table, _ = table_of(rng)
    learn = lambda t: learn_dictionary(METHOD, t, jax.random.key(0))
    table['valid'][:, :, 4:] = False
    table['row_valid'][12:] = False
    want, _ = learn(table)
    table['features'][:, :, 4:] = 7.0
    table['features'][12:] = -3.0
    np.testing.assert_allclose(learn(table)[0], want, atol=1e-6)


def test_fewer_kinds_of_features_than_parts(rng):
    """Empty clusters: parts double or idle, nothing is lost or not finite."""
    table, centres = table_of(rng, kinds=2)
    directions, _ = learn_dictionary(METHOD, table, jax.random.key(0))
    assert jnp.isfinite(directions).all()
    np.testing.assert_allclose(jnp.linalg.norm(directions, axis=-1), 1, rtol=1e-5)
    cosines = np.asarray(directions[:GROUND]) @ centres.T
    np.testing.assert_allclose(cosines.max(axis=0), 1, atol=0.01)


def test_the_dictionary_does_not_depend_on_the_number_of_devices(rng):
    table, _ = table_of(rng)

    def learn(devices):
        mesh = Mesh(jax.devices()[:devices], ('data',), axis_types=(AxisType.Auto,))
        with jax.set_mesh(mesh):
            rows = jax.device_put(table, NamedSharding(mesh, PartitionSpec('data')))
            fit = lambda rows, key, axis_name: (
                {}, parts.learn_dictionary(METHOD, rows, key, axis_name=axis_name)
            )  # fmt: skip
            over = functools.partial(parallel.over_rows, fit)
            return jax.jit(over)(rows, jax.random.key(0))[1]

    (one, health), (eight, health8) = learn(1), learn(8)
    np.testing.assert_allclose(np.asarray(eight), np.asarray(one), atol=1e-5)
    assert int(health8['features']) == int(health['features'])


# Alignment.


def scene(cells, size=8, channels=5):
    """A map `[size, size, channels]` with parts at {channel: (x, y)}, else background."""
    maps = np.full((size, size, channels), 0.01)
    maps[..., -1] = 1
    for channel, (x, y) in cells.items():
        maps[y, x] = 0.01
        maps[y, x, channel] = 1
    return jnp.asarray(maps / maps.sum(-1, keepdims=True), jnp.float32)


PLACES = {0: (1, 1), 1: (4, 1), 2: (1, 5), 3: (4, 4)}


def pictures(maps):
    """Maps with the features that they would come from."""
    features = maps / jnp.linalg.norm(maps, axis=-1, keepdims=True)
    return aligning.Pictures(maps, features, jnp.ones(maps.shape[:-1], bool))


BLOBS = {0: (2, 2), 1: (5, 2), 2: (2, 5), 3: (5, 5)}


def blobs(shift=(0, 0), size=10):
    """Four parts of 2 x 2 cells each: all cells of one match all cells of it."""
    places = {c: (x + shift[0], y + shift[1]) for c, (x, y) in BLOBS.items()}
    maps = jnp.stack([
        scene({c: (x + dx, y + dy) for c, (x, y) in places.items()}, size)
        for dx in (0, 1) for dy in (0, 1)
    ])  # fmt: skip
    parts_only = maps[..., :-1].max(axis=0)
    maps = jnp.concatenate([parts_only, maps[..., -1:].min(axis=0)], axis=-1)
    return maps / maps.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize('parity', ['recommended', 'paper'])
@pytest.mark.parametrize('transform', ['translation', 'affine', 'homography'])
def test_a_shifted_neighbour_comes_back(transform, parity):
    method = dataclasses.replace(
        METHOD, transform=transform, parity=parity, hypotheses=200, matches=80
    )
    own, other = pictures(blobs()), pictures(blobs((2, 1))[None])
    got = align(method, jax.random.key(0), own, other)
    assert got.transforms.moved.all() and got.transforms.partners.sum() > 4
    middles = np.array([(x + 0.5, y + 0.5) for x, y in BLOBS.values()])
    lifted = (
        np.c_[middles + (2, 1), np.ones(4)] @ np.asarray(got.transforms.matrix[0]).T
    )
    off = lifted[:, :2] / lifted[:, 2:] - middles
    assert np.linalg.norm(off, axis=1).max() <= 1.001  # Of 2.2.
    # What moved in from beyond the neighbour's border is background, and covers nothing.
    assert not got.covers[0, :, -1].any() and got.covers[0, 2:7, 2:7].all()
    np.testing.assert_allclose(got.maps[0, -1, -1], np.eye(5)[GROUND], atol=1e-6)


def test_what_two_pictures_have_in_common_tells_no_cells_apart():
    own, other = pictures(blobs()), pictures(blobs((1, 0)))
    both = [p._replace(features=p.features + 3.0) for p in (other, own)]
    np.testing.assert_allclose(likeness(*both), likeness(other, own), atol=1e-4)


def test_cells_of_a_neighbour_by_the_border_are_like_none():
    maps = jnp.full((12, 12, 5), 0.05).at[..., 0].set(0.8)
    got = likeness(pictures(maps), pictures(maps)).reshape(12, 12, -1).max(axis=-1)
    inner = np.zeros((12, 12), bool)
    inner[2:-2, 2:-2] = True
    np.testing.assert_array_equal(got > 0, inner)


def test_like_cells_of_different_parts_are_less_alike():
    """In maps that differ; features are the same."""
    own = pictures(scene({0: (3, 3), 1: (5, 6)}))
    same = own._replace(
        maps=scene({0: (4, 4), 1: (2, 1)}), features=own.features[::-1, ::-1]
    )
    other = same._replace(maps=scene({1: (4, 4), 0: (2, 1)}))
    cell = lambda x, y: 8 * y + x
    found = [likeness(p, own)[cell(4, 4), cell(3, 3)] for p in (same, other)]
    assert found[0] == pytest.approx(1, abs=1e-5) and found[1] < 0.5


def test_without_a_transform_neighbours_stay():
    method = dataclasses.replace(METHOD, transform='none')
    other = pictures(blobs((1, 1))[None])
    got = align(method, jax.random.key(0), pictures(blobs()), other)
    np.testing.assert_allclose(got.maps, other.maps, atol=1e-5)
    assert got.covers.all() and not got.transforms.moved.any()


@pytest.mark.parametrize('parity', ['recommended', 'paper'])
def test_nothing_to_match_moves_nothing(parity):
    """No cell above the threshold, or nothing but background, is no error."""
    method = dataclasses.replace(METHOD, parity=parity)
    own = pictures(scene(PLACES))
    for other in (scene({}), jnp.full((8, 8, 5), 0.2)):
        got = align(method, jax.random.key(0), own, pictures(other[None]))
        np.testing.assert_allclose(got.maps[0], other, atol=1e-5)
        np.testing.assert_array_equal(got.transforms.matrix[0], np.eye(3))


def test_one_match_is_a_translation_to_the_letter():
    method = dataclasses.replace(METHOD, parity='paper')
    own, other = pictures(scene({0: (1, 1)})), pictures(scene({0: (3, 2)})[None])
    got = align(method, jax.random.key(0), own, other)
    np.testing.assert_allclose(
        got.transforms.matrix[0], [[1, 0, -2], [0, 1, -1], [0, 0, 1]], atol=1e-5
    )


def test_moving_by_what_cannot_be_inverted_moves_nothing():
    maps = scene(PLACES)
    got, covers = move(maps, jnp.ones((8, 8), bool), jnp.zeros((3, 3)))
    np.testing.assert_array_equal(got, maps)
    assert covers.all()


def test_moved_maps_are_between_their_cells():
    """Half a cell to the right: each cell is the mean of two."""
    maps = scene(PLACES)
    matrix = jnp.eye(3).at[0, 2].set(0.5)
    got, _ = move(maps, jnp.ones((8, 8), bool), matrix)
    want = (maps[:, :-1] + maps[:, 1:]) / 2
    np.testing.assert_allclose(got[:, 1:], want, atol=1e-6)


def test_cells_that_do_not_count_cover_nothing():
    valid = jnp.ones((8, 8), bool).at[:, 6:].set(False)
    matrix = jnp.eye(3).at[0, 2].set(1.0)
    _, covers = move(scene(PLACES), valid, matrix)
    assert covers[:, 1:7].all() and not covers[:, 0].any() and not covers[:, 7].any()


ALL = jnp.ones((8, 8), bool)


def test_neighbours_agree_on_parts():
    """Algorithm 1 on the mean of those that count."""
    moved = jnp.stack([scene(PLACES), scene(PLACES), scene({0: (6, 6)})])
    counts, covers = jnp.array([True, True, False]), jnp.ones((3, 8, 8), bool)
    labels = agree(METHOD, moved, covers, counts, ALL)
    for channel, (x, y) in PLACES.items():
        assert labels[y, x] == channel
    assert (labels == GROUND).sum() >= 64 - 3 * 4
    hidden = agree(METHOD, moved, covers, counts, ALL.at[1, 1].set(False))
    assert hidden[1, 1] == GROUND
    nobody = agree(METHOD, moved, covers, ~counts & False, ALL)
    assert (nobody == GROUND).all()


def test_what_does_not_cover_a_cell_has_no_vote():
    """One map of three lies there; to the letter the others outvote it."""
    outside = scene({})
    moved = jnp.stack([scene(PLACES), outside, outside])
    covers = jnp.zeros((3, 8, 8), bool).at[0].set(True)
    counts = jnp.ones(3, bool)
    labels = agree(METHOD, moved, covers, counts, ALL)
    assert [labels[y, x] for x, y in PLACES.values()] == [0, 1, 2, 3]
    paper = dataclasses.replace(METHOD, parity='paper')
    outvoted = agree(paper, moved, covers, counts, ALL)
    assert all(outvoted[y, x] == GROUND for x, y in PLACES.values())
    nowhere = agree(METHOD, moved, covers & False, counts, ALL)
    assert (nowhere == GROUND).all()


def test_gradients_flow_through_moved_maps_only():
    own, other = blobs(), blobs((1, 0))[None]

    def seen(own, other):
        got = aligning.align(METHOD, jax.random.key(0), pictures(own), pictures(other))
        return (got.maps**2).sum()

    of_own, of_other = jax.jit(jax.grad(seen, argnums=(0, 1)))(own, other)
    assert not of_own.any()
    assert jnp.isfinite(of_other).all() and of_other.any()

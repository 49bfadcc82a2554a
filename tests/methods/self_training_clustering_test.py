"""Pseudo-labels from descriptors: duplicates, mirror images, thresholds, outliers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from kpdiscovery.methods.self_training import clustering, health
from kpdiscovery.ops import neighbors, vectors

KEY = jax.random.key(0)
KINDS = 4


def pictures(n=24, d=6, noise=0.05, seed=0):
    """A point of each of four kinds a picture; kinds 0 and 1 are mirror images."""
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.normal(size=(d, d)))[0][:KINDS]
    shake = lambda: noise * rng.normal(size=(n, KINDS, d))
    descriptors = np.float32(centres[None] + shake())
    mirrored = np.float32(centres[None, [1, 0, 2, 3]] + shake())
    return descriptors, mirrored, np.ones((n, KINDS), bool)


def test_missing_some_neighbours_moves_few_over_the_line():
    """As on a TPU, whose choice misses neighbours that share a lane with a nearer one."""
    rng = np.random.default_rng(0)
    centres = 4 * rng.normal(size=(30, 8))
    spread = rng.uniform(0.2, 2, size=(2000, 1))
    x = centres[rng.integers(30, size=2000)] + spread * rng.normal(size=(2000, 8))
    far = np.asarray(neighbors.nearest_distances(x.astype(np.float32), 100))
    found = rng.random(far.shape) < clustering._RECALL
    some = np.sort(np.where(found, far, np.inf), axis=1)
    drop = [
        np.argsort(neighbors.outlier_scores(jnp.asarray(d)))[1200:] for d in (far, some)
    ]
    assert len(np.intersect1d(*drop)) > 0.98 * 800


def test_clusters_are_kinds_and_mirror_images_are_known():
    found = clustering.cluster_mirrored(KEY, *pictures(), KINDS, restarts=4)
    kinds = np.asarray(found.labels)
    assert (kinds == kinds[:1]).all() and len(set(kinds[0])) == KINDS
    np.testing.assert_array_equal(found.mirror, kinds[:, [1, 0, 2, 3]])
    flip = np.asarray(clustering.flip_map(found))
    np.testing.assert_array_equal(flip[kinds[0]], kinds[0][[1, 0, 2, 3]])
    assert np.asarray(clustering.without_duplicates(found)).all()


def test_of_two_points_of_a_kind_the_nearer_stays():
    descriptors, mirrored, valid = pictures(noise=0.0)
    double = np.concatenate([descriptors, descriptors[:, :1] + 0.2], axis=1)
    mirrored = np.concatenate([mirrored, mirrored[:, :1]], axis=1)
    valid = np.ones(double.shape[:2], bool)
    found = clustering.cluster_mirrored(KEY, double, mirrored, valid, KINDS, restarts=4)
    kept = np.asarray(clustering.without_duplicates(found))
    want = np.tile([True, True, True, True, False], (len(kept), 1))
    np.testing.assert_array_equal(kept, want)


def test_nobody_knows_what_a_cluster_without_points_mirrors():
    labels = jnp.array([[0, 2]])
    pair = clustering.Mirrored(
        labels, jnp.array([[2, 0]]), jnp.zeros((1, 2)), jnp.zeros((4, 1))
    )
    np.testing.assert_array_equal(clustering.flip_map(pair), [2, -1, 0, -1])


def test_a_mirror_image_has_its_cluster_as_mirror_image(rng):
    """By rows alone the most frequent one need not: 0 -> 1 -> 2 here."""
    counts = np.array([[0, 9, 0, 0], [3, 0, 8, 0], [0, 8, 2, 0], [0, 0, 0, 5]])
    np.testing.assert_array_equal(clustering.mirror_pairs(counts), [-1, 2, 1, 3])
    for _ in range(5):
        counts = rng.integers(0, 9, (12, 12))
        counts = (counts + counts.T) ** 4  # Some pairs stand out.
        flip = np.asarray(clustering.mirror_pairs(counts))
        known = np.flatnonzero(flip >= 0)
        assert len(known) > 2
        np.testing.assert_array_equal(flip[flip[known]], known)


def test_a_landmark_whose_partner_is_taken_is_not_its_own_mirror_image():
    """0 and 1 are left eyes, 2 is the right eye that 1 has; 3 is a nose."""
    counts = np.array([[1, 0, 9, 0], [0, 0, 10, 0], [4, 9, 0, 0], [0, 0, 0, 10]])
    np.testing.assert_array_equal(clustering.mirror_pairs(counts), [-1, 2, 1, 3])


def test_a_pair_met_in_few_of_its_sightings_is_none():
    counts, seen = np.array([[0, 4], [4, 0]]), np.array([20, 20])
    np.testing.assert_array_equal(clustering.mirror_pairs(counts), [1, 0])
    np.testing.assert_array_equal(clustering.mirror_pairs(counts, seen), [-1, -1])


def test_what_mirrors_itself_more_often_than_another_is_no_pair():
    """A nose in two clusters: 140 sightings as themselves, 120 as one another."""
    own = np.array([[100, 60, 0], [60, 40, 0], [0, 0, 0]])
    np.testing.assert_array_equal(clustering.mirror_pairs(own), [0, 1, -1])
    eyes = np.array([[10, 60, 0], [60, 40, 0], [0, 0, 0]])
    np.testing.assert_array_equal(clustering.mirror_pairs(eyes), [1, 0, -1])


def test_thresholds_of_the_reference():
    labels = jnp.array([0, 0, 0, 2, -1])
    distances = jnp.array([0.1, 0.2, 0.3, 0.5, 9.0])
    got = clustering.distance_thresholds(labels, distances, k=3)
    np.testing.assert_allclose(got, [0.2816497, 0, 0.5], atol=1e-6)


def test_of_a_cluster_with_two_points_the_farther_goes(rng):
    """Mean plus deviation of two is the larger: rounding would decide."""
    unit = vectors.normalize(jnp.asarray(rng.normal(size=(30, 2, 3)), jnp.float32))
    center = jnp.float32([[1, 0, 0]])
    squares = vectors.squared_distances(unit.reshape(-1, 3), center)[:, 0]
    for pair, apart in zip(unit, squares.reshape(30, 2), strict=True):
        limit = clustering.distance_thresholds(jnp.zeros(2, int), apart, k=1)
        alone = pair[:, None]  # Each in a picture of its own.
        label = clustering.assign_within(alone, jnp.ones((2, 1), bool), center, limit)
        want = np.where(np.arange(2) == apart.argmin(), 0, -1)
        np.testing.assert_array_equal(label[:, 0], want)


def test_hungarian_labels_are_unique_and_far_points_lose_theirs():
    descriptors, _, valid = pictures()
    strange = descriptors.copy()
    strange[0, 0] = -descriptors[0, 1]  # Like nothing else.
    found = clustering.cluster_uniquely(KEY, strange, valid, KINDS, init=descriptors[1])
    labels = np.asarray(found.labels)
    assert labels[0, 0] == -1
    for row in labels:
        used = row[row >= 0]
        assert len(used) == len(set(used))
    share = (labels >= 0).mean()
    assert 0.6 < share < 0.98  # Mean plus deviation cuts the tail of every cluster.


def test_assignment_is_one_to_one_where_nearest_is_not():
    """The reference's costs [[.1, .2, .9], [.15, .6, .8]]: total .35."""
    squares = jnp.array([[0.1, 0.2, 0.9], [0.15, 0.6, 0.8]])
    labels = clustering.kmeans.assign_uniquely(squares, jnp.ones(2, bool))
    np.testing.assert_array_equal(labels, [1, 0])
    nearest, distance = squares.argmin(1), squares.min(1)
    kept = clustering.kmeans.keep_nearest_per_image(nearest, distance, k=3)
    np.testing.assert_array_equal(kept, [True, False])


def test_lonely_points_are_dropped_first():
    rng = np.random.default_rng(0)
    descriptors = np.float32(rng.normal([1, 0, 0, 0], 0.02, (10, 4, 4)))
    lonely = rng.permutation(40)[:8]
    far = np.eye(4)[rng.integers(1, 4, 8)] * rng.choice([-1, 1], (8, 1))
    descriptors.reshape(40, 4)[lonely] = far + rng.normal(0, 0.4, (8, 4))
    valid = np.ones((10, 4), bool)
    kept = clustering.drop_outliers(descriptors, valid, share=0.2, neighbors_asked=12)
    assert set(np.flatnonzero(~np.asarray(kept).ravel())) == set(lonely)


def test_outliers_among_nothing():
    none = np.zeros((3, 2), bool)
    kept = clustering.drop_outliers(np.ones((3, 2, 4), np.float32), none, share=0.4)
    assert not np.asarray(kept).any()


@pytest.mark.parametrize('what', ['mirrored', 'uniquely', 'outliers'])
def test_eight_devices_give_the_labels_of_one(what):
    descriptors, mirrored, valid = pictures(32, noise=0.3)
    valid[5] = False

    def run(descriptors, mirrored, valid, axis_name=None):
        if what == 'mirrored':
            found = clustering.cluster_mirrored(
                KEY, descriptors, mirrored, valid, 6, restarts=2, axis_name=axis_name
            )
            return jnp.stack([found.labels, found.mirror], axis=-1)
        if what == 'uniquely':
            return clustering.cluster_uniquely(
                KEY, descriptors, valid, 6, axis_name=axis_name
            ).labels
        return clustering.drop_outliers(
            descriptors, valid, share=0.4, neighbors_asked=9, axis_name=axis_name
        )

    mesh = jax.make_mesh((8,), ('data',), (AxisType.Auto,))
    eight = jax.shard_map(
        functools.partial(run, axis_name='data'),
        mesh=mesh,
        in_specs=P('data'),
        out_specs=P('data'),
        check_vma=False,
    )
    want = run(descriptors, mirrored, valid)
    np.testing.assert_array_equal(jax.jit(eight)(descriptors, mirrored, valid), want)


def test_equal_and_broken_descriptors():
    """All descriptors equal: no crash. Not a number: no label."""
    equal, valid = np.ones((6, 4, 8), np.float32), np.ones((6, 4), bool)
    found = clustering.cluster_mirrored(KEY, equal, equal, valid, 3)
    assert np.asarray(clustering.without_duplicates(found)).sum() == 6  # One a picture.
    broken = equal.copy()
    broken[2, 1] = np.nan
    labels = clustering.cluster_mirrored(KEY, broken, equal, valid, 3).labels
    assert labels[2, 1] == -1 and (np.delete(np.asarray(labels).ravel(), 9) >= 0).all()
    unique = clustering.cluster_uniquely(KEY, broken, valid, 3)
    assert unique.labels[2, 1] == -1


def test_fewer_points_than_clusters():
    descriptors, mirrored, valid = pictures(1)
    found = clustering.cluster_mirrored(KEY, descriptors, mirrored, valid, 20)
    assert len(set(np.asarray(found.labels).ravel())) == KINDS
    assert np.isfinite(found.centroids).all()


def line(labels, before, xy=None, detected=None, clusters=4, **options):
    labels, before = jnp.asarray(labels), jnp.asarray(before)
    xy = jnp.zeros((*labels.shape, 2)) if xy is None else jnp.asarray(xy)
    detected = labels >= 0 if detected is None else jnp.asarray(detected)
    rows = jnp.ones(len(labels), bool)
    options = {'clusters': clusters, **options}
    found = health.health(labels, before, xy, detected, rows, **options)
    return {name: float(value) for name, value in found.items()}


def test_health_line_by_hand():
    xy = [[[0.0, 0], [3, 3]], [[0.2, 0], [5, 3]]]
    got = line([[0, 1], [0, -1]], [[2, 3], [2, -1]], xy, np.ones((2, 2), bool))
    assert got['points'] == 1.5 and got['alive'] == 0.5 and got['dropped'] == 0.25
    assert got['crowded'] == pytest.approx(2 / 3)
    assert got['change'] == pytest.approx(0, abs=1e-6)  # Other numbers, same clusters.


def test_change_of_labels_is_one_less_mutual_information():
    independent = line([[0, 1, 0, 1]], [[0, 0, 1, 1]])
    assert independent['change'] == pytest.approx(1, abs=1e-6)
    nothing_before = line([[0, 1]], [[-1, -1]])
    assert nothing_before['change'] == 1
    one_cluster = line([[0, 0]], [[0, 0]])
    assert one_cluster['change'] == pytest.approx(0, abs=1e-6)


def test_old_labels_are_those_of_near_old_points():
    old_xy, old = jnp.array([[[0.0, 0], [10, 10], [20, 20]]]), jnp.array([[3, 1, -1]])
    xy = jnp.array([[[1.0, 1], [12, 10], [20, 20]]])
    np.testing.assert_array_equal(health.old_labels(xy, old_xy, old), [[3, -1, -1]])


@pytest.mark.parametrize('change, remedy', [
    ({'points': 0.4}, 'lower method.threshold'),
    ({'idle': 0.7}, '70% of the pictures have fewer than method.min_points'),
    ({'full': 0.98}, 'raise method.threshold above the mean of its targets'),
    ({'crowded': 0.8}, 'lower the learning rate'),
    ({'alive': 0.1}, 'lower method.num_clusters'),
    ({}, ''),
])  # fmt: skip
def test_collapse_is_named_with_a_remedy(change, remedy):
    advice = health.advise({'points': 12.0, 'crowded': 0.01, 'alive': 1.0, **change})
    assert remedy in advice and bool(advice) == bool(remedy)


@pytest.mark.parametrize('advise, scalars, remedy', [
    (health.advise_start, {'points': 1.5}, 'raise data.num_detected'),
    (health.advise_start, {'points': 9.0, 'idle': 0.6}, 'fewer than method.min_points'),
    (health.advise_start, {'points': 9.0, 'alive': 0.2}, '(data.keypoints)'),
    (health.advise_start, {'points': 9.0, 'alive': 1.0, 'idle': 0.1}, ''),
    (health.advise_merging, {'landmarks': 0.0}, 'method.min_population'),
    (health.advise_merging, {'landmarks': 20.0}, ''),
    (health.advise_template, {'aligned': 1.0, 'template': 0.75}, 'the template 75%'),
    (health.advise_template, {'aligned': 0.1, 'template': 1.0}, '10% of the pictures'),
    (health.advise_template, {'aligned': 0.9, 'template': 1.0}, ''),
])  # fmt: skip
def test_advice_names_what_made_the_points(advise, scalars, remedy):
    advice = advise(scalars)
    assert remedy in advice and bool(advice) == bool(remedy)


def test_pictures_that_teach_nothing_are_counted():
    labels = [[0, 1, -1], [0, -1, -1], [-1, -1, -1]]
    got = line(labels, [[-1] * 3] * 3, least=2)
    assert got['idle'] == pytest.approx(2 / 3)


# Object and ground.


def two_kinds(rng, pictures=12):
    """Descriptors of 3 things (2 on the object) and boxes that hold some ground."""
    kinds = rng.integers(0, 3, (pictures, 8))
    centers = np.eye(3, 6)
    descriptors = centers[kinds] + 0.05 * rng.normal(size=(pictures, 8, 6))
    inside = (kinds < 2) | (rng.random((pictures, 8)) < 0.2)
    return jnp.asarray(descriptors, jnp.float32), kinds, jnp.asarray(inside)


def test_ground_inside_the_boxes_is_told_by_its_looks(rng):
    descriptors, kinds, inside = two_kinds(rng)
    assert (np.asarray(inside) & (kinds == 2)).any()
    got = clustering.keep_object(
        jax.random.key(0), descriptors, inside, ~inside, clusters=(2, 1)
    )
    np.testing.assert_array_equal(got, kinds < 2)


def test_without_ground_all_that_is_inside_stays(rng):
    descriptors, _, _ = two_kinds(rng)
    there = jnp.asarray(rng.random((12, 8)) < 0.7)
    got = clustering.keep_object(
        jax.random.key(0), descriptors, there, jnp.zeros_like(there), clusters=(2, 3)
    )
    np.testing.assert_array_equal(got, there)

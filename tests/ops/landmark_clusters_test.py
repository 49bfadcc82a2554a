import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.ops.landmark_clusters import (
    cluster_descriptors,
    landmarks_from_points,
)

KEY = jax.random.key(0)
SHORT = {'iterations': 10, 'restarts': 2}
CENTROIDS = jnp.array([[0.0, 0], [4, 0], [0, 4]])


def test_nearest_points_by_hand():
    # Points 0 and 1 are both nearest to centroid 0, point 2 to centroid 2, which is not
    # valid in the second picture; nothing is near centroid 1.
    descriptors = jnp.array([[[1.0, 0], [0, 0.5], [0, 3]]] * 2)
    xy = jnp.array([[[1.0, 2], [3, 4], [5, 6]], [[7, 8], [9, 10], [11, 12]]])
    valid = jnp.array([[True, True, True], [True, False, False]])
    got = landmarks_from_points(descriptors, xy, valid, CENTROIDS)
    np.testing.assert_array_equal(got.xy[0], [[3, 4], [0, 0], [5, 6]])
    np.testing.assert_array_equal(got.xy[1], [[7, 8], [0, 0], [0, 0]])
    want = [[True, False, True], [True, False, False]]
    np.testing.assert_array_equal(got.valid, want)
    np.testing.assert_array_equal(got.label, [[0, 1, 2]] * 2)
    scores = [[np.exp(-0.25), 0, np.exp(-1)], [np.exp(-1), 0, 0]]
    np.testing.assert_allclose(got.score, scores, rtol=1e-6)


def test_finds_the_same_thing_in_every_picture():
    """Three kinds of points in any order, beside invalid ones of a wild descriptor."""
    rng = np.random.default_rng(0)
    order = np.stack([rng.permutation(3) for _ in range(20)])
    kinds = np.asarray(CENTROIDS)[order] + rng.normal(0, 0.1, (20, 3, 2))
    descriptors = np.concatenate([kinds, np.full((20, 1, 2), 99.0)], axis=1)
    descriptors[0, 3] = np.nan
    xy = np.concatenate([10 * order, np.full((20, 1), -1)], axis=1)
    xy = np.repeat(xy[..., None], 2, axis=-1).astype(np.float32)
    valid = np.arange(4) < np.full((20, 1), 3)
    centroids = cluster_descriptors(KEY, descriptors, valid, 3, **SHORT)
    got = landmarks_from_points(descriptors, xy, valid, centroids)
    assert np.asarray(got.valid).all()
    assert (np.asarray(got.xy) == np.asarray(got.xy)[:1]).all()
    assert sorted(np.asarray(got.xy)[0, :, 0]) == [0, 10, 20]


def test_no_point_at_all():
    nothing = jnp.zeros((2, 3), bool)
    descriptors, xy = jnp.ones((2, 3, 5)), jnp.ones((2, 3, 2))
    centroids = cluster_descriptors(KEY, descriptors, nothing, 4, **SHORT)
    got = landmarks_from_points(descriptors, xy, nothing, centroids)
    assert np.isfinite(centroids).all() and got.xy.shape == (2, 4, 2)
    assert not got.valid.any() and not got.xy.any() and not got.score.any()


def test_bad_shapes():
    descriptors, valid = jnp.ones((2, 3, 5)), jnp.ones((2, 3), bool)
    with pytest.raises(ValueError, match=r'got \(2, 3, 5\) and \(2, 4\)'):
        cluster_descriptors(KEY, descriptors, jnp.ones((2, 4)), 2)
    with pytest.raises(ValueError, match=r'xy \(2, 3, 2\), got \(2, 3\)'):
        landmarks_from_points(descriptors, valid, valid, jnp.ones((2, 5)))
    with pytest.raises(ValueError, match='centroids|init'):
        landmarks_from_points(descriptors, jnp.ones((2, 3, 2)), valid, jnp.ones((2, 4)))

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.ops import homographies, warps

SQUARE = jnp.array([[0.0, 0], [0, 1], [1, 1], [1, 0]])
SIZE = (120, 160)
PLAIN = {'perspective': 0.0, 'scale': 0.0, 'angle': 0.0}


def test_four_points_by_hand():
    target = SQUARE.at[2].set(2.0)
    fit = homographies.fit_homography(SQUARE, target)
    third = 1 / 3
    want = [[2 * third, 0, 0], [0, 2 * third, 0], [-third, -third, 1]]
    np.testing.assert_allclose(fit.matrix, want, atol=1e-5)
    half = warps.transform_points(fit, jnp.array([[0.5, 0.5]]))
    np.testing.assert_allclose(half, [[0.5, 0.5]], atol=1e-5)


def test_fit_reaches_its_points(rng):
    source, target = (
        jnp.asarray(np.array(SQUARE) * 50 + rng.uniform(-9, 9, (4, 2)), jnp.float32)
        for _ in range(2)
    )
    fit = homographies.fit_homography(source, target)
    np.testing.assert_allclose(warps.transform_points(fit, source), target, atol=1e-2)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match='must be'):
        homographies.fit_homography(SQUARE[:3], SQUARE[:3])


def corners(warp):
    """The patch shown, its edges, as (x, y) from the picture's top left edge."""
    edges = SQUARE * jnp.array([[160.0, 120]]) - 0.5
    return warps.transform_points(warp, edges) + 0.5


def test_patch_without_perturbation():
    # Translation alone is left: cancelled by its mean over many draws.
    draw = lambda key: corners(
        homographies.random_homography(key, SIZE, patch=0.85, **PLAIN)
    )
    drawn = np.asarray(jax.vmap(draw)(jax.random.split(jax.random.key(0), 2000)))
    want = np.array([[12, 9], [12, 111], [148, 111], [148, 9]])
    np.testing.assert_allclose(drawn.mean(axis=0), want, atol=1.0)
    np.testing.assert_allclose(drawn[0] - drawn[0, 0], want - want[0], atol=1e-2)
    assert (drawn > -0.1).all() and (drawn < [160.1, 120.1]).all()


def test_without_artifacts_nothing_is_beyond():
    draw = lambda key: corners(
        homographies.random_homography(key, SIZE, patch=0.5, artifacts=False)
    )
    drawn = np.asarray(jax.vmap(draw)(jax.random.split(jax.random.key(1), 300)))
    assert (drawn > -0.1).all() and (drawn < [160.1, 120.1]).all()
    assert np.std(drawn, axis=0).min() > 1


def test_draws_vary_and_can_be_inverted():
    draw = lambda key: homographies.random_homography(key, SIZE, overflow=0.05)
    many = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(2), 100))
    assert np.isfinite(many.matrix).all()
    points = jnp.tile(jnp.array([[10.0, 20], [80, 60], [150, 100]]), (100, 1, 1))
    there = warps.transform_points(many, points)
    back = warps.transform_points(warps.invert(many), there)
    np.testing.assert_allclose(back, points, atol=0.05)
    assert np.std(np.asarray(there), axis=0).min() > 5
    one = draw(jax.random.key(2))
    np.testing.assert_array_equal(one.matrix, draw(jax.random.key(2)).matrix)

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.ops import heatmaps, suppression

ROW = (
    jnp.zeros((1, 1, 12)).at[0, 0, jnp.array([2, 5, 8])].set(jnp.array([0.9, 0.8, 0.7]))
)


def columns(scores):
    return np.flatnonzero(np.asarray(scores)).tolist()


def greedy(points, score, conflict):
    """The definition, one point after another."""
    kept = []
    for i in np.argsort(-score, kind='stable'):
        if score[i] > 0 and not any(conflict(points[i], points[j]) for j in kept):
            kept.append(i)
    return sorted(kept)


# Worked by hand.


def test_kinds_differ_on_a_row():
    assert columns(suppression.suppress_greedily(ROW, radius=4)) == [2, 8]
    assert columns(heatmaps.non_maximum_suppression(ROW, window=9)) == [2]


# Against the definition.


@pytest.mark.parametrize('radius', [0, 1, 3])
def test_maps_are_thinned_as_one_after_another(rng, radius):
    scores = rng.integers(0, 12, (2, 13, 17)) / 12  # Ties and zeros.
    got = suppression.suppress_greedily(jnp.asarray(scores, jnp.float32), radius=radius)
    for one, thin in zip(scores, np.asarray(got), strict=True):
        points = np.argwhere(np.ones_like(one))
        near = lambda a, b: np.abs(a - b).max() <= radius
        assert np.flatnonzero(thin).tolist() == greedy(points, one.ravel(), near)
        np.testing.assert_allclose(thin[thin > 0], one[thin > 0], atol=1e-6)


def test_points_are_thinned_as_one_after_another(rng):
    xy, score = rng.uniform(0, 20, (60, 2)), rng.integers(0, 9, 60) / 9
    args = jnp.asarray(xy, jnp.float32), jnp.asarray(score, jnp.float32)
    near = lambda a, b: np.abs(a - b).max() <= 3
    got = suppression.suppress_near(*args, radius=3)
    assert columns(got) == greedy(xy, score, near)


def test_adaptive_order_by_hand():
    # Reaches: 1 to 2 (9 px), 2 to 0 (1), 3 to 1 (1), or robustly past it to 2 (10).
    xy = jnp.array([[0.0, 0], [10, 0], [1, 0], [11, 0]])
    score = jnp.array([1.0, 0.5, 0.6, 0.49])
    assert suppression.suppress_adaptively(xy, score, 4).tolist() == [0, 1, 2, 3]
    robust = suppression.suppress_adaptively(xy, score, 4, robust=0.9)
    assert robust.tolist() == [0, 3, 1, 2]


def test_adaptive_points_of_one_place_are_one():
    xy = jnp.array([[3.0, 3], [3, 3], [5, 5]])
    got = suppression.suppress_adaptively(xy, jnp.array([0.5, 0.5, 0.2]), 3)
    assert got.tolist() == [0, 2, -1]


def test_adaptive_points_spread(rng):
    cluster = rng.normal(10, 1, (80, 2))
    around = rng.uniform(0, 100, (20, 2))
    xy = jnp.asarray(np.concatenate([cluster, around]), jnp.float32)
    score = jnp.asarray(np.concatenate([np.full(80, 0.9), np.full(20, 0.5)]))
    score = score - 1e-3 * jnp.arange(100)
    best = suppression.suppress_adaptively(xy, score.astype(jnp.float32), 15)
    assert (np.asarray(best) >= 80).sum() >= 8  # By score alone it would be none.


# Bad input, invariance, transformations.


def test_nothing_stays_nothing():
    flat = jnp.zeros((2, 8, 8))
    np.testing.assert_array_equal(suppression.suppress_greedily(flat, radius=2), 0)
    xy, none = jnp.ones((2, 5, 2)), jnp.zeros((2, 5))
    assert not suppression.suppress_near(xy, none, radius=2).any()
    np.testing.assert_array_equal(suppression.suppress_adaptively(xy, none, 7), -1)


def test_a_plateau_keeps_one_point_a_square():
    thin = suppression.suppress_greedily(jnp.ones((1, 9, 9)), radius=4)
    ys, xs = np.nonzero(np.asarray(thin[0]))
    assert list(zip(ys, xs, strict=True)) == [(0, 0), (0, 5), (5, 0), (5, 5)]


def test_radius_is_checked():
    with pytest.raises(ValueError, match='must not be negative, got -1'):
        suppression.suppress_greedily(ROW, radius=-1)


def test_same_under_jit_and_vmap(rng):
    xy = jnp.asarray(rng.uniform(0, 9, (3, 20, 2)), jnp.float32)
    score = jnp.asarray(rng.uniform(0, 1, (3, 20)), jnp.float32)
    maps = jnp.asarray(rng.uniform(0, 1, (3, 12, 12)), jnp.float32)
    cases = [
        (lambda x, s, m: suppression.suppress_near(x, s, radius=2.0)),
        (lambda x, s, m: suppression.suppress_adaptively(x, s, 6)),
        (lambda x, s, m: suppression.suppress_greedily(m, radius=2)),
    ]
    for case in cases:
        want = case(xy, score, maps)
        np.testing.assert_array_equal(jax.jit(case)(xy, score, maps), want)
        np.testing.assert_array_equal(jax.vmap(case)(xy, score, maps), want)


def test_gradients_reach_what_stays():
    total = lambda s: suppression.suppress_greedily(s, radius=4).sum()
    assert columns(jax.grad(total)(ROW)) == [2, 8]

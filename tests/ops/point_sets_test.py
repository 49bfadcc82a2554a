"""Coherent point drift: known maps come back, with outliers and gaps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.ops.point_sets import coherent_point_drift


def scene(seed, *, extra=0, missing=0):
    """Points, an affine copy in another order with outliers, and where they should go."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 64, (13, 2))
    linear = np.eye(2) + rng.normal(0, 0.12, (2, 2))
    moved = points @ linear.T + rng.normal(0, 4, 2)
    seen = moved[rng.permutation(13)][: 13 - missing]
    target = np.concatenate([seen, rng.uniform(0, 64, (extra, 2))])
    return points.astype(np.float32), target.astype(np.float32), moved


def lay(points, target):
    return coherent_point_drift(points, target, np.ones(len(target), bool))


@pytest.mark.parametrize('seed', range(6))
def test_affine_map_is_found(seed):
    points, target, moved = scene(seed)
    found = lay(points, target)
    np.testing.assert_allclose(found.moved, moved, atol=0.05)
    again = points @ np.asarray(found.matrix[:, :2]).T + np.asarray(found.matrix[:, 2])
    np.testing.assert_allclose(again, found.moved, atol=1e-3)
    assert found.variance < 0.01


def test_outliers_and_gaps_seldom_mislead_it():
    close = 0
    for seed in range(20):
        points, target, moved = scene(seed, extra=2, missing=1)
        close += np.abs(lay(points, target).moved - moved).max() < 1.5
    assert close >= 18


def test_padding_is_not_looked_at():
    points, target, _ = scene(0, extra=2)
    padded = np.concatenate([target, np.full((5, 2), 1e3, np.float32)])
    valid = np.arange(len(padded)) < len(target)
    found = coherent_point_drift(points, padded, valid)
    np.testing.assert_allclose(found.moved, lay(points, target).moved, atol=1e-2)


def test_no_target_leaves_the_points():
    points, target, _ = scene(0)
    found = coherent_point_drift(points, target, np.zeros(len(target), bool))
    np.testing.assert_allclose(found.moved, points, atol=1e-4)


def test_points_on_a_line_stay_finite():
    line = jnp.stack([jnp.arange(8.0), jnp.zeros(8)], axis=1)
    found = lay(line, line + 1)
    assert np.isfinite(found.moved).all()
    np.testing.assert_allclose(found.moved, line + 1, atol=0.1)


def test_shift_of_both_shifts_the_result():
    points, target, _ = scene(3)
    shift = np.float32([100, -50])
    got = np.asarray(lay(points + shift, target + shift).moved) - shift
    np.testing.assert_allclose(got, lay(points, target).moved, atol=0.05)


def test_many_pictures_at_once():
    points, target, _ = scene(1)
    targets = jnp.stack([target, target[::-1]])
    valid = jnp.ones((2, len(target)), bool)
    both = jax.jit(jax.vmap(coherent_point_drift, (None, 0, 0)))(points, targets, valid)
    np.testing.assert_allclose(both.moved[0], both.moved[1], atol=0.05)


def test_bad_share_of_outliers():
    points, target, _ = scene(0)
    with pytest.raises(ValueError, match=r'outliers must be in \[0, 1\), got 1'):
        coherent_point_drift(points, target, np.ones(13, bool), outliers=1)

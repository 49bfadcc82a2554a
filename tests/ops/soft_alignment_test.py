import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.ops import alignment
from kpdiscovery.ops.soft_alignment import soft_alignment

STATIC = ('model', 'reach', 'steps', 'prior', 'scale', 'margin')
run = jax.jit(soft_alignment, static_argnames=STATIC)
SIDE = 14
GRID = np.array(list(itertools.product(range(SIDE), range(SIDE))), np.float32)


def project(matrix, xy):
    lifted = np.c_[xy, np.ones(len(xy))] @ np.asarray(matrix, float).T
    return lifted[:, :2] / lifted[:, 2:]


def kinds_of(xy, patch=3):
    """One of 16 kinds for points of a checkerboard of patches around the middle."""
    x, y = np.floor((np.asarray(xy) - 6.5 + 2 * patch) / patch).astype(int).T
    inside = (x >= 0) & (x < 4) & (y >= 0) & (y < 4)
    return np.where(inside, 4 * y + x, -1)


def scene(matrix):
    """Likeness of cells: 1 if of one kind. The matrix takes source to target."""
    mine = kinds_of(GRID)
    theirs = kinds_of(project(np.linalg.inv(matrix), GRID))
    return ((mine[:, None] == theirs[None]) & (mine >= 0)[:, None]).astype(np.float32)


def apart(one, other):
    """Mean distance between where two matrices take the inner cells."""
    inner = GRID[kinds_of(GRID) >= 0]
    return np.linalg.norm(project(one, inner) - project(other, inner), axis=1).mean()


def moved(x=0.0, y=0.0, scale=1.0):
    back = np.array([[scale, 0, x], [0, scale, y], [0, 0, 1]], float)
    back[:2, 2] += 6.5 * (1 - scale)
    return back


SHIFTS, SCALES = (moved(2), moved(-1, 2)), (moved(2, 0, 0.85), moved(0, -1, 1.2))


@pytest.mark.parametrize(('model', 'wanted'), [
    *itertools.product(('translation', 'affine', 'homography'), SHIFTS),
    *itertools.product(('affine', 'homography'), SCALES),
])  # fmt: skip
def test_many_cells_of_a_kind_do_not_shrink_the_picture(model, wanted):
    """Each cell matches nine; what is found is better than nothing by far."""
    got = run(scene(wanted), GRID, GRID, model=model)
    assert bool(got.moved)
    assert apart(got.matrix, wanted) < 0.4 * apart(np.eye(3), wanted)
    stretch = np.linalg.svd(np.asarray(got.matrix)[:2, :2], compute_uv=False)
    assert abs(stretch - wanted[0, 0]).max() < 0.15


def test_a_picture_with_itself_stays():
    got = run(scene(np.eye(3)), GRID, GRID)
    assert not got.moved
    np.testing.assert_array_equal(got.matrix, np.eye(3))


def test_without_likeness_or_with_nothing_but_likeness_nothing_moves():
    for alike in (np.zeros((196, 196)), np.ones((196, 196))):
        got = run(alike.astype(np.float32), GRID, GRID)
        np.testing.assert_array_equal(got.matrix, np.eye(3))
        assert (got.partners >= 0).all() and (got.partners <= 1).all()


def test_noise_moves_little():
    """Likeness without a meaning: at most what the pull to the identity lets through."""
    for seed in range(4):
        alike = np.random.default_rng(seed).uniform(size=(len(GRID),) * 2) > 0.97
        got = run(alike.astype(np.float32), GRID, GRID)
        assert apart(got.matrix, np.eye(3)) < 2
        assert np.linalg.det(got.matrix[:2, :2]) > 0.5


def test_a_few_partners_do_not_beat_the_margin():
    alike = scene(moved(2))
    assert run(alike, GRID, GRID, margin=0.05).moved
    assert not run(alike, GRID, GRID, margin=50.0).moved


def test_none_is_the_identity_and_says_how_well_it_fits():
    near, far = (run(scene(m), GRID, GRID, model='none') for m in (moved(), moved(4)))
    np.testing.assert_array_equal(near.matrix, np.eye(3))
    assert near.partners.sum() > 2 * far.partners.sum() and not near.moved


def test_units_and_frames_do_not_matter():
    wanted, zoom = moved(1, 1, 0.9), np.array([[16, 0, 7.5], [0, 16, 300], [0, 0, 1]])
    cells = run(scene(wanted), GRID, GRID).matrix
    pixels = project(zoom, GRID).astype(np.float32)
    got = run(scene(wanted), pixels, pixels, reach=(64.0, 16.0)).matrix
    want = zoom @ np.asarray(cells, float) @ np.linalg.inv(zoom)
    np.testing.assert_allclose(project(got, pixels), project(want, pixels), atol=0.05)


def test_a_pulled_step_is_weighted_ridge_regression(rng):
    """By numpy, in float64; one step of an affine map is its end."""
    source, target = rng.normal(size=(2, 30, 2))
    weight, pull = rng.uniform(size=30), 0.7
    x = np.c_[source, np.ones(30)]
    gram = (x * weight[:, None]).T @ x + pull * np.eye(3)
    right = (x * weight[:, None]).T @ target + pull * np.eye(3)[:, :2]
    want = np.linalg.solve(gram, right).T
    step = lambda start: alignment.pulled_step(
        'affine', start, *map(jnp.asarray, (source, target, weight)), pull=pull
    )
    start = jnp.eye(3).at[0, 2].set(2.0)
    for matrix in (start, step(start)):
        np.testing.assert_allclose(step(matrix)[:2], want, atol=1e-5)


def test_plausible():
    corners = jnp.array([[-1.0, -1], [1, 1]])
    yes = lambda m: bool(alignment.plausible(jnp.asarray(m), corners, scale=2.0))
    turn = np.array([[0.0, -1, 5], [1, 0, 0], [0, 0, 1]])
    assert yes(np.eye(3)) and yes(turn) and yes(np.diag([1.9, 0.6, 1]))
    for bad in (np.diag([-1.0, 1, 1]), np.diag([2.1, 1, 1]), np.diag([1, 0.4, 1]),
                np.full((3, 3), np.nan), [[1, 0, 0], [0, 1, 0], [0.9, 0, 1]]):  # fmt: skip
        assert not yes(np.asarray(bad, float))


@pytest.mark.parametrize(('change', 'message'), [
    ({'alike': jnp.ones((3, 4))}, r'alike \[P, Q\]'),
    ({'model': 'rigid'}, "'rigid'"),
    ({'reach': (1.0, 0.0)}, 'reach > 0'),
    ({'steps': 0}, 'steps >= 1'),
])  # fmt: skip
def test_bad_input(change, message):
    points = jnp.ones((4, 2))
    usual = {'alike': jnp.ones((4, 4)), 'source': points, 'target': points}
    with pytest.raises(ValueError, match=message):
        soft_alignment(**usual | change)

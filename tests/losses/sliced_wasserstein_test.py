import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.optimize import linear_sum_assignment
from scipy.spatial import distance

from kpdiscovery import losses

module = sys.modules[losses.sliced_wasserstein.__module__]

ONE = np.ones((1, 1), np.float32)


def clouds(rng, n=20, d=3):
    return rng.normal(size=(2, n, d)).astype(np.float32)


def directions(count=50, dim=3):
    return losses.random_directions(jax.random.key(0), count, dim)


def test_one_dimension_of_the_reference():
    x, y = np.array([[3.0], [1], [2]]), np.array([[0.0], [2], [5]])
    np.testing.assert_allclose(losses.sliced_wasserstein(x, y, ONE), 5 / 3, rtol=1e-6)


def test_each_direction_is_an_optimal_assignment(rng):
    x, y = clouds(rng, 8)
    along = np.asarray(directions(4))
    cost = 0
    for direction in along:
        gaps = distance.cdist((x @ direction)[:, None], (y @ direction)[:, None]) ** 2
        cost += gaps[linear_sum_assignment(gaps)].mean()
    got = losses.sliced_wasserstein(x, y, along)
    np.testing.assert_allclose(got, cost / 4, rtol=1e-5)


def test_order_of_samples_and_rotations_do_not_matter(rng):
    x, y = clouds(rng)
    d = directions()
    want = losses.sliced_wasserstein(x, y, d)
    np.testing.assert_allclose(
        losses.sliced_wasserstein(x[::-1], y, d), want, rtol=1e-6
    )
    np.testing.assert_allclose(losses.sliced_wasserstein(y, x, d), want, rtol=1e-6)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0].astype(np.float32)
    got = losses.sliced_wasserstein(x @ turn, y @ turn, d @ turn)
    np.testing.assert_allclose(got, want, rtol=1e-4)
    assert losses.sliced_wasserstein(x, x[::-1], d) == 0


def test_a_shift_costs_its_square(rng):
    """Mean over directions of (shift . d)^2, nearly |shift|^2 / D for many of them."""
    x, shift, d = (
        clouds(rng)[0],
        np.array([0.3, -0.4, 1.2], np.float32),
        directions(4000),
    )
    got = losses.sliced_wasserstein(x, x + shift, d)
    np.testing.assert_allclose(got, ((d @ shift) ** 2).mean(), rtol=1e-4)
    np.testing.assert_allclose(got, 1.69 / 3, rtol=0.05)


def test_gradients_reach_both_clouds(rng):
    with jax.enable_x64(True):
        x, y = jnp.asarray(clouds(rng, 6), jnp.float64)
        d = jnp.asarray(np.asarray(directions(3)), jnp.float64)
        loss = lambda x, y: losses.sliced_wasserstein(x, y, d)
        check_grads(loss, (x, y), order=1, modes=['rev'])


def by_jax(x, y, d):
    project = lambda cloud: jnp.sort(jnp.einsum('nd,pd->pn', cloud, d), axis=-1)
    return jnp.mean((project(x) - project(y)) ** 2)


@pytest.mark.parametrize('back', ['default', 'sorting'])
def test_value_and_gradients_are_those_of_sorting_by_jax(rng, monkeypatch, back):
    """With equal samples and with samples whose projections are 0 and -0."""
    if back == 'sorting':  # As on a TPU.
        monkeypatch.setattr(module, '_back_by_writing', module._back_by_sorting)
    x, y = clouds(rng)
    x[5:9], y[3], y[11:] = x[2], 0, y[:9]
    y[4] = -0.0
    run = lambda loss: jax.value_and_grad(loss, argnums=(0, 1))(x, y, directions())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
                 run(losses.sliced_wasserstein), run(by_jax))  # fmt: skip


def test_directions_are_split_over_devices(rng):
    x, y = clouds(rng)
    loss = jax.value_and_grad(losses.sliced_wasserstein, argnums=(0, 1))
    want = jax.jit(loss)(x, y, directions())  # 50 of them: no multiple of 8.
    mesh = jax.make_mesh((8,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
    with jax.set_mesh(mesh):
        program = jax.jit(loss).lower(x, y, directions()).compile()
        got = program(x, y, directions())
    same = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    jax.tree.map(same, got, want)
    sorts = [line for line in program.as_text().splitlines() if ' sort(' in line]
    assert sorts and all('[7,20]' in line for line in sorts)


def test_gradients_are_finite_where_samples_tie():
    x = jnp.zeros((4, 3))
    loss = lambda x, y: losses.sliced_wasserstein(x, y, directions())
    assert all(jnp.isfinite(g).all() for g in jax.grad(loss, argnums=(0, 1))(x, x))


def test_jit_and_vmap(rng):
    x, y = clouds(rng, 8), clouds(rng, 8)
    got = jax.jit(jax.vmap(losses.sliced_wasserstein, (0, 0, None)))(x, y, directions())
    want = losses.sliced_wasserstein(x[1], y[1], directions())
    np.testing.assert_allclose(got[1], want, rtol=1e-5)


def test_clouds_of_different_size_are_refused():
    with pytest.raises(ValueError, match=r'got \(3, 2\) and \(4, 2\)'):
        losses.sliced_wasserstein(jnp.ones((3, 2)), jnp.ones((4, 2)), jnp.ones((1, 2)))


def test_directions_are_uniform_on_the_sphere():
    d = np.asarray(directions(20_000, 4))
    np.testing.assert_allclose(np.linalg.norm(d, axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(d.mean(0), 0, atol=0.02)
    np.testing.assert_allclose(d.T @ d / len(d), np.eye(4) / 4, atol=0.01)

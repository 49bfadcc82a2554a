"""Losses of classes against worked numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery import losses


def one(*values):
    return jnp.log(jnp.array([values]))


@pytest.mark.parametrize(
    'said, meant, want',
    [((0.6, 0.4), (0.7, 0.3), 0.632465), ((0.7, 0.3), (0.7, 0.3), 0.610864),
     ((0.6, 0.4), (1.0, 0.0), 0.510826)],
)  # fmt: skip
def test_class_term(said, meant, want):
    got = losses.weight_map(one(*said), jnp.array([meant]), jnp.zeros((1, 2, 2)))
    np.testing.assert_allclose(got, [want], rtol=1e-5)


def test_the_size_of_the_map_is_a_mean():
    maps = jnp.array([[[1.0, 0.0], [0.5, 0.5]]])
    term = lambda weight: losses.weight_map(
        one(0.5, 0.5), jnp.array([[1.0, 0.0]]), maps, regularizer=weight
    )
    np.testing.assert_allclose(term(2.0) - term(0.0), [1.0], rtol=1e-6)


@pytest.mark.parametrize('near, far, want', [(1, 3, 0), (2, 1.5, 1.5), (1, 1, 1)])
def test_triplet(near, far, want):
    got = losses.triplet(
        jnp.zeros((1, 2)), jnp.array([[near, 0.0]]), jnp.array([[0.0, far]])
    )
    np.testing.assert_allclose(got, [want], atol=1e-5)


def test_triplet_margin_and_gradient_where_points_meet():
    same = jnp.zeros((3, 4))
    np.testing.assert_allclose(losses.triplet(same, same, same, margin=0.5), [0.5] * 3)
    slope = jax.grad(lambda a: losses.triplet(a, same, same).sum())(same)
    assert np.isfinite(slope).all()

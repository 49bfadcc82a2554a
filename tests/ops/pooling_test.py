"""Leaky max pooling against the paper's numbers, and its forms against each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.ops import pooling


def maps(rows):
    return jnp.asarray(rows, jnp.float32)[..., None]


@pytest.mark.parametrize(
    'x, epsilon, want',
    [
        (np.ones((2, 2)), 0.1, 0.7),
        (np.ones((2, 2)), 0.01, 0.97),
        ([[0, 0], [1, 0]], 0.1, 1.0),
        ([[3, 1], [2, 0]], 0.1, 2.7),
        ([[3, 1], [2, 0]], 0.01, 2.97),
        (np.ones((7, 7)), 0.1, -3.8),
        (np.ones((7, 7)), 0.01, 0.52),
        (np.ones((14, 14)), 0.1, -18.5),
        (np.ones((14, 14)), 0.01, -0.95),
        (-np.ones((2, 2)), 0.1, -0.7),
    ],
)
def test_known_values(x, epsilon, want):
    got = pooling.leaky_max_pool(maps(x), epsilon=epsilon)
    np.testing.assert_allclose(got, [want], rtol=1e-5)


def test_two_bright_cells_among_dark_ones():
    x = np.zeros((7, 7))
    x[2, 3], x[5, 5] = 5, 2
    np.testing.assert_allclose(pooling.leaky_max_pool(maps(x)), [4.8], rtol=1e-6)


@pytest.mark.parametrize(
    'kind, want', [('average', 1.5), ('max', 3), ('leaky_max', 2.7)]
)
def test_by_name(kind, want):
    np.testing.assert_allclose(
        pooling.pool(maps([[3, 1], [2, 0]]), kind), [want], rtol=1e-6
    )


@pytest.mark.parametrize('x', [[[3, 1], [2, 0]], [[3, 3], [2, 3]]])
def test_gradient_is_one_at_the_first_largest_cell(x):
    got = jax.grad(lambda v: pooling.leaky_max_pool(v).sum())(maps(x))
    np.testing.assert_allclose(got[..., 0], [[1, -0.1], [-0.1, -0.1]], rtol=1e-6)


@pytest.mark.parametrize('kind', pooling.KINDS)
def test_the_product_with_the_vector_is_the_fused_form(kind):
    x = jax.random.normal(jax.random.key(0), (3, 5, 4, 6))

    def product(x):
        vector = pooling.pooling_vector(x, kind, epsilon=0.1)
        return jnp.einsum('bpc,bpc->bc', vector, x.reshape(3, 20, 6))

    fused = lambda x: pooling.pool(x, kind, epsilon=0.1)
    np.testing.assert_allclose(product(x), fused(x), atol=1e-6)
    slopes = [jax.grad(lambda x, f=f: (f(x) ** 2).sum())(x) for f in (product, fused)]
    np.testing.assert_allclose(*slopes, atol=1e-5)


def test_low_precision_is_summed_in_float32():
    x = jnp.ones((64, 64, 1), jnp.bfloat16)
    assert pooling.average_pool(x).dtype == jnp.float32
    np.testing.assert_allclose(pooling.leaky_max_pool(x, epsilon=0.01), [1.01 - 40.96])


def test_bad_input():
    with pytest.raises(ValueError, match=r'\[..., H, W, C\], got \(3, 4\)'):
        pooling.average_pool(jnp.ones((3, 4)))
    with pytest.raises(ValueError, match=r"one of .*leaky_max.*got 'mean'"):
        pooling.pool(jnp.ones((2, 2, 1)), 'mean')
    with pytest.raises(ValueError, match="got 'mean'"):
        pooling.pooling_vector(jnp.ones((2, 2, 1)), 'mean')


@pytest.mark.parametrize(
    'cells, want',
    [({}, 0.0), ({24: 7}, 0.0), ({3: 5, 40: 2}, 0.59827), (dict.fromkeys(range(49), 2), 3.89182),
     (dict.fromkeys(range(4), 1), 1.386294), ({3: 5, 4: -9, 40: 2}, 0.59827)],
)  # fmt: skip
def test_entropy_of_a_map(cells, want):
    x = np.zeros(49, np.float32)
    for cell, value in cells.items():
        x[cell] = value
    got = pooling.map_entropy(jnp.asarray(x).reshape(7, 7, 1))
    np.testing.assert_allclose(got, [want], atol=1e-5)


def test_sparsity_is_of_the_maps_that_fire():
    x = jnp.stack([jnp.ones((2, 2)), jnp.zeros((2, 2)), jnp.eye(2)], axis=-1)
    np.testing.assert_allclose(
        pooling.sparsity(x), (np.log(4) + np.log(2)) / 2, rtol=1e-6
    )
    assert pooling.sparsity(0 * x) == 0
    assert np.isfinite(jax.grad(lambda x: pooling.sparsity(x))(x)).all()

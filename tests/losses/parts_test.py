"""The coherence of aligned part maps, against numpy and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery import losses


def random_maps(rng, *shape):
    maps = rng.uniform(0.1, 1, shape)
    return (maps / maps.sum(-1, keepdims=True)).astype(np.float32)


def test_by_hand():
    """Two maps of one cell say .9 and .5 of the label: -log .7."""
    maps = jnp.array([[[[0.9, 0.1]]], [[[0.5, 0.5]]]])
    labels, counts = jnp.zeros((1, 1), int), jnp.ones(2, bool)
    valid = jnp.ones((1, 1), bool)
    got = losses.coherence(maps, labels, counts, valid)
    assert float(got) == pytest.approx(-np.log(0.7), rel=1e-6)


def test_of_uniform_maps():
    """The reference's vector: 513 channels alike cost 6.240276 nats."""
    maps = jnp.full((3, 2, 2, 513), 1 / 513)
    yes = jnp.ones((2, 2), bool)
    got = losses.coherence(maps, jnp.full((2, 2), 7), jnp.ones(3, bool), yes)
    assert float(got) == pytest.approx(6.240276, abs=1e-5)


def test_against_numpy_with_maps_and_cells_left_out(rng):
    maps = random_maps(rng, 2, 4, 3, 5, 6)
    labels = rng.integers(0, 6, (2, 3, 5))
    counts, valid = rng.random((2, 4)) < 0.6, rng.random((2, 3, 5)) < 0.7
    counts[:, 0] = True
    got = losses.coherence(maps, labels, counts, valid)
    want = []
    for m, y, c, v in zip(maps.astype(np.float64), labels, counts, valid, strict=True):
        p = np.take_along_axis(m[c], y[None, ..., None], -1)[..., 0]
        want.append(-np.log(p.mean(0))[v].mean())
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_nothing_that_counts_is_no_loss_and_has_no_gradient(rng):
    maps = jnp.asarray(random_maps(rng, 2, 3, 3, 4))
    labels, none = jnp.zeros((3, 3), int), jnp.zeros((3, 3), bool)
    both = jnp.ones(2, bool)
    assert losses.coherence(maps, labels, both, none) == 0
    assert losses.coherence(maps, labels, ~both, ~none) == 0
    grad = jax.grad(losses.coherence)(maps, labels, both, ~none)
    assert jnp.isfinite(grad).all() and (grad <= 0).all() and (grad < 0).any()
    zero = jax.grad(losses.coherence)(jnp.zeros_like(maps), labels, both, ~none)
    assert jnp.isfinite(zero).all()


def test_a_map_counts_where_it_covers(rng):
    """Outside of a map it is as if it were not there: no constant, no gradient."""
    maps = (
        jnp.asarray(random_maps(rng, 2, 1, 2, 3))
        .at[1, 0, 1]
        .set(jnp.array([0, 0, 1.0]))
    )
    labels, valid = jnp.zeros((1, 2), int), jnp.ones((1, 2), bool)
    covers = jnp.ones((2, 1, 2), bool).at[1, 0, 1].set(False)
    loss = lambda maps: losses.coherence(maps, labels, covers, valid)
    got, slope = jax.value_and_grad(loss)(maps)
    p = np.asarray(maps, np.float64)[..., 0]
    both = -np.log(p[:, 0, 0].mean())
    np.testing.assert_allclose(got, (both - np.log(p[0, 0, 1])) / 2, rtol=1e-5)
    assert not slope[1, 0, 1].any()
    outside = losses.coherence(maps, labels, covers & False, valid)
    assert outside == 0


def test_background_weighs_at_most_as_much_as_all_parts(rng):
    maps = jnp.asarray(random_maps(rng, 2, 1, 5, 3))
    labels, valid = jnp.array([[0, 2, 2, 2, 1]]), jnp.ones((1, 5), bool)
    yes = jnp.ones(2, bool)
    loss = lambda labels: losses.coherence(maps, labels, yes, valid, balanced=True)
    mean = np.asarray(maps, np.float64).mean(axis=0)[0]
    cost = -np.log(mean[np.arange(5), np.asarray(labels)[0]])
    want = (cost[[0, 4]].sum() + 2 / 3 * cost[1:4].sum()) / 4
    np.testing.assert_allclose(loss(labels), want, rtol=1e-5)
    few = jnp.array([[0, 2, 1, 1, 1]])  # Less background than parts: all alike.
    plain = losses.coherence(maps, few, yes, valid)
    np.testing.assert_allclose(loss(few), plain, rtol=1e-6)
    # What is all background teaches nothing, instead of more background.
    assert loss(jnp.full((1, 5), 2)) == 0


def test_shapes_must_fit(rng):
    maps = jnp.asarray(random_maps(rng, 2, 3, 3, 4))
    yes = jnp.ones((3, 3), bool)
    with pytest.raises(ValueError, match=r'labels must be \(3, 3\), got \(2, 3\)'):
        losses.coherence(maps, jnp.zeros((2, 3), int), yes[0, :2], yes)
    with pytest.raises(ValueError, match=r'counts must be \(2,\), got \(3,\)'):
        losses.coherence(maps, jnp.zeros((3, 3), int), yes[0], yes)

"""The contrastive loss of landmark descriptors and the loss of their maps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from kpdiscovery import losses

PAIR = np.sum((np.array([1, 0]) - np.array([0.8, 0.6])) ** 2)  # d^2 = 0.4


@pytest.mark.parametrize(
    'squares, same, form, want',
    [
        (PAIR, True, 'distance', 0.4),
        (PAIR, False, 'distance', 0.0280711),
        (PAIR, False, 'squared', 0.4),
        (0.0, False, 'distance', 0.6399494),
        (2.0, False, 'distance', 0.0),
    ],
)
def test_vectors_of_the_reference(squares, same, form, want):
    pair = jnp.array([squares]), jnp.array([same]), jnp.array([True])
    got = losses.contrastive_landmarks(*pair, form=form)
    assert got == pytest.approx(want, abs=2e-7)


def test_mean_is_over_pairs_that_count():
    squares = jnp.array([0.4, 0.4, 9.0, 0.0])
    same = jnp.array([True, False, True, False])
    counts = jnp.array([True, True, False, False])
    got = losses.contrastive_landmarks(squares, same, counts)
    assert got == pytest.approx((0.4 + 0.0280711) / 2, abs=1e-6)
    assert losses.contrastive_landmarks(squares, same, counts & False) == 0


def test_gradient_is_finite_for_coinciding_points():
    def loss(x):
        squares = jnp.sum((x[:, None] - x[None]) ** 2, axis=-1)
        different = ~jnp.eye(3, dtype=bool)
        return losses.contrastive_landmarks(squares, ~different, different)

    assert jnp.isfinite(jax.grad(loss)(jnp.zeros((3, 2)))).all()


def test_unknown_form():
    with pytest.raises(ValueError, match="one of .*'squared'.* got 'cubed'"):
        losses.contrastive_landmarks(jnp.ones(1), True, True, form='cubed')


def test_heatmaps_without_label_count_as_right(rng):
    predicted, target = rng.normal(size=(2, 2, 4, 5, 3)).astype(np.float32)
    counts = np.array([[True, False, True], [False, False, False]])
    errors = 0.5 * ((predicted - target) ** 2).mean((1, 2))
    want = [(errors[0, 0] + errors[0, 2]) / 3, 0]
    got = jax.jit(losses.heatmap_mse)(predicted, target, counts)
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_cross_entropy_of_maps_against_scipy(rng):
    logits = rng.normal(size=(2, 3, 4, 2)) * 3
    target = rng.uniform(size=logits.shape)
    target[1, :, :, 1] = 0
    counts = np.array([[True, True], [True, False]])
    flat = lambda maps: np.moveaxis(maps, -1, 1).reshape(2, 2, 12)
    share = flat(target)
    share[1, 1] = 1
    share /= share.sum(-1, keepdims=True)
    shown = scipy.special.softmax(flat(logits), axis=-1)
    want = scipy.stats.entropy(share, axis=-1) + scipy.stats.entropy(
        share, shown, axis=-1
    )
    got = jax.jit(losses.heatmap_cross_entropy)(logits, target, counts)
    np.testing.assert_allclose(got, (want * counts).mean(1), rtol=1e-5)
    slope = jax.grad(
        lambda maps: losses.heatmap_cross_entropy(maps, target, counts).sum()
    )(jnp.asarray(logits))
    assert jnp.isfinite(slope).all() and not slope[1, :, :, 1].any()


def test_each_map_is_learned_alone():
    target = jnp.zeros((1, 2, 2, 2))
    grad = jax.grad(
        lambda p: losses.heatmap_mse(p, target, jnp.array([[True, False]])).sum()
    )(jnp.ones((1, 2, 2, 2)))
    assert (grad[..., 0] > 0).all() and (grad[..., 1] == 0).all()


def test_crowding_by_hand():
    xy = jnp.array([[[0.0, 0], [3, 4], [90, 90]], [[0, 0], [0, 0], [0, 0]]])
    got = losses.crowding(xy, reach=5.0)
    assert got == pytest.approx(np.array([2 * np.exp(-0.5) / 3, 2]))
    slope = jax.grad(lambda xy: losses.crowding(xy, reach=5.0).sum())(xy)
    assert slope[0, 0, 0] > 0 > slope[0, 1, 0]  # Downhill they part.
    assert jnp.isfinite(slope).all()

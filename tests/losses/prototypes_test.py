import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.spatial import distance
from scipy.special import log_softmax

from kpdiscovery import losses


def units(rng, *shape):
    x = rng.normal(size=shape).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize(
    'dim, form, want',
    [(32, 'squared', 0.251929), (32, 'distance', 0.217622), (2, 'squared', 2.06e-9)],
)
def test_losses_of_the_reference(dim, form, want):
    prototypes = np.eye(2, dim, dtype=np.float32)
    got = losses.prototype_assignment(prototypes[:1], prototypes, form=form)
    np.testing.assert_allclose(got, want, atol=2e-6 if dim > 2 else 2e-8)


def test_assignment_agrees_with_scipy_and_lies_in_its_range(rng):
    d, p = units(rng, 3, 5, 8), units(rng, 6, 8)
    got = losses.prototype_assignment(d, p)
    for b in range(3):
        scores = -20 * distance.cdist(d[b], p, 'sqeuclidean') / 8
        want = -log_softmax(scores, axis=-1).max(-1).mean()
        np.testing.assert_allclose(got[b], want, rtol=1e-4)
    assert ((got >= 0) & (got <= np.log(6))).all()


def test_nearest_prototype_by_hand_and_by_scipy(rng):
    d, p = np.array([[(1.0, 0), (0.6, 0.8)]]), np.eye(2)
    np.testing.assert_allclose(losses.nearest_prototype(d, p), [(0 + 0.4) / 2 / 2])
    d, p = units(rng, 2, 7, 4), units(rng, 3, 4)
    want = [distance.cdist(x, p, 'sqeuclidean').min(1).mean() / 4 for x in d]
    np.testing.assert_allclose(losses.nearest_prototype(d, p), want, rtol=1e-4)


@pytest.mark.parametrize(
    'loss', [losses.prototype_assignment, losses.nearest_prototype]
)
def test_order_and_rotation_do_not_matter(rng, loss):
    d, p = units(rng, 2, 5, 4), units(rng, 3, 4)
    want = loss(d, p)
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0].astype(np.float32)
    for other in (loss(d[:, ::-1], p), loss(d, p[::-1]), loss(d @ turn, p @ turn)):
        np.testing.assert_allclose(other, want, rtol=1e-4)
    np.testing.assert_allclose(
        jax.jit(jax.vmap(loss, (0, None)))(d, p), want, rtol=1e-4
    )


@pytest.mark.parametrize(
    'loss', [losses.prototype_assignment, losses.nearest_prototype]
)
def test_gradients(rng, loss):
    with jax.enable_x64(True):
        d, p = (jnp.asarray(units(rng, n, 4), jnp.float64) for n in (5, 3))
        check_grads(loss, (d, p), order=1, modes=['rev'])


@pytest.mark.parametrize('form', ['squared', 'distance'])
def test_gradients_are_finite_on_a_prototype(form):
    p = jnp.eye(3)
    loss = lambda d, p: losses.prototype_assignment(d, p, form=form)
    for grad in jax.grad(loss, argnums=(0, 1))(p, p):
        assert jnp.isfinite(grad).all()


def test_unknown_form_is_named():
    with pytest.raises(ValueError, match="got 'cosine'"):
        losses.prototype_assignment(jnp.ones((1, 2)), jnp.ones((1, 2)), form='cosine')


def information(first, second, counts):
    """Of the symmetric joint distribution, in numpy."""
    joint = first[counts].T.astype(np.float64) @ second[counts] / counts.sum()
    joint = (joint + joint.T) / 2
    apart = np.outer(joint.sum(1), joint.sum(0))
    return -(joint * np.log(joint / apart)).sum()


def test_mutual_information_by_numpy_and_of_what_tells_nothing(rng):
    first, second = (
        rng.dirichlet(np.full(5, 0.3), 40).astype(np.float32) for _ in '12'
    )
    second = (0.7 * first + 0.3 * second).astype(np.float32)
    counts = rng.random(40) < 0.7
    got = losses.mutual_information(first, second, jnp.asarray(counts))
    np.testing.assert_allclose(got, information(first, second, counts), rtol=1e-4)
    assert -np.log(5) < got < -0.05
    every, sure = jnp.ones(40, bool), jnp.eye(5)[jnp.arange(40) % 5]
    best = losses.mutual_information(sure, sure, every)
    np.testing.assert_allclose(best, -np.log(5), rtol=1e-5)
    for nothing in (jnp.eye(5)[jnp.zeros(40, int)], jnp.full((40, 5), 0.2)):
        told = losses.mutual_information(nothing, nothing, every)
        np.testing.assert_allclose(told, 0, atol=1e-5)
    assert losses.mutual_information(sure, sure, ~every) == 0


def test_gradient_of_mutual_information(rng):
    logits = rng.normal(size=(6, 4))
    with jax.enable_x64(True):
        told = lambda x: losses.mutual_information(
            jax.nn.softmax(x), jax.nn.softmax(x[:, ::-1] + x), jnp.ones(6, bool)
        )
        check_grads(told, (jnp.asarray(logits),), order=1, modes=['rev'])

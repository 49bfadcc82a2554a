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

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import multivariate_normal

from kpdiscovery.ops import mixtures

AXES = np.eye(2, dtype=np.float32)
EVEN = np.array([(1, 0), (0.8, 0.6), (0.6, 0.8), (0, 1)], np.float32)
LONE = np.array([(1, 0), (0.8, 0.6), (0.96, 0.28), (0.96, -0.28)], np.float32)

fit = jax.jit(mixtures.fit_mixture, static_argnames=('floor', 'about'))
systematic = jax.jit(mixtures.systematic_counts, static_argnames='n')
sample = jax.jit(mixtures.sample_mixture, static_argnames=('n', 'std'))


def units(rng, *shape):
    x = rng.normal(size=shape).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


# Soft assignment.


def test_assignment_of_the_reference():
    prototypes = np.eye(2, 32, dtype=np.float32)
    for form, want in (('squared', (0.7773, 0.2227)), ('distance', (0.80443, 0.19557))):
        got = mixtures.pseudo_probabilities(prototypes[:1], prototypes, form=form)
        np.testing.assert_allclose(got, [want], atol=1e-5)


def test_assignment_agrees_with_scipy(rng):
    d, p = units(rng, 2, 5, 6), units(rng, 4, 6)
    gap = np.linalg.norm(d[:, :, None].astype(float) - p, axis=-1)
    got = mixtures.pseudo_probabilities(d, p)
    np.testing.assert_allclose(got, softmax(-20 * gap**2 / 6, axis=-1), atol=1e-5)
    got = mixtures.pseudo_probabilities(d, p, form='distance')
    np.testing.assert_allclose(got, softmax(-gap, axis=-1), atol=1e-5)


@pytest.mark.parametrize('form', ['squared', 'distance'])
def test_gradient_is_finite_on_a_prototype(form):
    p = jnp.asarray(AXES)
    top = lambda d: mixtures.pseudo_probabilities(d, p, form=form)[0, 0]
    assert jnp.isfinite(jax.grad(top)(p)).all()


def test_unknown_form_is_named():
    with pytest.raises(ValueError, match="got 'cosine'"):
        mixtures.pseudo_probabilities(jnp.ones((1, 2)), jnp.ones((1, 2)), form='cosine')


# Weights.


def test_weights_of_even_clusters():
    got = fit(EVEN, AXES)
    np.testing.assert_array_equal(got.counts, [2, 2])
    np.testing.assert_allclose(got.variances, [0.1, 0.1], atol=1e-6)
    np.testing.assert_allclose(got.weights, [0.5, 0.5], atol=1e-6)
    np.testing.assert_array_equal(mixtures.component_counts(got.weights, 4), [2, 2])


def test_weights_of_a_lone_cluster():
    got = fit(LONE, AXES)
    np.testing.assert_array_equal(got.counts, [4, 0])
    np.testing.assert_allclose(got.variances, [0.07, 1], atol=1e-6)
    np.testing.assert_allclose(jnp.var(got.variances), 0.216225, atol=1e-6)
    np.testing.assert_allclose(got.weights, [0.844246, 0.155754], atol=1e-5)
    np.testing.assert_array_equal(mixtures.component_counts(got.weights, 4), [3, 1])
    bare = fit(LONE, AXES, floor=0.0)
    np.testing.assert_allclose(bare.weights, [0.849052, 0.150948], atol=1e-5)


def test_variance_about_the_mean():
    """Means (.9, .3) and (.3, .9): squared deviations .01 + .09, halved."""
    got = fit(EVEN, AXES, about='mean')
    np.testing.assert_allclose(got.variances, [0.05, 0.05], atol=1e-6)


def test_weights_by_a_loop_in_numpy(rng):
    d, p = units(rng, 40, 5).astype(float), units(rng, 7, 5).astype(float)
    owner = ((d[:, None] - p) ** 2).sum(-1).argmin(1)
    variance = [((d[owner == m] - p[m]) ** 2).mean() if (owner == m).any() else 1.0
                for m in range(7)]  # fmt: skip
    counts = np.bincount(owner, minlength=7)
    share = counts + 40 * (0.01 + np.var(variance))
    got = fit(d.astype(np.float32), p.astype(np.float32))
    np.testing.assert_allclose(got.counts, counts)
    np.testing.assert_allclose(got.variances, variance, rtol=1e-4)
    np.testing.assert_allclose(got.weights, share / share.sum(), rtol=1e-4)


def test_weights_do_not_depend_on_the_order_of_descriptors(rng):
    d, p = units(rng, 30, 4), units(rng, 5, 4)
    here, there = fit(d, p), fit(d[rng.permutation(30)], p)
    np.testing.assert_allclose(here.weights, there.weights, rtol=1e-5)


# Counts.


def test_remainder_goes_to_the_last():
    counts = mixtures.component_counts(jnp.array([0.3, 0.3, 0.4]), 5)
    np.testing.assert_array_equal(counts, [1, 1, 3])
    assert counts.dtype == jnp.int32


@pytest.mark.parametrize('n', [1, 7, 64])
def test_systematic_counts_are_unbiased_and_within_one(rng, n):
    weights = rng.dirichlet(np.ones(12)).astype(np.float32)
    weights[3] = 0
    weights /= weights.sum()
    keys = jax.random.split(jax.random.key(0), 4000)
    counts = np.asarray(jax.vmap(lambda key: systematic(key, weights, n))(keys))
    np.testing.assert_array_equal(counts.sum(1), n)
    assert (counts >= 0).all()
    assert (np.abs(counts - weights * n) < 1 + 1e-3).all()
    np.testing.assert_allclose(counts.mean(0), weights * n, atol=0.04)
    assert (counts[:, 3] == 0).all()


def test_systematic_counts_with_one_component():
    got = systematic(jax.random.key(0), np.ones(1, np.float32), 5)
    np.testing.assert_array_equal(got, [5])


# Samples.


def test_samples_follow_the_counts(rng):
    prototypes = units(rng, 5, 8)
    counts = np.array([3, 0, 4, 0, 2])
    got = sample(jax.random.key(0), prototypes, counts, 9)
    nearest = np.argmax(got @ prototypes.T, axis=1)
    np.testing.assert_array_equal(np.bincount(nearest, minlength=5), counts)
    np.testing.assert_allclose(np.linalg.norm(got, axis=-1), 1, rtol=1e-5)


def test_samples_are_as_wide_as_asked(rng):
    """Each channel N(0, std^2) before unit length takes one direction away."""
    prototype = np.eye(1, 6, dtype=np.float32)
    got = sample(jax.random.key(0), prototype, np.array([20_000]), 20_000, std=0.05)
    np.testing.assert_allclose(got[:, 1:].std(0), 0.05, rtol=0.03)
    np.testing.assert_allclose(got[:, 1:].mean(0), 0, atol=2e-3)
    kept = np.asarray(got[:, 1:3])
    want = multivariate_normal([0, 0], 0.05**2 * np.eye(2))
    assert (want.logpdf(kept) > want.logpdf([0.1, 0])).mean() == pytest.approx(
        1 - np.exp(-2), abs=0.02
    )


def test_samples_are_a_function_of_the_key():
    args = jnp.asarray(AXES), jnp.array([2, 2]), 4
    first, again = (sample(jax.random.key(1), *args) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert jnp.abs(first - sample(jax.random.key(2), *args)).max() > 1e-3


def test_gradients_reach_the_prototypes_that_were_drawn(rng):
    total = lambda p: (
        sample(jax.random.key(0), p, jnp.array([2, 0, 1]), 3)[:, 0]
    ).sum()
    grad = jax.grad(total)(jnp.asarray(units(rng, 3, 4)))
    assert jnp.isfinite(grad).all()
    np.testing.assert_array_equal(jnp.abs(grad).max(1) > 0, [True, False, True])


def test_vmap_over_draws_agrees_with_single_ones(rng):
    keys = jax.random.split(jax.random.key(0), 3)
    prototypes, counts = (
        units(rng, 3, 4, 5),
        np.array([(1, 1, 1, 2), (5, 0, 0, 0), (0, 0, 0, 5)]),
    )
    mapped = jax.vmap(lambda k, p, c: mixtures.sample_mixture(k, p, c, 5))
    got = mapped(keys, prototypes, counts)
    for i in range(3):
        want = mixtures.sample_mixture(keys[i], prototypes[i], counts[i], 5)
        np.testing.assert_allclose(got[i], want, atol=1e-6)

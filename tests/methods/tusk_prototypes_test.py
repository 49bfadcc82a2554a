import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kpdiscovery.methods.tusk.prototypes import Clustering, remember

KINDS = ('sliced_wasserstein', 'kmeans', 'vector_quantization')

loss = jax.jit(lambda clustering, *a: clustering.loss(*a), static_argnums=0)
slope = jax.jit(jax.grad(loss, argnums=2), static_argnums=0)
KEY = jax.random.key(0)


def clusters(rng, centres, n=60, std=0.05):
    """`n` unit vectors around each of the given directions."""
    centres = np.asarray(centres, np.float32)
    x = np.repeat(centres, n, 0) + std * rng.normal(
        size=(n * len(centres), centres.shape[1])
    )
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def train(clustering, start, cloud, count=150):
    update = optax.adam(0.05, b1=0.5)
    trained = {'prototypes': jnp.asarray(start, jnp.float32)}
    run = lambda trained, opt: clustering.steps(
        jax.random.key(0), trained, opt, cloud, count=count, update=update.update
    )
    trained, _, last = jax.jit(run)(trained, update.init(trained))
    x = np.asarray(trained['prototypes'])
    return x / np.linalg.norm(x, axis=-1, keepdims=True), last


@pytest.mark.parametrize('kind', KINDS)
def test_prototypes_find_the_clusters(rng, kind):
    cloud = clusters(rng, np.eye(3, 4))
    start = np.eye(3, 4) + 0.5 * rng.normal(size=(3, 4))
    found, last = train(Clustering(kind, projections=20), start, cloud)
    nearest = (found @ np.eye(3, 4).T).max(axis=0)
    assert (nearest > 0.95).all()
    assert last < 0.05


def test_only_sliced_wasserstein_revives_a_dead_prototype(rng):
    """One prototype between two clusters, nearest to both, and one that is nowhere near."""
    cloud, start = clusters(rng, [(1, 0, 0), (0, 1, 0)]), [(1, 1, 0), (-0.2, -0.2, 1)]
    still, _ = train(Clustering('kmeans'), start, cloud)
    between = [(0.5**0.5, 0.5**0.5, 0), np.array([-0.2, -0.2, 1]) / 1.08**0.5]
    np.testing.assert_allclose(still, between, atol=0.05)
    found, _ = train(Clustering('sliced_wasserstein', projections=20), start, cloud)
    nearest = (found @ np.eye(2, 3).T).max(axis=0)
    assert (nearest > 0.95).all()


def test_the_sum_over_ranks_is_the_mean_times_their_number(rng):
    cloud = clusters(rng, np.eye(2, 3), n=5)
    mean, total = (Clustering(projections=4, summed=summed) for summed in (False, True))
    got = loss(total, KEY, jnp.eye(2, 3), cloud)
    np.testing.assert_allclose(
        got, 10 * loss(mean, KEY, jnp.eye(2, 3), cloud), rtol=1e-5
    )


def test_counts_follow_the_preset(rng):
    """Fewer samples than prototypes: 'floor' gives what is left to the last, 'systematic'
    spreads it."""
    cloud = clusters(rng, np.eye(1, 4), n=6)
    unit = jnp.asarray(np.eye(8, 4) + 0.1, jnp.float32)
    split = lambda counts: Clustering(counts=counts)._counts(
        jax.random.key(0), unit, cloud
    )
    floor, spread = np.asarray(split('floor')), np.asarray(split('systematic'))
    assert floor.sum() == spread.sum() == 6
    assert floor[-1] > spread[-1] + 1 and (spread > 0).sum() > (floor > 0).sum()


def test_length_of_prototypes_does_not_matter(rng):
    cloud, p = clusters(rng, np.eye(2, 3)), jnp.asarray(rng.normal(size=(2, 3)))
    for kind in KINDS:
        clustering = Clustering(kind, projections=3)
        here, there = (loss(clustering, KEY, x, cloud) for x in (p, 5 * p))
        np.testing.assert_allclose(here, there, rtol=1e-4)


def test_descriptors_of_any_order_give_the_same_loss(rng):
    cloud, p = clusters(rng, np.eye(2, 3)), jnp.eye(2, 3)
    clustering = Clustering(projections=3)
    here, there = (loss(clustering, KEY, p, c) for c in (cloud, cloud[::-1]))
    np.testing.assert_allclose(here, there, rtol=1e-4)


@pytest.mark.parametrize('kind', KINDS)
def test_gradients_are_finite_where_descriptors_collapse(kind):
    cloud = jnp.tile(jnp.eye(1, 3), (6, 1))
    for p in (jnp.eye(2, 3), jnp.tile(jnp.eye(1, 3), (2, 1))):
        assert jnp.isfinite(slope(Clustering(kind, projections=3), KEY, p, cloud)).all()


def test_unknown_kinds_are_named():
    with pytest.raises(ValueError, match="clustering must be one of .* got 'dbscan'"):
        Clustering('dbscan')


def test_memory_keeps_the_newest():
    old, new = jnp.array([(1.0,), (2,), (3,)]), jnp.array([(8.0,), (9,)])
    np.testing.assert_array_equal(remember(old, new)[:, 0], [8, 9, 1])
    np.testing.assert_array_equal(remember(old[:1], new)[:, 0], [8, 9])
    np.testing.assert_array_equal(remember(old[:0], new)[:, 0], [8, 9])

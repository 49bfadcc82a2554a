import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.ops.matching import cosine_matches

match = jax.jit(cosine_matches, static_argnames=('count', 'threshold'))


def cells(n, channels=6, seed=0):
    z = 3 * np.random.default_rng(seed).normal(size=(n, channels))
    return (np.exp(z) / np.exp(z).sum(1, keepdims=True)).astype(np.float32)


def oracle(a, b, threshold, valid_a, valid_b):
    """Pairs above the threshold, best first, in float64."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    a, b = (v / v.max(0) for v in (a, b))
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
    cosines = a @ b.T
    cosines[~valid_a] = cosines[:, ~valid_b] = -1
    pairs = np.argwhere(cosines > threshold)
    score = cosines[tuple(pairs.T)]
    order = np.argsort(-score, kind='stable')
    return pairs[order], score[order]


def test_by_hand():
    """Channel maxima are 2 and 1, so (2, 0) and (1, 1) become (1, 0) and (.5, 1)."""
    a = jnp.array([[2.0, 0], [1, 1]])
    got = match(a, jnp.array([[0.0, 5]]), count=3)
    np.testing.assert_allclose(got.score, [1 / np.sqrt(1.25), 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(got.valid, [True, False, False])
    assert (int(got.source_index[0]), int(got.target_index[0])) == (1, 0)
    np.testing.assert_array_equal(got.source_index[1:], 0)


@pytest.mark.parametrize('count', [5, 40, 200])
def test_agrees_with_float64(count, rng):
    a, b = cells(12), cells(9, seed=1)
    valid_a, valid_b = rng.random(12) < 0.8, rng.random(9) < 0.8
    got = match(a, b, count=count, valid_a=valid_a, valid_b=valid_b)
    pairs, score = oracle(a, b, 0.6, valid_a, valid_b)
    n = min(count, len(score))
    assert 5 < len(score) < 200 and int(got.valid.sum()) == n and got.valid[:n].all()
    np.testing.assert_allclose(got.score[:n], score[:n], atol=1e-6)
    np.testing.assert_array_equal(got.source_index[:n], pairs[:n, 0])
    np.testing.assert_array_equal(got.target_index[:n], pairs[:n, 1])


def test_broken_cells_do_not_count_and_a_batch():
    a, b = cells(8), cells(8, seed=1)
    a[3, 2] = np.nan
    batch = jax.jit(jax.vmap(lambda a, b: cosine_matches(a, b, count=30)))
    got = batch(jnp.stack([a, b]), jnp.stack([b, b]))
    assert not (np.asarray(got.source_index[0])[got.valid[0]] == 3).any()
    assert got.valid[0].any() and np.isfinite(got.score).all()
    np.testing.assert_allclose(got.score[1, :8], 1, rtol=1e-6)  # Each cell itself.


def test_no_matches():
    apart = match(jnp.eye(4)[:2], jnp.eye(4)[2:], count=3)
    assert not apart.valid.any() and not apart.score.any()
    zero = match(jnp.zeros((2, 3)), jnp.zeros((2, 3)), count=3)
    assert not zero.valid.any()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'b': jnp.ones((3, 5))}, r'b \[Q, C\]'),
        ({'count': 0}, 'count'),
        ({'valid_a': jnp.ones(2, bool)}, 'valid_a'),
        ({'valid_b': jnp.ones(2, bool)}, 'valid_b'),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        cosine_matches(
            **{'a': jnp.ones((4, 2)), 'b': jnp.ones((3, 2)), 'count': 2} | change
        )

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from scipy.special import logsumexp

from kpdiscovery.ops import vmf as module
from kpdiscovery.ops.vmf import fit_vmf

KEY = jax.random.key(0)
STATIC = ('k', 'kappa', 'iterations', 'tolerance', 'block', 'axis_name')
fit = jax.jit(fit_vmf, static_argnames=STATIC)
fit_from_keyword = jax.jit(
    functools.partial(fit_vmf, init='k++'), static_argnames=STATIC
)

# Section 7 of the reference.
ROWS = jnp.array([[1.0, 0], [0.8, 0.6], [0, 1]])
AXES = jnp.eye(2)


def rays(n=600, k=5, d=8, noise=0.15, seed=0):
    """Unit vectors about k directions, and whose each is."""
    rng = np.random.default_rng(seed)
    unit = lambda v: v / np.linalg.norm(v, axis=1, keepdims=True)
    centres = unit(rng.normal(size=(k, d)))
    owner = rng.integers(k, size=n)
    return unit(centres[owner] + noise * rng.normal(size=(n, d))).astype(
        np.float32
    ), owner


def oracle(x, directions, kappa, iterations, weights=None):
    """The same in float64, with all probabilities at once."""
    x, mu = x.astype(np.float64), directions.astype(np.float64)
    w = np.ones(len(x)) if weights is None else weights.astype(np.float64)
    pi = np.full(len(mu), 1 / len(mu))
    for i in range(iterations + 1):
        logits = kappa * x @ mu.T + np.log(pi)
        likelihood = logsumexp(logits, axis=1)
        if i == iterations:
            return mu, pi, np.average(likelihood, weights=w)
        share = np.exp(logits - likelihood[:, None]) * w[:, None]
        pi = share.sum(0) / w.sum()
        mu = share.T @ x
        mu /= np.linalg.norm(mu, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ('kappa', 'likelihood', 'mixture', 'directions'),
    [
        (30.0, 27.307678, (0.665842, 0.334158),
         [(0.948813, 0.315836), (0.001975, 0.999997)]),
        (2.0, 1.429143, (0.532896, 0.467104),
         [(0.943314, 0.331897), (0.365386, 0.930855)]),
    ],
)  # fmt: skip
def test_vectors_of_the_reference(kappa, likelihood, mixture, directions):
    start = fit(KEY, ROWS, 2, kappa=kappa, init=AXES, iterations=0)
    np.testing.assert_allclose(start.log_likelihood, likelihood, rtol=1e-6)
    one = fit(KEY, ROWS, 2, kappa=kappa, init=AXES, iterations=1)
    np.testing.assert_allclose(one.mixture, mixture, atol=2e-6)
    np.testing.assert_allclose(one.directions, directions, atol=2e-6)
    assert int(start.iterations) == 0 and int(one.iterations) == 1


@pytest.mark.parametrize('block', [64, 1000, 7])
def test_matches_float64(block):
    x, _ = rays()
    weights = np.random.default_rng(1).uniform(0.1, 2, len(x)).astype(np.float32)
    got = fit(
        KEY,
        x,
        9,
        weights=weights,
        init=x[:9],
        iterations=12,
        tolerance=-1.0,
        block=block,
    )
    directions, mixture, likelihood = oracle(x, x[:9], 30.0, 12, weights)
    np.testing.assert_allclose(got.directions, directions, atol=2e-4)
    np.testing.assert_allclose(got.mixture, mixture, atol=1e-4)
    np.testing.assert_allclose(got.log_likelihood, likelihood, atol=1e-4)
    assert int(got.iterations) == 12


def test_it_stops_when_nothing_is_gained_and_finds_the_rays():
    x, owner = rays(noise=0.1)
    got = fit(KEY, x, 5)
    assert 1 < int(got.iterations) < 60
    before = fit(KEY, x, 5, iterations=int(got.iterations) - 1, tolerance=-1.0)
    gain = float(got.log_likelihood - before.log_likelihood)
    assert -1e-5 < gain < 5e-5
    nearest = np.asarray(x @ got.directions.T).argmax(1)
    assert len({(int(a), int(b)) for a, b in zip(nearest, owner, strict=True)}) == 5
    np.testing.assert_allclose(got.mixture, np.bincount(nearest) / len(x), atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(got.directions, axis=1), 1, atol=1e-6)


def test_likelihood_never_falls():
    x, _ = rays(noise=0.5)
    run = functools.partial(fit, KEY, x, 6, kappa=10.0, init=x[:6], tolerance=-1.0)
    seen = [float(run(iterations=n).log_likelihood) for n in (0, 1, 3, 9)]
    assert all(b > a - 1e-5 for a, b in itertools.pairwise(seen))


def test_a_key_decides_and_starts_are_spread():
    """Each of five tight rays gets a start; by chance alone that is rare (5!/5^5)."""
    x, owner = rays(n=100, noise=0.002)
    for seed in range(5):
        got = fit(jax.random.key(seed), x, 5, iterations=0)
        assert len(set(owner[(x @ got.directions.T).argmax(0)])) == 5
        assert (np.asarray(got.mixture) > 0).all()
        np.testing.assert_allclose(got.mixture.sum(), 1, rtol=1e-5)
    again = fit_from_keyword(jax.random.key(4), x, 5, iterations=0)
    np.testing.assert_array_equal(again.directions, got.directions)


def test_rows_without_weight_and_broken_rows_do_not_count():
    x, _ = rays()
    bad = np.concatenate([x, np.full((3, 8), np.nan), np.full((5, 8), 1e3)])
    bad = bad.astype(np.float32)
    weights = np.r_[np.ones(len(x) + 3), np.zeros(5)].astype(np.float32)
    got = fit(KEY, bad, 5, weights=weights, init=x[:5], iterations=8, block=50)
    want = fit(KEY, x, 5, init=x[:5], iterations=8)
    np.testing.assert_allclose(got.directions, want.directions, atol=1e-5)
    np.testing.assert_allclose(got.log_likelihood, want.log_likelihood, atol=1e-5)
    starts = fit(KEY, bad, 50, weights=weights, iterations=0).directions
    assert np.abs(starts @ x.T).max(1).min() > 0.999  # Rows that count, all of them.


def test_the_start_takes_a_sample_of_many_rows(monkeypatch):
    monkeypatch.setattr(module, '_START_ROWS', 40)
    x, _ = rays(n=200)
    weights = np.ones(200, np.float32)
    weights[:150] = 0
    rows, kept = module._some_rows(KEY, x, weights, None)
    assert len(rows) == 40 and float(kept.sum()) == 40
    assert {r.tobytes() for r in np.asarray(rows)} <= {r.tobytes() for r in x[150:]}
    weights[20:] = 0
    weights[:20] = 2
    _, few = module._some_rows(KEY, x, weights, None)
    assert float(few.sum()) == 40 and int((few > 0).sum()) == 20  # All that count.


def test_degenerate_data_stays_finite():
    finite = lambda got: all(np.isfinite(leaf).all() for leaf in got)
    same = fit(KEY, jnp.tile(jnp.array([[0.6, 0.8]]), (6, 1)), 4)
    np.testing.assert_allclose(same.directions, [[0.6, 0.8]] * 4, atol=1e-6)
    none = fit(KEY, jnp.full((4, 2), jnp.nan), 2, init=AXES)
    np.testing.assert_allclose(none.directions, AXES)  # Nothing pulls.
    np.testing.assert_allclose(none.mixture, 0.5)
    assert finite(same) and finite(none) and finite(fit(KEY, jnp.zeros((4, 2)), 3))
    opposite = fit(KEY, jnp.array([[1.0, 0], [-1, 0]]), 1, init=AXES[1:])
    np.testing.assert_allclose(opposite.directions, [[0, 1]], atol=1e-6)  # Cancel out.


@pytest.mark.parametrize(('warm', 'start_rows'), [(True, 0), (False, 300)])
def test_eight_devices_give_the_result_of_one(monkeypatch, warm, start_rows):
    monkeypatch.setattr(module, '_START_ROWS', start_rows)
    x, _ = rays(n=640)
    x[-3:] = np.nan
    options = {'iterations': 10, 'block': 32, 'init': x[:7] if warm else None}
    one = jax.jit(functools.partial(fit_vmf, k=7, **options))(KEY, x)
    mesh = jax.make_mesh((8,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
    run = functools.partial(fit_vmf, k=7, axis_name='data', **options)
    with jax.set_mesh(mesh):
        split = jax.shard_map(run, in_specs=(P(), P('data')), out_specs=P())
        eight = jax.jit(split)(KEY, x)
    for got, want in zip(eight, one, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_probabilities_are_never_all_stored():
    n, k = 20_000, 100
    x = jax.ShapeDtypeStruct((n, 16), jnp.float32)
    run = jax.jit(functools.partial(fit_vmf, k=k, iterations=3, block=256))
    used = run.lower(KEY, x).compile().memory_analysis().temp_size_in_bytes
    assert used < 4 * n * k / 2  # Of 8 MB for the probabilities alone; the rows: 1.3.


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'x': jnp.zeros((0, 3))}, 'at least one row'),
        ({'x': jnp.zeros(3)}, r'\[N, D\]'),
        ({'k': 0}, 'k >= 1'),
        ({'kappa': -1.0}, 'kappa >= 0'),
        ({'weights': jnp.ones(3)}, 'weights must be'),
        ({'init': jnp.ones((2, 5))}, 'init must be'),
        ({'init': 'random'}, "'k\\+\\+'.*'random'"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        fit_vmf(**{'key': KEY, 'x': jnp.zeros((4, 3)), 'k': 2} | change)

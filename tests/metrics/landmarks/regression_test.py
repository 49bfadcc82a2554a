import numpy as np
import optax
import pytest
from sklearn.linear_model import LinearRegression, Ridge

from kpdiscovery import metrics


def linear_data(n=400, f=6, t=3, seed=0):
    rng = np.random.default_rng(seed)
    x, weights = rng.uniform(size=(n, f)), rng.uniform(-0.5, 0.5, (f, 2 * t))
    return x, (x @ weights).reshape(n, t, 2), weights


def test_ridge_matches_sklearn():
    x, y, _ = linear_data()
    y = y + np.random.default_rng(1).normal(0, 0.1, y.shape)
    visible = np.random.default_rng(2).uniform(size=y.shape[:2]) < 0.7
    got = metrics.fit_ridge(x, y, penalty=2.0).weights
    oracle = Ridge(alpha=2.0, fit_intercept=False)
    np.testing.assert_allclose(
        got, oracle.fit(x, y.reshape(400, -1)).coef_.T, atol=1e-9
    )
    hidden = np.where(visible[..., None], y, np.nan)
    got = metrics.fit_ridge(x, hidden, visible, penalty=2.0).weights
    for i in range(3):
        want = oracle.fit(x[visible[:, i]], y[visible[:, i], i]).coef_.T
        np.testing.assert_allclose(got[:, 2 * i : 2 * i + 2], want, atol=1e-9)


def test_adam_finds_the_map():
    x, y, weights = linear_data()
    got = metrics.fit_linear(x, y, steps=2_400).weights
    np.testing.assert_allclose(got, weights, atol=2e-3)
    assert got.dtype == np.float64


def test_adam_matches_a_plain_loop():
    x, y, _ = linear_data(n=10, f=2, t=1)
    got = metrics.fit_linear(x, y, steps=5, batch_size=4, seed=5).weights
    rng = np.random.default_rng(5)
    w = (rng.uniform(-1, 1, (2, 2)) / np.sqrt(2)).astype(np.float32)
    optimizer = optax.adam(1e-2)
    state = optimizer.init(w)
    orders = [rng.permutation(10) for _ in range(3)]
    batches = [rows for order in orders for rows in (order[:4], order[4:8])]
    for i in batches[:5]:
        gradient = 2 * x[i].T @ (x[i] @ w - y[i, 0]) / 8
        update, state = optimizer.update(gradient.astype(np.float32), state)
        w = w + np.asarray(update)
    np.testing.assert_allclose(got, w, atol=1e-5)


def test_adam_is_deterministic_and_ignores_what_is_hidden():
    x, y, _ = linear_data(n=100)
    visible = np.random.default_rng(1).uniform(size=y.shape[:2]) < 0.5
    hidden = np.where(visible[..., None], y, np.nan)
    fit = lambda *args, **options: metrics.fit_linear(x, *args, **options).weights
    got = fit(hidden, visible)
    np.testing.assert_array_equal(fit(hidden, visible), got)
    garbage = np.where(visible[..., None], y, 99)
    np.testing.assert_array_equal(fit(garbage, visible), got)
    assert np.isfinite(fit(hidden, np.zeros_like(visible))).all()
    assert not np.array_equal(fit(hidden, visible, seed=1), got)


@pytest.mark.parametrize('penalty', [0, 2.0])
def test_bias_matches_sklearn(penalty):
    x, y, _ = linear_data()
    y = y + 5 + np.random.default_rng(1).normal(0, 0.1, y.shape)
    got = metrics.fit_ridge(x, y, penalty=penalty, bias=True)
    oracle = Ridge(alpha=penalty) if penalty else LinearRegression()
    oracle.fit(x, y.reshape(400, -1))
    np.testing.assert_allclose(got.weights, oracle.coef_.T, atol=1e-9)
    np.testing.assert_allclose(got.offset, oracle.intercept_, atol=1e-9)
    want = oracle.predict(x).reshape(400, 3, 2)
    np.testing.assert_allclose(got(x), want, atol=1e-9)


def test_relative_penalty_is_in_largest_entries_of_the_gram_matrix():
    x, y, _ = linear_data()
    largest = (x.T @ x).max()
    got = metrics.fit_ridge(x, y, penalty=0.1, relative=True)
    want = metrics.fit_ridge(x, y, penalty=0.1 * largest)
    np.testing.assert_allclose(got.weights, want.weights, atol=1e-12)
    scaled = metrics.fit_ridge(7 * x, 7 * y, penalty=0.1, relative=True)
    np.testing.assert_allclose(scaled.weights, want.weights, atol=1e-12)


def test_ridge_where_nothing_can_be_learnt():
    one = metrics.fit_ridge(np.ones((1, 4)), np.full((1, 2, 2), 3.0), bias=True)
    np.testing.assert_array_equal(one(np.zeros((5, 4))), np.full((5, 2, 2), 3))
    same = np.tile([1.0, 2.0], (6, 1))  # Identical features: the mean.
    y = np.arange(24.0).reshape(6, 2, 2)
    got = metrics.fit_ridge(same, y, penalty=0.1, relative=True, bias=True)
    np.testing.assert_allclose(got(same), np.tile(y.mean(axis=0), (6, 1, 1)))
    unseen = np.array([[True, False]] * 6)
    got = metrics.fit_ridge(same, y, unseen, penalty=0, bias=True)(same)
    np.testing.assert_allclose(got[:, 0], np.tile(y[:, 0].mean(axis=0), (6, 1)))
    assert not got[:, 1].any()


@pytest.mark.parametrize(
    'x, y, visible',
    [
        ((4,), (4, 3, 2), (4, 3)),
        ((4, 5), (4, 3), (4, 3)),
        ((4, 5), (4, 3, 2), (4, 2)),
        ((4, 5), (5, 3, 2), (5, 3)),
        ((4, 5), (4, 3, 2), (1, 3)),
        ((0, 5), (0, 3, 2), (0, 3)),
        ((4, 0), (4, 3, 2), (4, 3)),
    ],
)
def test_bad_shapes(x, y, visible):
    for fit in (metrics.fit_linear, metrics.fit_ridge):
        with pytest.raises(ValueError, match='wanted'):
            fit(np.zeros(x), np.zeros(y), np.zeros(visible))


def test_bad_options():
    x, y, _ = linear_data(n=8)
    with pytest.raises(ValueError, match='penalty must be >= 0, got -1'):
        metrics.fit_ridge(x, y, penalty=-1)
    with pytest.raises(ValueError, match=r'\[L, 6\] as in the fit, got \(8, 5\)'):
        metrics.fit_ridge(x, y)(x[:, :5])

import functools

import numpy as np
import optax
import pytest
from sklearn.linear_model import Ridge

from kpdiscovery import metrics


def linear_data(n=400, f=6, t=3, seed=0):
    rng = np.random.default_rng(seed)
    x, weights = rng.uniform(size=(n, f)), rng.uniform(-0.5, 0.5, (f, 2 * t))
    return x, (x @ weights).reshape(n, t, 2), weights


def test_ridge_matches_sklearn():
    x, y, _ = linear_data()
    y = y + np.random.default_rng(1).normal(0, 0.1, y.shape)
    visible = np.random.default_rng(2).uniform(size=y.shape[:2]) < 0.7
    got = metrics.fit_ridge(x, y, penalty=2.0)
    oracle = Ridge(alpha=2.0, fit_intercept=False)
    np.testing.assert_allclose(
        got, oracle.fit(x, y.reshape(400, -1)).coef_.T, atol=1e-9
    )
    hidden = np.where(visible[..., None], y, np.nan)
    got = metrics.fit_ridge(x, hidden, visible, penalty=2.0)
    for i in range(3):
        want = oracle.fit(x[visible[:, i]], y[visible[:, i], i]).coef_.T
        np.testing.assert_allclose(got[:, 2 * i : 2 * i + 2], want, atol=1e-9)


def test_adam_finds_the_map():
    x, y, weights = linear_data()
    got = metrics.fit_linear(x, y, epochs=400)
    np.testing.assert_allclose(got, weights, atol=2e-3)
    assert got.dtype == np.float64


def test_adam_matches_a_plain_loop():
    x, y, _ = linear_data(n=10, f=2, t=1)
    got = metrics.fit_linear(x, y, epochs=3, batch_size=4, seed=5)
    rng = np.random.default_rng(5)
    w = (rng.uniform(-1, 1, (2, 2)) / np.sqrt(2)).astype(np.float32)
    optimizer = optax.adam(1e-2)
    state = optimizer.init(w)
    for order in [rng.permutation(10) for _ in range(3)]:
        for i in (order[:4], order[4:8]):
            gradient = 2 * x[i].T @ (x[i] @ w - y[i, 0]) / 8
            update, state = optimizer.update(gradient.astype(np.float32), state)
            w = w + np.asarray(update)
    np.testing.assert_allclose(got, w, atol=1e-5)


def test_adam_is_deterministic_and_ignores_what_is_hidden():
    x, y, _ = linear_data(n=100)
    visible = np.random.default_rng(1).uniform(size=y.shape[:2]) < 0.5
    hidden = np.where(visible[..., None], y, np.nan)
    got = metrics.fit_linear(x, hidden, visible)
    np.testing.assert_array_equal(metrics.fit_linear(x, hidden, visible), got)
    garbage = np.where(visible[..., None], y, 99)
    np.testing.assert_array_equal(metrics.fit_linear(x, garbage, visible), got)
    assert np.isfinite(metrics.fit_linear(x, hidden, np.zeros_like(visible))).all()
    assert not np.array_equal(metrics.fit_linear(x, hidden, visible, seed=1), got)


def test_forward_nme_by_hand():
    ones, target = np.ones((2, 1)), np.zeros((2, 2, 2))
    truth = np.array([[[0.3, 0.4], [0, 0]], [[0.0, 0.1], [7, 7]]])
    visible = np.array([[True, True], [True, False]])
    zeros = functools.partial(metrics.fit_ridge, penalty=1.0)
    measure = functools.partial(metrics.forward_nme, ones, target, ones, truth)
    got = measure(2.0, test_visible=visible, regressor=zeros)
    assert got == pytest.approx(100 * (0.25 + 0 + 0.05) / 3)
    # Pixels: 3 and 8 of a picture 10 wide and 20 high, eyes 5 px and 1 px apart.
    options = {'test_visible': visible, 'regressor': zeros, 'extent': (10, 20)}
    want = 100 * (np.hypot(3, 8) / 5 + 0 + 2 / 1) / 3
    assert measure(np.array([5.0, 1.0]), **options) == pytest.approx(want)


def test_forward_nme_of_a_linear_world_is_zero():
    x, y, _ = linear_data()
    exact = functools.partial(metrics.fit_ridge, penalty=1e-9)
    got = metrics.forward_nme(x[:300], y[:300], x[300:], y[300:], 1, regressor=exact)
    assert got < 1e-6
    adam = metrics.forward_nme(x[:300], y[:300], x[300:], y[300:], 1)
    assert 0 < adam < 100


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
    with pytest.raises(ValueError, match='penalty'):
        metrics.fit_ridge(x, y, penalty=0)
    with pytest.raises(ValueError, match='normalizer > 0'):
        metrics.forward_nme(x, y, x, y, 0.0)
    with pytest.raises(ValueError, match='visible'):
        metrics.forward_nme(x, y, x, y, 1.0, test_visible=np.zeros((8, 3)))
    with pytest.raises(ValueError, match=r'map \(6, 6\)'):
        metrics.forward_nme(x, y, x[:, :5], y, 1.0)

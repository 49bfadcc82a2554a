import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from kpdiscovery.ops import whitening


def cloud(n=500, d=6, seed=0):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d)) * np.geomspace(0.05, 2, d)
    return (rng.normal(size=(n, d)) @ mix + rng.normal(size=d)).astype(np.float32)


def test_moments():
    x = cloud()
    got = whitening.moments(x)
    np.testing.assert_allclose(got.mean, x.mean(0), atol=1e-5)
    np.testing.assert_allclose(got.covariance, np.cov(x.T, bias=True), atol=1e-4)


def test_inverse_root_matches_scipy():
    for low in (1.0, 1e-2, 1e-4):
        rng = np.random.default_rng(1)
        axes, _ = np.linalg.qr(rng.normal(size=(16, 16)))
        a = (axes * np.geomspace(low, 1, 16)) @ axes.T
        want = np.linalg.inv(scipy.linalg.sqrtm(a).real)
        got = whitening.inverse_root(jnp.asarray(a, jnp.float32))
        np.testing.assert_allclose(got, want, atol=2e-3 * low**-0.5)


def test_whitened_rows_have_unit_covariance_and_keep_their_axes():
    x = cloud()
    got = whitening.whiten(x[None], whitening.moments(x), ridge=0)[0]
    np.testing.assert_allclose(got.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(got.T, bias=True), np.eye(6), atol=1e-2)
    across = np.corrcoef(got.T, x.T)[:6, 6:]
    assert (np.diag(across) > 0).all()
    np.testing.assert_allclose(across * x.std(0), (across * x.std(0)).T, atol=2e-2)


def test_directions_without_variance_stay_small():
    x = np.concatenate([cloud(d=3), np.zeros((500, 2), np.float32)], axis=1)
    got = whitening.whiten(x, whitening.moments(x))
    assert np.isfinite(got).all()
    np.testing.assert_allclose(got[:, 3:], 0, atol=1e-4)
    same = whitening.whiten(jnp.ones((4, 3)), whitening.moments(jnp.ones((4, 3))))
    np.testing.assert_allclose(same, 0, atol=1e-3)


def test_devices_share_their_moments():
    x = cloud(n=64)
    split = x.reshape(8, 8, 6)
    got = jax.pmap(lambda x: whitening.moments(x, axis_name='i'), axis_name='i')(split)
    want = whitening.moments(x)
    np.testing.assert_allclose(got.covariance[3], want.covariance, atol=1e-5)

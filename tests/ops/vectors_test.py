import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import distance

from kpdiscovery.ops import vectors


def test_rows_get_unit_length(rng):
    x = rng.normal(size=(2, 5, 3)).astype(np.float32)
    want = x / np.linalg.norm(x, axis=-1, keepdims=True)
    np.testing.assert_allclose(vectors.normalize(x), want, rtol=1e-6)
    np.testing.assert_allclose(vectors.normalize(np.array([3.0, -4])), [0.6, -0.8])


def test_short_vectors_stay_short():
    """As torch's normalize does: x / max(||x||, eps)."""
    x = jnp.array([[0.0, 0], [3e-14, 4e-14], [3e-3, 4e-3]])
    want = [(0, 0), (3e-2, 4e-2), (0.6, 0.8)]
    np.testing.assert_allclose(vectors.normalize(x), want, rtol=1e-5)


def test_gradient_of_normalize_is_finite_and_radially_zero():
    first = lambda x: vectors.normalize(x)[0]
    assert jnp.isfinite(jax.grad(first)(jnp.zeros(3))).all()
    np.testing.assert_allclose(jax.grad(first)(jnp.array([2.0, 0])), [0, 0], atol=1e-7)
    np.testing.assert_allclose(
        jax.grad(first)(jnp.array([0.0, 2])), [0.5, 0], atol=1e-7
    )


def test_distances_agree_with_scipy(rng):
    x, y = rng.normal(size=(2, 6, 4)), rng.normal(size=(3, 4))
    got = vectors.squared_distances(x.astype(np.float32), y.astype(np.float32))
    for b in range(2):
        want = distance.cdist(x[b], y, 'sqeuclidean')
        np.testing.assert_allclose(got[b], want, rtol=1e-4)


def test_distances_are_never_negative(rng):
    x = 100 * rng.normal(size=(50, 8)).astype(np.float32)
    assert (vectors.squared_distances(x, x) >= 0).all()


def test_jit_and_vmap(rng):
    x, y = rng.normal(size=(2, 2, 6, 4)).astype(np.float32)
    got = jax.jit(jax.vmap(vectors.squared_distances))(x, y)
    want = [vectors.squared_distances(a, b) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(got, np.stack(want), rtol=1e-4)

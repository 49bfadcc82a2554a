import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery import losses


def test_equal_logits_cost_log_65():
    logits, labels = jnp.zeros((2, 3, 4, 65)), jnp.zeros((2, 3, 4), jnp.int32)
    got = losses.cell_cross_entropy(logits, labels, jnp.ones((2, 3, 4), bool))
    np.testing.assert_allclose(got, np.full(2, 4.1743873), atol=1e-6)


def test_only_cells_that_count():
    logits = jnp.zeros((1, 1, 2, 65)).at[0, 0, 1, 7].set(50.0)
    labels = jnp.array([[[3, 7]]])
    cost = lambda *valid: losses.cell_cross_entropy(
        logits, labels, jnp.array([[valid]])
    )[0]
    assert cost(True, False) == pytest.approx(np.log(65), abs=1e-5)
    assert cost(False, True) == pytest.approx(0, abs=1e-5)
    assert cost(True, True) == pytest.approx(np.log(65) / 2, abs=1e-5)
    assert cost(False, False) == 0


def test_hinge_against_numpy(rng):
    a, b = (rng.normal(size=(2, n, 6)) for n in (5, 4))
    same, valid = rng.random((2, 5, 4)) < 0.3, rng.random((2, 4)) < 0.7
    got = losses.descriptor_hinge(
        *(jnp.asarray(x, jnp.float32) for x in (a, b)), jnp.asarray(same),
        jnp.asarray(valid), positive_weight=0.5,
    )  # fmt: skip
    unit = lambda x, axis: x / np.linalg.norm(x, axis=axis, keepdims=True)
    for row in range(2):
        dot = np.maximum(unit(a[row], 1) @ unit(b[row], 1).T, 0)
        dot = unit(unit(dot + 1e-30, 1), 0)
        each = np.where(
            same[row], 0.5 * np.maximum(1 - dot, 0), np.maximum(dot - 0.2, 0)
        )
        want = each[:, valid[row]].sum() / (5 * valid[row].sum())
        assert got[row] == pytest.approx(want, abs=1e-5)


def test_hinge_by_hand():
    # Two cells in each picture, each like its partner only: nothing to pay but for ...
    a = jnp.eye(2)[None]
    same, valid = jnp.eye(2, dtype=bool)[None], jnp.ones((1, 2), bool)
    assert losses.descriptor_hinge(a, a, same, valid)[0] == 0
    swapped = losses.descriptor_hinge(a, a[:, ::-1], same, valid)[0]
    assert swapped == pytest.approx((2 * 0.05 * 1 + 2 * 0.8) / 4)


@pytest.mark.parametrize('scale', [0.0, 1.0])
def test_gradients_are_finite(rng, scale):
    a, b = (scale * jnp.asarray(rng.normal(size=(1, 4, 3)), jnp.float32) for _ in 'ab')
    same, valid = jnp.eye(4, dtype=bool)[None], jnp.zeros((1, 4), bool)
    for there in (valid, ~valid):
        total = lambda x, there=there: losses.descriptor_hinge(x, b, same, there).sum()
        assert np.isfinite(jax.grad(total)(a)).all()

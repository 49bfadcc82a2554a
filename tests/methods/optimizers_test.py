import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kpdiscovery.methods import optimizers


def walk(config, steps, gradients):
    """Parameters after each update, from 0."""
    update = optimizers.build(config, steps)
    x, state, path = jnp.zeros(2), None, []
    state = update.init(x)
    for gradient in gradients:
        change, state = update.update(jnp.asarray(gradient), state, x)
        x = optax.apply_updates(x, change)
        path.append(np.asarray(x))
    return np.stack(path)


def test_sgd_by_hand():
    path = walk({'name': 'sgd', 'lr': 0.5}, 9, [(1.0, 2), (1.0, 0)])
    np.testing.assert_allclose(path, [(-0.5, -1), (-1, -1)])


def test_adagrad_with_torchs_decay():
    """The reference's step factors 1, .909091, .833333, .769231, over roots of sums."""
    config = {'name': 'adagrad', 'lr': 0.5, 'decay': 'inverse', 'share': 0.1}
    path = walk(config, 9, [(3.0, -0.2)] * 4)
    rate = 0.5 * np.array([1, 0.909091, 0.833333, 0.769231])
    want = np.cumsum(rate / np.sqrt([1, 2, 3, 4]))
    np.testing.assert_allclose(path, np.stack([-want, want], axis=1), rtol=1e-5)


def test_adam_by_its_formula(rng):
    gradients = rng.normal(size=(4, 2))
    m = v = x = np.zeros(2)
    want = []
    for t, g in enumerate(gradients, 1):
        m, v = 0.5 * m + 0.5 * g, 0.999 * v + 0.001 * g**2
        x = x - 0.1 * (m / (1 - 0.5**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        want.append(x)
    config = {'name': 'adam', 'lr': 0.1, 'b1': 0.5}
    np.testing.assert_allclose(walk(config, 9, gradients), want, rtol=1e-4)


@pytest.mark.parametrize(
    'options, want',
    [
        ({}, [1, 1, 1, 1, 1, 1]),
        ({'decay': 'linear'}, [1, 0.75, 0.5, 0.25, 0, 0]),
        ({'decay': 'cosine'}, [1, 0.853553, 0.5, 0.146447, 0, 0]),
        ({'warmup': 2}, [0, 0.5, 1, 1, 1, 1]),
        ({'warmup': 2, 'decay': 'linear'}, [0, 0.5, 1, 0.5, 0, 0]),
    ],
)
def test_learning_rates_by_hand(options, want):
    path = walk({'name': 'sgd', 'lr': 1.0, **options}, 4, [(-1.0, 0)] * 6)
    np.testing.assert_allclose(np.diff(path[:, 0], prepend=0), want, atol=1e-6)


def test_clipping_by_global_norm():
    path = walk({'name': 'sgd', 'lr': 1.0, 'clip': 1.0}, 9, [(3.0, 4), (0.3, 0.4)])
    np.testing.assert_allclose(path, [(-0.6, -0.8), (-0.9, -1.2)], rtol=1e-5)


def test_unknown_names_are_named():
    with pytest.raises(ValueError, match="one of .*'adam'.* got 'lion'"):
        optimizers.build({'name': 'lion', 'lr': 1.0}, 5)
    with pytest.raises(ValueError, match="one of .*'cosine'.* got 'steps'"):
        optimizers.build({'name': 'adam', 'lr': 1.0, 'decay': 'steps'}, 5)


def test_updates_can_be_compiled():
    update = optimizers.build({'name': 'adamw', 'lr': 0.1, 'warmup': 1}, 5)
    state = update.init(jnp.ones(2))
    change, _ = jax.jit(update.update)(jnp.zeros(2), state, jnp.ones(2))
    assert jnp.isfinite(change).all()


def test_rmsprop_as_torch_has_it(rng):
    """Epsilon beside the root, the penalty's gradient inside the average."""
    gradients = rng.normal(size=(4, 2))
    v = x = np.zeros(2)
    want = []
    for g in gradients:
        g = g + 0.1 * x
        v = 0.99 * v + 0.01 * g**2
        x = x - 0.01 * g / (np.sqrt(v) + 1e-8)
        want.append(x)
    config = {'name': 'rmsprop', 'lr': 0.01, 'l2': 0.1}
    np.testing.assert_allclose(walk(config, 9, gradients), want, rtol=1e-4)


def rates(options, steps):
    path = walk({'name': 'sgd', 'lr': 5e-4, **options}, 99, [(-1.0, 0)] * steps)
    return np.diff(path[:, 0], prepend=0)


def test_restarts_of_the_reference():
    options = {'decay': 'restarts', 'lr_min': 5e-6, 'cycle': 10, 'stairs': 5}
    want = [5e-4, 4.52732e-4, 3.28982e-4, 1.76018e-4, 5.22683e-5, 5e-4]
    np.testing.assert_allclose(rates(options, 12)[::2], want, rtol=1e-3)


def test_drops_to_a_tenth():
    want = [5e-4, 5e-4, 5e-5, 5e-6]
    got = rates({'decay': 'drops', 'drops': (2, 3)}, 4)
    np.testing.assert_allclose(got, want, rtol=1e-3)


def test_accumulated_gradients_are_averaged():
    path = walk({'name': 'sgd', 'lr': 1.0, 'accumulate': 2}, 9, [(1.0, 0), (3.0, 0)])
    np.testing.assert_allclose(path[:, 0], [0, -2])


def test_a_cosine_of_accumulated_gradients_ends_at_zero():
    update = optimizers.build(
        {'name': 'sgd', 'lr': 1.0, 'decay': 'cosine', 'accumulate': 4}, 40
    )
    params = jnp.zeros(())
    state, moves = update.init(params), []
    for _ in range(44):
        change, state = update.update(jnp.ones(()), state, params)
        moves.append(float(change))
    assert moves[3] == -1 and moves[2] == 0
    assert abs(moves[39]) < 0.05
    assert abs(moves[43]) < 1e-6

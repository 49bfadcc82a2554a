"""From keypoints to annotated landmarks by a linear map: the forward error."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from kpdiscovery.types import Array


def fit_linear(
    features: Array,
    targets: Array,
    visible: Array | None = None,
    *,
    epochs: int = 5,
    batch_size: int = 64,
    learning_rate: float = 1e-2,
    seed: int = 0,
) -> Array:
    """Linear map without bias, trained by Adam on the squared error (TUSK).

    Weights start uniform in +-1/sqrt(F) (unstated by the paper); batches are shuffled
    every epoch and an incomplete last one is dropped. Same seed, same weights.

    Args:
        features: `[N, F]`.
        targets: `[N, T, 2]`, of order 1.
        visible: `[N, T]` bool, targets that count; None for all.
        epochs: passes over the data (paper: 5 for MAFL, 2 for Human3.6M).

    Returns:
        `[F, 2 * T]` float64; trained in float32.

    Raises:
        ValueError: shapes do not fit, or there are no rows.
    """
    x, y, weight = _rows(features, targets, visible)
    rng = np.random.default_rng(seed)
    start = rng.uniform(-1, 1, (x.shape[1], y.shape[1])) / np.sqrt(x.shape[1])
    size = min(batch_size, len(x))
    steps = len(x) // size
    order = [rng.permutation(len(x))[: steps * size] for _ in range(epochs)]
    rows = np.reshape(order, (epochs * steps, size)).astype(np.int32)
    data = [jnp.asarray(v, jnp.float32) for v in (start, x, y, weight)]
    return np.asarray(_adam(*data, jnp.asarray(rows), learning_rate), np.float64)


def fit_ridge(
    features: Array,
    targets: Array,
    visible: Array | None = None,
    *,
    penalty: float = 0.1,
) -> Array:
    """Linear map without bias in closed form: (X'X + penalty I)^-1 X'Y.

    Arguments, result `[F, 2 * T]` and errors as in `fit_linear`; each landmark is
    fitted to the rows where it is visible. `penalty` > 0 is in squared features, so it
    weighs as much as that number of pictures with a keypoint at the far edge. A single
    feature of ones and a tiny penalty give the mean shape.
    """
    x, y, weight = _rows(features, targets, visible)
    if penalty <= 0:
        raise ValueError(f'penalty must be > 0, got {penalty}')
    if weight.all():
        return _solve(x, y, penalty)
    seen = weight > 0
    parts = [_solve(x[s], t[s], penalty) for s, t in zip(seen.T, y.T, strict=True)]
    return np.stack(parts, axis=1)


def forward_nme(
    fit_features: Array,
    fit_targets: Array,
    test_features: Array,
    test_targets: Array,
    normalizer: Array | float,
    *,
    fit_visible: Array | None = None,
    test_visible: Array | None = None,
    extent: tuple[float, float] = (1.0, 1.0),
    regressor: Callable[[Array, Array, Array | None], Array] = fit_linear,
) -> float:
    """Normalised mean error of landmarks regressed from keypoints, in %.

    100 x mean over the visible test landmarks of |(prediction - truth) * extent| /
    normalizer.

    Args:
        fit_features: `[N, F]`, what the regressor learns from, such as `slot_features`.
        fit_targets: `[N, T, 2]`, of order 1.
        test_features: `[L, F]`.
        test_targets: `[L, T, 2]`.
        normalizer: `[L]` or one number, a length in targets times `extent`; > 0.
        fit_visible: `[N, T]` bool, landmarks that count; None for all.
        test_visible: `[L, T]` bool, likewise.
        extent: (W, H) of the test pictures if targets are in the unit square and
            `normalizer` is in pixels.
        regressor: `(features, targets, visible) -> [F, 2 * T]` weights.

    Raises:
        ValueError: shapes do not fit, no row or visible landmark, `normalizer` <= 0.

    Source: Thewlis et al. 2017 (arXiv:1705.02193); TUSK section 4.3 and table 3.
    """
    x, y, weight = _rows(test_features, test_targets, test_visible)
    scale = np.broadcast_to(np.asarray(normalizer, np.float64), (len(x),))
    seen = weight[:, ::2] > 0
    if not seen.any() or (scale[seen.any(axis=1)] <= 0).any():
        raise ValueError('forward_nme needs visible landmarks and a normalizer > 0')
    predicted = x @ _checked(regressor(fit_features, fit_targets, fit_visible), x, y)
    gap = (predicted - y).reshape(*seen.shape, 2) * np.asarray(extent, np.float64)
    error = np.linalg.norm(gap, axis=-1) / np.where(scale > 0, scale, 1)[:, None]
    return float(100 * error[seen].mean())


def _rows(features: Array, targets: Array, visible: Array | None):
    """`[N, F]`, `[N, 2 T]` with zeros where invisible, `[N, 2 T]` weights; float64."""
    x, y = np.asarray(features, np.float64), np.asarray(targets, np.float64)
    seen = np.ones(y.shape[:2], bool) if visible is None else np.asarray(visible, bool)
    if x.ndim != 2 or y.shape != (len(x), *seen.shape[1:], 2) or seen.ndim != 2:
        raise ValueError(
            'wanted features [N, F], targets [N, T, 2] and visible [N, T], got '
            f'{x.shape}, {y.shape}, {seen.shape}'
        )
    if x.size == 0 or len(seen) != len(x):
        raise ValueError(f'wanted a row per picture, got {x.shape} and {seen.shape}')
    y = np.where(seen[..., None], y, 0).reshape(len(x), -1)
    return x, y, np.repeat(seen, 2, axis=1).astype(np.float64)


def _checked(weights: Array, x: Array, y: Array) -> Array:
    if weights.shape != (x.shape[1], y.shape[1]):
        raise ValueError(
            f'the fit gives a map {weights.shape}, the test split needs '
            f'{(x.shape[1], y.shape[1])}: other keypoints or other landmarks'
        )
    return weights


def _solve(x: Array, y: Array, penalty: float) -> Array:
    return np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)


@jax.jit
def _adam(start, x, y, weight, rows, learning_rate):
    """Weights after one Adam step for each row of `rows` `[steps, batch]`."""
    optimizer = optax.adam(learning_rate)

    def loss(w, i):
        error = weight[i] * (jnp.dot(x[i], w, precision='highest') - y[i])
        return jnp.sum(error**2) / jnp.maximum(weight[i].sum(), 1)

    def step(carry, i):
        w, state = carry
        updates, state = optimizer.update(jax.grad(loss)(w, i), state)
        return (optax.apply_updates(w, updates), state), None

    return jax.lax.scan(step, (start, optimizer.init(start)), rows)[0][0]

"""Linear maps from keypoints to landmarks, fitted by gradient or in closed form."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from kpdiscovery.types import Array

BATCH = 64
MAFL_STEPS = 1_480  # 5 epochs of its 19,000 pictures.


class LinearMap(NamedTuple):
    """Landmarks from features: features @ weights + offset."""

    weights: Array  # [F, 2 * T] float64.
    offset: Array  # [2 * T] float64, zeros without bias.

    def __call__(self, features: Array) -> Array:
        """`[L, F]` -> `[L, T, 2]`; ValueError for another number of features."""
        features = np.asarray(features, np.float64)
        if features.ndim != 2 or features.shape[1] != len(self.weights):
            raise ValueError(
                f'wanted features [L, {len(self.weights)}] as in the fit, got '
                f'{features.shape}: other keypoints'
            )
        return (features @ self.weights + self.offset).reshape(len(features), -1, 2)


def fit_linear(
    features: Array,
    targets: Array,
    visible: Array | None = None,
    *,
    steps: int = MAFL_STEPS,
    batch_size: int = BATCH,
    learning_rate: float = 1e-2,
    seed: int = 0,
) -> LinearMap:
    """Linear map without bias, trained by Adam on the squared error (TUSK).

    Weights start uniform in +-1/sqrt(F) (unstated by the paper); batches are shuffled
    every epoch and an incomplete last one is dropped. Same seed, same weights. The paper
    counts epochs, which are few steps on few pictures: 3,000 of faces in 5 epochs leave
    perfect keypoints at 16 % of the eye distance, which 1,480 steps bring to 6.

    Args:
        features: `[N, F]`.
        targets: `[N, T, 2]`, of order 1.
        visible: `[N, T]` bool, targets that count; None for all.
        steps: of Adam. The paper: 5 epochs of MAFL, 2 of Human3.6M.

    Returns:
        Weights `[F, 2 * T]` trained in float32, no offset.

    Raises:
        ValueError: shapes do not fit, or there are no rows.
    """
    x, y, weight = _rows(features, targets, visible)
    rng = np.random.default_rng(seed)
    start = rng.uniform(-1, 1, (x.shape[1], y.shape[1])) / np.sqrt(x.shape[1])
    size = min(batch_size, len(x))
    epoch = len(x) // size
    order = [rng.permutation(len(x))[: epoch * size] for _ in range(-(-steps // epoch))]
    rows = np.reshape(order, (-1, size)).astype(np.int32)[:steps]
    data = [jnp.asarray(v, jnp.float32) for v in (start, x, y, weight)]
    weights = _adam(*data, jnp.asarray(rows), learning_rate)
    return LinearMap(np.asarray(weights, np.float64), np.zeros(y.shape[1]))


def fit_ridge(
    features: Array,
    targets: Array,
    visible: Array | None = None,
    *,
    penalty: float = 0.1,
    relative: bool = False,
    bias: bool = False,
) -> LinearMap:
    """Linear map in closed form: (X'X + penalty I)^-1 X'Y.

    Arguments and errors as in `fit_linear`; each landmark is fitted to the rows where
    it is visible (to none at all: zeros).

    Args:
        penalty: >= 0; 0 is least squares, the smallest map where several fit. In
            squared features, so it weighs as much as that number of pictures with a
            keypoint at the far edge.
        relative: counts the penalty in largest entries of X'X instead ([mallis-thesis]).
        bias: takes the mean off features and targets, and gives the offset back.

    Source: released evaluations of [mallis2020] and [mallis2023] (relative, with bias).
    """
    x, y, weight = _rows(features, targets, visible)
    if penalty < 0:
        raise ValueError(f'penalty must be >= 0, got {penalty}')
    options = (penalty, relative, bias)
    if weight.all():
        return _solve(x, y, *options)
    seen = weight.reshape(len(x), -1, 2)[..., 0].T > 0
    pairs = zip(seen, np.split(y, len(seen), axis=1), strict=True)
    parts = [_solve(x[s], t[s], *options) for s, t in pairs]
    return LinearMap(*(np.concatenate(p, axis=-1) for p in zip(*parts, strict=True)))


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


def _solve(x: Array, y: Array, penalty: float, relative: bool, bias: bool) -> LinearMap:
    centre_x, centre_y = (
        v.mean(axis=0) if bias and len(v) else np.zeros(v.shape[1]) for v in (x, y)
    )
    x, y = x - centre_x, y - centre_y
    gram = x.T @ x
    ridge = penalty * (gram.max() if relative else 1.0)
    if ridge > 0:
        weights = np.linalg.solve(gram + ridge * np.eye(len(gram)), x.T @ y)
    else:
        weights = np.linalg.lstsq(x, y, rcond=None)[0]
    return LinearMap(weights, centre_y - centre_x @ weights)


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

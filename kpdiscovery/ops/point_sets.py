"""How one set of points lies on another."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.ops import linear

_FLOOR = 1e-6  # Of the variance, in units of the spread of the target.
_product = functools.partial(jnp.matmul, precision='highest')


class Registration(NamedTuple):
    """Where coherent point drift has moved a set of M points."""

    moved: jax.Array  # [M, 2], in the frame of the target.
    matrix: jax.Array  # [2, 3]: moved = matrix @ [x, y, 1].
    variance: jax.Array  # Scalar, of the last mixture; small for a close fit.


def coherent_point_drift(
    points: jax.Array,
    target: jax.Array,
    valid: jax.Array,
    *,
    outliers: float = 0.1,
    iterations: int = 50,
) -> Registration:
    """The affine map that lays `points` on `target` without knowing who is who.

    The points are the centres of a Gaussian mixture, with a uniform part for outliers,
    that is fitted to the target by expectation and maximisation.

    Args:
        points: `[M, 2]`, the moving set.
        target: `[N, 2]`.
        valid: `[N]` bool, target points that count. Without any the points stay.
        outliers: w, share of the uniform part, in [0, 1).
        iterations: always all of them.

    Source: [myronenko2010], figure 3; [mallis-thesis], chapter 4
    (unstated parameters: affine, w 0.1).
    """
    if not 0 <= outliers < 1:
        raise ValueError(f'outliers must be in [0, 1), got {outliers}')
    counts = valid.astype(jnp.float32)
    x, center, scale = _standardized(target, counts)
    y, y_center, y_scale = _standardized(points, jnp.ones(len(points)))
    step = lambda _, state: _drift(x, counts, y, outliers, *state)
    spread = _weighted_squares(x, y, counts[:, None] * jnp.ones((1, len(y))))
    start = jnp.eye(2, 3), jnp.maximum(spread, _FLOOR)
    matrix, variance = jax.lax.fori_loop(0, iterations, step, start)
    turn = matrix[:, :2] * scale / y_scale
    shift = matrix[:, 2] * scale + center - _product(turn, y_center)
    found = jnp.concatenate([turn, shift[:, None]], axis=1)
    found = jnp.where(valid.any(), found, jnp.eye(2, 3))
    return Registration(_moved(found, points), found, variance * scale**2)


def _drift(x, counts, y, outliers, matrix, variance):
    """One step of expectation and maximisation, in standard units."""
    moved = _moved(matrix, y)
    squares = jnp.sum((x[:, None] - moved[None]) ** 2, axis=-1)  # [N, M]
    weight = outliers / (1 - outliers) * len(y) / jnp.maximum(counts.sum(), 1)
    ground = 2 * jnp.pi * variance * weight
    likely = jnp.exp(-squares / (2 * variance))
    share = likely / jnp.maximum(likely.sum(1, keepdims=True) + ground, 1e-30)
    share *= counts[:, None]
    matrix = _fit_affine(x, y, share)
    return matrix, jnp.maximum(_weighted_squares(x, _moved(matrix, y), share), _FLOOR)


def _moved(matrix, xy):
    return _product(xy, matrix[:, :2].T) + matrix[None, :, 2]


def _fit_affine(x, y, share):
    """Weighted least squares of x on [y, 1]; a little ridge keeps lines of points sane."""
    lifted = jnp.concatenate([y, jnp.ones((len(y), 1))], axis=1)
    gram = _product((lifted * share.sum(0)[:, None]).T, lifted) + 1e-5 * jnp.eye(3)
    pull = _product(lifted.T, _product(share.T, x)) + 1e-5 * jnp.eye(3, 2)
    return linear.solve(gram, pull).T


def _weighted_squares(x, y, share):
    """Mean squared distance a coordinate, pairs weighted by `share` `[N, M]`."""
    squares = jnp.sum((x[:, None] - y[None]) ** 2, axis=-1)
    return (share * squares).sum() / (2 * jnp.maximum(share.sum(), 1e-9))


def _standardized(xy, weights):
    """Points of mean 0 and root mean square length 1, and that mean and length."""
    total = jnp.maximum(weights.sum(), 1)
    center = _product(weights, xy) / total
    squares = jnp.sum(weights[:, None] * (xy - center[None]) ** 2) / total
    scale = jnp.sqrt(jnp.maximum(squares, 1e-12))
    return (xy - center[None]) / scale, center, scale

"""Vectors brought to mean 0 and covariance 1 [kessy2018]."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.ops import parallel

_ITERATIONS = 20  # Enough for variances that differ by a factor of 10,000.


class Moments(NamedTuple):
    """Mean `[D]` and covariance `[D, D]` of a cloud of vectors."""

    mean: jax.Array
    covariance: jax.Array


def moments(x: jax.Array, *, axis_name: str | None = None) -> Moments:
    """Of `[N, D]` rows; of all devices' under `pmap` with the axis named."""
    mean = parallel.mean(x.mean(0), axis_name)
    gap = x - mean[None]
    covariance = jnp.einsum('nd,ne->de', gap, gap, precision='highest') / len(x)
    return Moments(mean, parallel.mean(covariance, axis_name))


def whiten(x: jax.Array, of: Moments, *, ridge: float = 1e-3) -> jax.Array:
    """`[..., D]` with the covariance `of` theirs turned to 1, each axis kept (ZCA).

    Args:
        ridge: share of the mean variance that is added to every variance, so that
            directions which hardly vary are not blown up.
    """
    d = len(of.mean)
    variance = jnp.trace(of.covariance) / d
    scatter = of.covariance + (ridge * variance + 1e-12) * jnp.eye(d)
    matrix = inverse_root(scatter)
    gap = x - of.mean.reshape((1,) * (x.ndim - 1) + (d,))
    return jnp.einsum('...d,de->...e', gap, matrix, precision='highest')


def inverse_root(a: jax.Array) -> jax.Array:
    """a^(-1/2) of a symmetric positive definite `[D, D]`, of condition below 64,000.

    Coupled Newton-Schulz iteration: matrix products only, which every device runs and
    compiles fast ([higham2008], section 6.7).
    """
    scale = jnp.trace(a)
    eye = jnp.eye(len(a), dtype=a.dtype)
    times = lambda x, y: jnp.matmul(x, y, precision='highest')

    def step(_, pair):
        root, inverse = pair
        middle = (3 * eye - times(inverse, root)) / 2
        return times(root, middle), times(middle, inverse)

    _, inverse = jax.lax.fori_loop(0, _ITERATIONS, step, (a / scale, eye))
    return inverse * jax.lax.rsqrt(scale)

"""Prototypes as a Gaussian mixture on the unit sphere ([jin2022], section 3.3, A.2)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.ops import vectors


class Mixture(NamedTuple):
    """How much of the data each prototype stands for."""

    weights: jax.Array  # [M], sums to 1.
    counts: jax.Array  # [M] float32: descriptors nearest to each prototype.
    variances: jax.Array  # [M]: mean squared deviation of the members, 1 if empty.


def pseudo_probabilities(
    descriptors: jax.Array, prototypes: jax.Array, *, form: str = 'squared'
) -> jax.Array:
    """Soft assignment `[..., K, M]` of descriptors `[..., K, D]` to prototypes `[M, D]`.

    Args:
        form: 'squared' is softmax(-20 ||d - p||^2 / D) of the released code; 'distance'
            is softmax(-||d - p||) of the eq. 3 of [jin2022].
    """
    squares = vectors.squared_distances(descriptors, prototypes)
    if form == 'squared':
        return jax.nn.softmax(-20 * squares / prototypes.shape[-1], axis=-1)
    if form == 'distance':
        return jax.nn.softmax(-jnp.sqrt(squares + 1e-12), axis=-1)
    raise ValueError(f"form must be 'squared' or 'distance', got {form!r}")


def fit_mixture(
    descriptors: jax.Array,
    prototypes: jax.Array,
    *,
    floor: float = 0.01,
    about: str = 'prototype',
) -> Mixture:
    """Mixing weights from hard assignment of `[N, D]` descriptors to `[M, D]` prototypes.

    a_m = n_m + N (floor + V), V the population variance over m of the members'
    variances: the more uneven the clusters, the nearer to uniform the weights, so that
    no prototype dies.

    Args:
        floor: of every weight, in units of N; 0 in the paper, 0.01 in code.
        about: 'prototype' (code) or 'mean' (paper): the centre of the members' variance.
    """
    squares = vectors.squared_distances(descriptors, prototypes)  # [N, M]
    member = jax.nn.one_hot(jnp.argmin(squares, axis=-1), prototypes.shape[0])
    counts = member.sum(0)
    if about == 'mean':
        means = member.T @ descriptors / jnp.maximum(counts, 1)[:, None]
        squares = vectors.squared_distances(descriptors, means)
    spread = (member * squares).sum(0) / (
        descriptors.shape[-1] * jnp.maximum(counts, 1)
    )
    variances = jnp.where(counts > 0, spread, 1.0)
    share = counts + descriptors.shape[0] * (floor + jnp.var(variances))
    return Mixture(share / share.sum(), counts, variances)


def component_counts(weights: jax.Array, n: int) -> jax.Array:
    """floor(weights * n), the remainder given to the last: int32 `[M]`, sum n (code)."""
    counts = jnp.floor(weights * n).astype(jnp.int32)
    return counts.at[-1].add(n - counts.sum())


def systematic_counts(key: jax.Array, weights: jax.Array, n: int) -> jax.Array:
    """Counts within one of weights * n and unbiased: int32 `[M]`, sum n.

    With fewer samples than components floor(weights * n) is mostly zero and the
    remainder floods one component; systematic sampling has no remainder.
    """
    edges = jnp.cumsum(weights) * n - jax.random.uniform(key)
    upto = jnp.ceil(edges).astype(jnp.int32).at[-1].set(n)
    return jnp.diff(jnp.clip(upto, 0, n), prepend=0)


def sample_mixture(
    key: jax.Array,
    prototypes: jax.Array,
    counts: jax.Array,
    n: int,
    *,
    std: float = 0.02,
) -> jax.Array:
    """`[n, D]` unit vectors around prototypes, `counts[m]` of them around the m-th.

    The number of samples is static, the split among prototypes is not: sample i belongs
    to the prototype whose cumulated count passes i. Gradients reach `prototypes`.
    """
    owner = jnp.searchsorted(jnp.cumsum(counts), jnp.arange(n), side='right')
    noise = std * jax.random.normal(key, (n, prototypes.shape[-1]))
    return vectors.normalize(prototypes[owner] + noise)

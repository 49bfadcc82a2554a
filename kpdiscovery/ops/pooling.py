"""Feature maps to one number a channel: average, maximum, and leaky maximum."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from kpdiscovery.ops import parallel, precision, reductions
from pallas_kernels.leaky_max_pool import api as pooling_api

KINDS = ('average', 'max', 'leaky_max')


def average_pool(x: jax.Array) -> jax.Array:
    """Mean over the cells, `[..., H, W, C]` to `[..., C]` float32."""
    return _cells(x).mean(axis=-2)


def max_pool(x: jax.Array) -> jax.Array:
    """Largest cell, `[..., H, W, C]` to `[..., C]` float32; ties: the first has the gradient."""
    return _weighed(x, 1.0, 0.0)


def leaky_max_pool(x: jax.Array, *, epsilon: float = 0.1) -> jax.Array:
    """The largest cell less a share of all the others.

    `(1 + epsilon) * max(x) - epsilon * sum(x)`, so the gradient is 1 at the largest cell
    and -epsilon at every other: a filter is rewarded for firing in one place.

    Args:
        x: `[..., H, W, C]`, at least 0 as meant; negative cells add to the result.
        epsilon: share of the others; 0 is max pooling. A flat map is pooled to
            `1 - epsilon * (H * W - 1)` times its value, so larger maps need a smaller one.

    Returns:
        `[..., C]` float32, negative where the other cells outweigh the largest.

    Source: [guo2025], section 3.1, eq. 3.
    """
    return _weighed(x, 1 + epsilon, -epsilon)


def pooling_vector(x: jax.Array, kind: str, *, epsilon: float = 0.1) -> jax.Array:
    """Weights `[..., H * W, C]` whose product with the cells of `x` is the pooled value.

    The three poolings as the paper writes them: constant; one at the largest cell (the
    first of equals) and 0, or -epsilon, elsewhere. Weights have no gradient.

    Raises:
        ValueError: `kind` is not one of `KINDS`.
    """
    cells = _cells(jax.lax.stop_gradient(x))
    if kind == 'average':
        return jnp.full_like(cells, 1 / cells.shape[-2])
    if kind not in KINDS:
        raise ValueError(f'kind must be one of {KINDS}, got {kind!r}')
    other = -epsilon if kind == 'leaky_max' else 0.0
    top = jax.nn.one_hot(cells.argmax(axis=-2), cells.shape[-2], axis=-2)
    return jnp.where(top > 0, 1.0, other)


def pool(x: jax.Array, kind: str, *, epsilon: float = 0.1) -> jax.Array:
    """One of the poolings by name.

    Raises:
        ValueError: `kind` is not one of `KINDS`.
    """
    if kind not in KINDS:
        raise ValueError(f'kind must be one of {KINDS}, got {kind!r}')
    if kind == 'leaky_max':
        return leaky_max_pool(x, epsilon=epsilon)
    return average_pool(x) if kind == 'average' else max_pool(x)


def map_entropy(x: jax.Array) -> jax.Array:
    """Entropy of each map as a distribution over its cells, in nats.

    Args:
        x: `[..., H, W, C]`; negative cells count as 0.

    Returns:
        `[..., C]` float32 in [0, log(H * W)]; 0 of a map that is 0 everywhere, as of one
        with a single cell.

    Source: [guo2025], section 4.2 (sparsity).
    """
    cells = jnp.maximum(_cells(x), 0)
    total = cells.sum(axis=-2, keepdims=True)
    share = cells / jnp.where(total > 0, total, 1)
    return -(share * jnp.log(jnp.where(share > 0, share, 1))).sum(axis=-2)


def sparsity(x: jax.Array) -> jax.Array:
    """Mean `map_entropy` of the maps that are not 0 everywhere, `[..., H, W, C]` to `[...]`.

    The smaller, the sparser; 0 where all are.
    """
    fires = _cells(x).max(axis=-2) > 0
    return reductions.mean_where(map_entropy(x), fires, axis=-1)


def _cells(x):
    _check(x)
    *lead, h, w, c = x.shape
    return precision.full(x.reshape(*lead, h * w, c))


def _check(x):
    if x.ndim < 3:
        raise ValueError(f'feature maps must be [..., H, W, C], got {x.shape}')


def _weighed(x, of_largest, of_sum):
    """Weighted sum of the largest cell and of all, `[..., H, W, C]` to `[..., C]`."""
    _check(x)
    *lead, h, w, c = x.shape
    pool = functools.partial(
        pooling_api.leaky_max_pool, of_largest=of_largest, of_sum=of_sum
    )
    return parallel.by_rows(pool, x.reshape(-1, h, w, c)).reshape(*lead, c)

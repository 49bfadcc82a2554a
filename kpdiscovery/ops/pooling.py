"""Feature maps to one number a channel: average, maximum, and leaky maximum."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kpdiscovery.ops import precision, reductions

KINDS = ('average', 'max', 'leaky_max')


def average_pool(x: jax.Array) -> jax.Array:
    """Mean over the cells, `[..., H, W, C]` to `[..., C]` float32."""
    return _cells(x).mean(axis=-2)


def max_pool(x: jax.Array) -> jax.Array:
    """Largest cell, `[..., H, W, C]` to `[..., C]` float32; ties: the first has the gradient."""
    return _largest(_cells(x))


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
    cells = _cells(x)
    return (1 + epsilon) * _largest(cells) - epsilon * cells.sum(axis=-2)


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
    if x.ndim < 3:
        raise ValueError(f'feature maps must be [..., H, W, C], got {x.shape}')
    *lead, h, w, c = x.shape
    return precision.full(x.reshape(*lead, h * w, c))


def _largest(cells):
    # By index and not by maximum, whose gradient would be shared among equals.
    first = cells.argmax(axis=-2, keepdims=True)
    return jnp.take_along_axis(cells, first, axis=-2)[..., 0, :]

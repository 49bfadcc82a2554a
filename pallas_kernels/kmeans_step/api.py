"""A step of Lloyd's algorithm, and the nearest centroid of every row: the functions to call.

N rows, D channels, R sets of K centroids. No gradients: labels have none, and k-means needs
none. Inside `jax.shard_map` every device sees its own rows; sums over devices are the
caller's.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from pallas_kernels import calls
from pallas_kernels.kmeans_step import mosaic_tpu, reference
from pallas_kernels.kmeans_step.reference import Assignment, Totals


def kmeans_step(
    x: jax.Array,
    centroids: jax.Array,
    weights: jax.Array,
    *,
    precision: str = 'highest',
    block: int | None = None,
    implementation: str = 'auto',
) -> Totals:
    """Sums and weights of the rows nearest to each of several sets of centroids.

    Args:
        x: `[N, D]`, float32 or bfloat16; computed in float32. Rows of weight 0 may hold
            what is not finite, others may not.
        centroids: `[R, K, D]` float32. Of equally near ones the first has the row.
        weights: `[N]`, not negative.
        precision: of the products that find the nearest, where a kernel makes them:
            'highest' (24 bits of either side), or 'high' (16: enough for rows of unit
            length, less so far from the origin). Sums have all bits.
        block: rows visited at a time where no kernel does; changes speed only.
        implementation: see `calls.dispatch`; 'auto' takes the kernel where it fits.

    Returns:
        Sums `[R, K, D]` of rows times weights, and weights `[R, K]`, float32.

    Raises:
        ValueError: shapes do not fit, or an option is not known.
    """
    _check(x, centroids, weights, precision, 3)
    x, centroids, weights = (jnp.asarray(a) for a in (x, centroids, weights))
    return calls.dispatch(
        _feasible(implementation, x, centroids),
        functools.partial(reference.kmeans_step, block=block),
        functools.partial(mosaic_tpu.kmeans_step, precision=precision),
        x, centroids, weights,
    )  # fmt: skip


def assign(
    x: jax.Array,
    centroids: jax.Array,
    weights: jax.Array,
    *,
    precision: str = 'highest',
    block: int | None = None,
    implementation: str = 'auto',
) -> Assignment:
    """The nearest of `[K, D]` centroids for `[N, D]` rows; options as in `kmeans_step`.

    Returns:
        Labels `[N]` int32 and squared distances `[N]` float32, which lose no digits
        where rows are near; for rows of weight 0 those of a row of zeros.
    """
    _check(x, centroids, weights, precision, 2)
    x, centroids, weights = (jnp.asarray(a) for a in (x, centroids, weights))
    return calls.dispatch(
        _feasible(implementation, x, centroids[None]),
        functools.partial(reference.assign, block=block),
        functools.partial(mosaic_tpu.assign, precision=precision),
        x, centroids, weights,
    )  # fmt: skip


def _feasible(implementation, x, centroids):
    if implementation == 'auto' and not mosaic_tpu.block_rows(x, centroids):
        return 'reference'
    return implementation


def _check(x, centroids, weights, precision, axes):
    wanted = (
        f'x [N, D], centroids {"[R, K, D]" if axes == 3 else "[K, D]"}, weights [N]'
    )
    got = x.shape, centroids.shape, weights.shape
    fit = x.ndim == 2 and centroids.ndim == axes and min(*x.shape, *centroids.shape) > 0
    if not fit or centroids.shape[-1] != x.shape[1] or weights.shape != x.shape[:1]:
        raise ValueError(f'wanted {wanted}, none empty, got {got}')
    if precision not in mosaic_tpu.PARTS:
        raise ValueError(f"precision must be 'high' or 'highest', got {precision!r}")

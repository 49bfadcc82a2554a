"""What a step and an assignment must give; block by block, for any platform."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

_BLOCK = 4096  # Rows whose scores are held at a time, off the CPU.
_CPU_SCORES = 2**18  # Held at a time on a CPU: 1 MB, what its second cache holds.


class Totals(NamedTuple):
    """What a pass over the rows leaves, for R sets of centroids."""

    sums: jax.Array  # [R, K, D]: of the rows nearest to each, times their weights.
    weights: jax.Array  # [R, K]: of those rows.


class Assignment(NamedTuple):
    """The nearest centroid of each row."""

    labels: jax.Array  # [N] int32, the first of equals.
    distances: jax.Array  # [N] squared, from the differences themselves.


def kmeans_step(
    x: jax.Array, centroids: jax.Array, weights: jax.Array, *, block: int | None = None
) -> Totals:
    """Sums and weights of the rows nearest to each centroid; `api` says of what.

    Args:
        block: rows visited at a time; None: what suits the platform.
    """
    return _by_platform(_step, block, x, centroids, weights)


def assign(
    x: jax.Array, centroids: jax.Array, weights: jax.Array, *, block: int | None = None
) -> Assignment:
    """The nearest of `[K, D]` centroids; a row of weight 0 is taken for one of zeros."""
    return _by_platform(_assign, block, x, centroids[None], weights)


def _by_platform(visit_all, block, x, centroids, weights):
    scores = centroids.shape[0] * centroids.shape[1]
    on_cpu = min(2048, max(256, _CPU_SCORES // scores // 128 * 128))
    given = lambda usual: min(block or usual, len(x))
    return jax.lax.platform_dependent(
        x, centroids, weights,
        cpu=functools.partial(visit_all, _Scattered, given(on_cpu)),
        default=functools.partial(visit_all, _Multiplied, given(_BLOCK)),
    )  # fmt: skip


def _step(way, block, x, centroids, weights):
    half = _half_squares(centroids)
    zero = 0 * weights[0]  # Under shard_map it varies over devices as the rows do.

    def visit(i, totals):
        rows, counts, _ = _cut(x, weights, i, block)
        return way.add(totals, rows, counts, _labels(rows, centroids, half))

    empty = Totals(jnp.full(centroids.shape, zero), jnp.full(half.shape, zero))
    return jax.lax.fori_loop(0, -(-len(x) // block), visit, empty)


def _assign(way, block, x, centroids, weights):
    half = _half_squares(centroids)

    def visit(i, carry):
        rows, _, start = _cut(x, weights, i, block)
        (labels,) = _labels(rows, centroids, half)
        apart = rows - way.take(centroids[0], labels)
        found = Assignment(labels, jnp.sum(apart * apart, axis=-1))
        put = lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new, start, 0)
        return jax.tree.map(put, carry, found)

    empty = Assignment((0 * weights).astype(jnp.int32), 0 * weights)
    return jax.lax.fori_loop(0, -(-len(x) // block), visit, empty)


def _cut(x, weights, i, block):
    """Block i: its rows, their weights, and the number of the first.

    The last block reaches back where N is not a multiple; rows seen before weigh 0.
    """
    start = jnp.minimum(i * block, len(x) - block)
    cut = lambda array: jax.lax.dynamic_slice_in_dim(array, start, block)
    rows, counts = cut(x).astype(jnp.float32), cut(weights)
    rows = jnp.where(counts[:, None] > 0, rows, 0.0)  # They may not be finite.
    fresh = start + jnp.arange(block) >= i * block
    return rows, jnp.where(fresh, counts, 0.0), start


def _half_squares(centroids):
    return 0.5 * jnp.sum(centroids * centroids, axis=-1)  # [R, K]


def _labels(rows, centroids, half):
    """`[R, n]` int32. The rows' own squares would shift all scores of a row alike."""
    restarts, k, d = centroids.shape
    every = centroids.reshape(restarts * k, d)
    inner = jnp.einsum('kd,nd->kn', every, rows, precision='highest')
    return first_of_least(half[..., None] - inner.reshape(restarts, k, len(rows)))


def first_of_least(scores: jax.Array) -> jax.Array:
    """Where `[..., K, n]` float32 is least along K: `[..., n]` int32, the first of equals.

    In the time of two `min`: XLA does not vectorise `argmin` on a CPU.
    """
    many = scores.shape[-2]
    least = scores.min(axis=-2, keepdims=True)
    number = jnp.arange(many, dtype=jnp.float32)  # Exact below 2^24.
    number = number.reshape((1,) * (scores.ndim - 2) + (-1, 1))
    return jnp.where(scores == least, number, many - 1).min(axis=-2).astype(jnp.int32)


class _Scattered:
    """Row by row: a k-th of the work, but one after the other. For CPUs."""

    @staticmethod
    def add(totals, rows, weights, labels):
        def one(arguments):
            (sums, many), label = arguments
            sums = sums.at[label].add(rows * weights[:, None], mode='promise_in_bounds')
            return Totals(sums, many.at[label].add(weights, mode='promise_in_bounds'))

        return jax.lax.map(one, (totals, labels))

    @staticmethod
    def take(centroids, labels):
        return centroids.at[labels].get(mode='promise_in_bounds')


class _Multiplied:
    """By membership as a matrix: fit for matrix units."""

    @staticmethod
    def add(totals, rows, weights, labels):
        clusters = jnp.arange(totals.weights.shape[1])
        member = (labels[:, None] == clusters[None, :, None]).astype(rows.dtype)
        member *= weights[None, None]  # [R, K, n]
        sums = jnp.einsum('rkn,nd->rkd', member, rows, precision='highest')
        return jax.tree.map(jnp.add, totals, Totals(sums, member.sum(-1)))

    @staticmethod
    def take(centroids, labels):
        member = labels[:, None] == jnp.arange(len(centroids))[None]
        return jnp.einsum(
            'nk,kd->nd', member.astype(jnp.float32), centroids, precision='highest'
        )

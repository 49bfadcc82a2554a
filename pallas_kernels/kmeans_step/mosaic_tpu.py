"""One read of the rows a step: scores, memberships and sums stay in a TPU core's memory.

Products are sums of products of bfloat16 parts, which is how the matrix unit computes them:
parts of 8 bits each, cut by bit mask, because conversions there and back may be simplified
away. 'high' takes two parts of either side (three products), 'highest' three (six). A
membership is exact in one part, so that sums need three products at any precision.

Scores are `[K, n]`, rows of `x` in lanes, so that labels and weights are `[1, n]`: `[n, 1]`
would cost 512 bytes a row.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_kernels.calls import shape_like
from pallas_kernels.kmeans_step.reference import Assignment, Totals

PARTS = {'high': 2, 'highest': 3}
_ROWS = (1024, 512, 256, 128)  # Of a block: as many as fit.
_VMEM = 56 * 2**20  # Bytes the kernel may ask for; v5p has 64 MB a core.
_CORES = 2  # v5p's share a grid; each needs sums of its own. Elsewhere one takes both.
_CHUNK = 128  # Centroids scored at a time, at most.
_FAR = 3e38  # Score of a centroid that is not there.


def kmeans_step(
    x, centroids, weights, *, precision='highest', rows=None, interpret=False
):
    """As `reference.kmeans_step`; `rows` of a block, a multiple of 128."""
    (n, d), (restarts, k, _) = x.shape, centroids.shape
    chunk, padded = _chunks(k)
    rows = rows or block_rows(x, centroids)
    steps = pl.cdiv(pl.cdiv(n, rows), _CORES)
    last = pl.cdiv(n, rows) - 1
    at = lambda core, i: jnp.minimum(core * steps + i, last)
    of_core = lambda *shape: pl.BlockSpec(
        (1, *shape), lambda c, i: (c, *[0] * len(shape))
    )
    parts = PARTS[precision]
    split, half = _prepare(centroids, padded, parts)
    sums, many = pl.pallas_call(
        functools.partial(_step, n=n, steps=steps, chunk=chunk),
        grid=(_CORES, steps),
        in_specs=[
            pl.BlockSpec((rows, d), lambda c, i: (at(c, i), 0)),
            pl.BlockSpec((1, rows), lambda c, i: (0, at(c, i))),
            _whole(parts, restarts, padded, d),
            _whole(restarts, padded, 1),
        ],
        out_specs=[of_core(restarts, padded, d), of_core(restarts, padded, 128)],
        out_shape=[
            shape_like(x, (_CORES, restarts, padded, d), jnp.float32),
            shape_like(x, (_CORES, restarts, padded, 128), jnp.float32),
        ],
        compiler_params=_compiler_params('parallel', 'arbitrary'),
        cost_estimate=_cost(x, restarts * padded, parts * (parts + 1) // 2 + 3),
        interpret=interpret,
    )(x, _row(weights), split, half)
    many = many.sum((0, -1))[:, :k]
    return Totals(sums.sum(0)[:, :k], many)


def assign(x, centroids, weights, *, precision='highest', rows=None, interpret=False):
    """As `reference.assign`."""
    (n, d), k = x.shape, len(centroids)
    chunk, padded = _chunks(k)
    rows = rows or block_rows(x, centroids[None])
    row = pl.BlockSpec((1, rows), lambda i: (0, i))
    split, half = _prepare(centroids[None], padded, 3)
    labels, distances = pl.pallas_call(
        functools.partial(_assign, parts=PARTS[precision], chunk=chunk),
        grid=(pl.cdiv(n, rows),),
        in_specs=[
            pl.BlockSpec((rows, d), lambda i: (i, 0)), row,
            _whole(3, 1, padded, d), _whole(1, padded, 1),
        ],
        out_specs=[row, row],
        out_shape=[shape_like(x, (1, n), jnp.int32), shape_like(x, (1, n), jnp.float32)],
        compiler_params=_compiler_params('parallel'),
        cost_estimate=_cost(x, padded, 9),
        interpret=interpret,
    )(x, _row(weights), split, half)  # fmt: skip
    return Assignment(labels[0], distances[0])


def block_rows(x, centroids) -> int:
    """Rows of a block that fit a core's memory beside the clusters; 0: none do."""
    (n, d), (restarts, k, _) = x.shape, centroids.shape
    lanes = _up(d, 128)
    clusters = restarts * _chunks(k)[1] * (2 * 6 * lanes + 2 * 4 * (lanes + 2 * 128))
    of_row = 12 * 4 * lanes + 8 * 4 * _CHUNK
    fit = [r for r in _ROWS if clusters + r * of_row < 0.8 * _VMEM]
    return min(fit[0], _up(n, 128)) if fit else 0


def _step(x_ref, w_ref, c_ref, half_ref, sums_ref, many_ref, *, n, steps, chunk):
    core, i = pl.program_id(0), pl.program_id(1)

    @pl.when(i == 0)
    def _():
        sums_ref[...] = jnp.zeros_like(sums_ref)
        many_ref[...] = jnp.zeros_like(many_ref)

    rows = x_ref.shape[0]
    number = _iota((1, rows), 1) + (core * steps + i) * rows
    w = jnp.where(number < n, w_ref[...], 0.0)  # Beyond is whatever was in memory.
    x = _finite(x_ref[...])
    parts = _split(x, c_ref.shape[0])
    weighted = _split(x * _column(w), 3)

    def one(r, carry):
        label = _nearest(parts, c_ref, half_ref, r, chunk)
        for at in range(0, half_ref.shape[1], chunk):
            inside = _iota((chunk, rows), 0) + at == label
            place = (0, r, pl.ds(at, chunk))
            sums_ref[place] += _product([_one_hot(inside)], weighted, _NN)
            many_ref[place] += _by_lane(jnp.where(inside, w, 0.0))
        return carry

    jax.lax.fori_loop(0, half_ref.shape[0], one, 0, unroll=2)


def _assign(
    x_ref, w_ref, c_ref, half_ref, labels_ref, distances_ref, *, parts, chunk
):  # fmt: skip
    x = jnp.where(_column(w_ref[...]) > 0, _finite(x_ref[...]), 0.0)
    label = _nearest(_split(x, parts), c_ref, half_ref, 0, chunk)
    own = jnp.zeros_like(x)
    for at in range(0, half_ref.shape[1], chunk):
        member = _one_hot(_iota((chunk, x.shape[0]), 0) + at == label)
        centroids = [c_ref[p, 0, at : at + chunk] for p in range(3)]
        own += _product([member], centroids, _TN)
    apart = x - own
    ones = jnp.ones((8, x.shape[1]), jnp.bfloat16)
    labels_ref[...] = label
    distances_ref[...] = _product([ones], _split(apart * apart, 3), _NT)[:1]


def _nearest(parts, c_ref, half_ref, r, chunk):
    """`[1, n]`: a later chunk wins only if it is strictly nearer."""
    rows = parts[0].shape[0]
    best, label = jnp.full((1, rows), jnp.inf), jnp.zeros((1, rows), jnp.int32)
    for at in range(0, half_ref.shape[1], chunk):
        centroids = [c_ref[p, r, pl.ds(at, chunk)] for p in range(len(parts))]
        score = half_ref[r, pl.ds(at, chunk)] - _product(centroids, parts, _NT)
        least = score.min(axis=0, keepdims=True)
        place = jnp.where(score == least, _iota(score.shape, 0) + at, half_ref.shape[1])
        first = place.min(axis=0, keepdims=True)
        label = jnp.where(least < best, first, label)
        best = jnp.minimum(least, best)
    return label


_NN, _NT, _TN = (((((a,), (b,)), ((), ()))) for a, b in ((1, 0), (1, 1), (0, 0)))


def _product(left, right, dims):
    """Of sums of parts: without the products that are below the last bit that counts."""
    products = [
        jax.lax.dot_general(a, b, dims, preferred_element_type=jnp.float32)
        for i, a in enumerate(left)
        for j, b in enumerate(right)
        if i + j < max(len(left), len(right))
    ]
    return functools.reduce(jnp.add, products)


def _split(x, count):
    """bfloat16 arrays whose sum is x to 8 bits each; the last is rounded."""
    parts = []
    for _ in range(count - 1):
        bits = jax.lax.bitcast_convert_type(x, jnp.uint32) & jnp.uint32(0xFFFF0000)
        high = jax.lax.bitcast_convert_type(bits, jnp.float32)
        parts.append(high.astype(jnp.bfloat16))
        x = x - high
    return [*parts, x.astype(jnp.bfloat16)]


def _finite(x):
    """float32, zeros for what is not finite: 0 * NaN would be NaN."""
    x = x.astype(jnp.float32)
    return jnp.where(jnp.abs(x) < jnp.inf, x, 0.0)


def _iota(shape, axis):
    return jax.lax.broadcasted_iota(jnp.int32, shape, axis)


def _one_hot(inside):
    return jnp.where(inside, 1.0, 0.0).astype(jnp.bfloat16)


def _column(row):
    """`[1, n]` as `[n, 1]`."""
    return jnp.broadcast_to(row, (128, row.shape[1])).T[:, :1]


def _by_lane(x):
    """Sums of every 128th column: the rest of the sum is left to the end."""
    cut = [x[:, at : at + 128] for at in range(0, x.shape[1], 128)]
    return functools.reduce(jnp.add, cut)


def _prepare(centroids, padded, parts):
    """Parts `[parts, R, padded, D]`, and half the squares `[R, padded, 1]`."""
    centroids = centroids.astype(jnp.float32)
    more = [(0, 0), (0, padded - centroids.shape[1]), (0, 0)]
    half = 0.5 * jnp.sum(centroids * centroids, axis=-1, keepdims=True)
    split = jnp.stack(_split(jnp.pad(centroids, more), parts))
    return split, jnp.pad(half, more, constant_values=_FAR)


def _chunks(k):
    """Centroids scored at a time, and how many that makes: multiples of 16."""
    many = pl.cdiv(k, _CHUNK)
    chunk = _up(pl.cdiv(k, many), 16)
    return chunk, many * chunk


def _up(n, multiple):
    return pl.cdiv(n, multiple) * multiple


def _row(weights):
    return weights.astype(jnp.float32)[None]


def _whole(*shape):
    return pl.BlockSpec(shape, lambda *_: (0,) * len(shape))


def _compiler_params(*semantics):
    return pltpu.CompilerParams(dimension_semantics=semantics, vmem_limit_bytes=_VMEM)


def _cost(x, clusters, products):
    return pl.CostEstimate(
        flops=2 * x.size * clusters * products,
        bytes_accessed=x.size * x.dtype.itemsize,
        transcendentals=0,
    )

"""Mixtures of von Mises-Fisher distributions of one concentration over unit vectors.

N rows, D channels, k kernels. A row of length 1 belongs to kernel m with a probability
proportional to mixture_m exp(kappa cos(row, direction_m)); the normalising constant is
common to all kernels and left out. Rows are visited in blocks, so that the N x k
probabilities are never stored. A row counts by its weight; rows of weight 0 or with a
value that is not finite do not count.

Source: the vMF dictionary of [kortylewski2020] that [guo2020] start from.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.ops import blocks, parallel, precision, seeding, vectors

_START_ROWS = 50_000  # Rows, drawn at random, that k-means++ chooses its starts from.


class Vmf(NamedTuple):
    """A mixture of k kernels, and how the fit went."""

    directions: jax.Array  # [k, D], of unit length.
    mixture: jax.Array  # [k], sum 1.
    log_likelihood: jax.Array  # Scalar: mean over the rows, of this very mixture.
    iterations: jax.Array  # Scalar int32: maximisations done.


class _Totals(NamedTuple):
    """What an expectation over all rows leaves."""

    sums: jax.Array  # [k, D]: rows weighted by their probabilities.
    mass: jax.Array  # [k]
    likelihood: jax.Array  # Scalar: weighted sum of log-likelihoods.


def fit_vmf(
    key: jax.Array,
    x: jax.Array,
    k: int,
    *,
    kappa: float = 30.0,
    weights: jax.Array | None = None,
    init: jax.Array | str | None = None,
    iterations: int = 150,
    tolerance: float = 5e-5,
    block: int = 4096,
    axis_name: str | None = None,
) -> Vmf:
    """Expectation and maximisation with a fixed concentration.

    A kernel without mass, or whose rows cancel out, keeps its direction; its share of
    the mixture becomes what its mass is, if that is 0 for good. None is drawn anew:
    with a finite kappa every row gives every kernel some mass, so that this happens
    only where no row counts or the kernel started without a share.

    Args:
        key: for the start; the same key gives the same mixture.
        x: `[N, D]` rows of unit length (shorter ones pull less), any float dtype;
            computed in float32.
        kappa: concentration, not negative.
        weights: `[N]`, not negative; None counts every row once.
        init: None or 'k++' draws rows by (min over drawn of 1 - cos)^2, of at most
            50,000 random ones, with a random mixture; or `[k, D]` directions to start
            from, with equal shares.
        iterations: at most so many maximisations.
        tolerance: it ends once the mean log-likelihood gains less.
        block: rows visited at a time; changes speed and memory only.
        axis_name: of the mesh axis over which rows are split, inside `jax.shard_map`:
            sums are over all devices.

    Raises:
        ValueError: shapes that do not fit, an option out of range or not known.
    """
    _check(x, k, kappa, weights, init, iterations)
    given = jnp.ones(len(x)) if weights is None else weights
    weights = jnp.where(jnp.isfinite(x).all(axis=-1), given, 0.0)
    expect = functools.partial(
        _expect, x, weights, kappa, min(block, len(x)), axis_name
    )
    count = jnp.maximum(parallel.total(weights.sum(), axis_name), 1e-30)

    def step(state):
        vmf, totals, _ = state
        directions, mixture = _maximize(vmf, totals)
        totals = expect(directions, mixture)
        mean = totals.likelihood / count
        fresh = Vmf(directions, mixture, mean, vmf.iterations + 1)
        return fresh, totals, mean - vmf.log_likelihood

    def goes_on(state):
        vmf, _, gain = state
        return (vmf.iterations < iterations) & (gain >= tolerance)

    start = _start(key, x, k, weights, init, axis_name)
    totals = expect(*start)
    mean = totals.likelihood / count
    first = Vmf(start[0], start[1], mean, jnp.zeros((), jnp.int32))
    return jax.lax.while_loop(
        goes_on, step, (first, totals, jnp.full_like(mean, jnp.inf))
    )[0]


def _logits(x, directions, mixture, kappa):
    cosines = jnp.einsum(
        '...d,kd->...k', precision.full(x), directions, precision='highest'
    )
    shares = jnp.log(mixture).reshape((1,) * (x.ndim - 1) + (-1,))
    return kappa * cosines + shares


def _expect(x, weights, kappa, block, axis_name, directions, mixture) -> _Totals:
    def visit(i):
        (rows, counts), _, fresh = blocks.cut((x, weights), i, block)
        rows = jnp.where(counts[:, None] > 0, precision.full(rows), 0.0)
        counts = jnp.where(fresh, counts, 0.0)
        logits = _logits(rows, directions, mixture, kappa)
        # Not by logsumexp and softmax: each would store its own exponentials.
        top = logits.max(axis=-1, keepdims=True)
        likely = jnp.exp(logits - top)
        total = likely.sum(axis=-1, keepdims=True)
        share = likely * (counts[:, None] / total)
        sums = jnp.einsum('nk,nd->kd', share, rows, precision='highest')
        return _Totals(sums, share.sum(0), counts @ (top + jnp.log(total))[:, 0])

    add = lambda i, carry: jax.tree.map(jnp.add, carry, visit(i))
    totals = jax.lax.fori_loop(1, blocks.count(len(x), block), add, visit(0))
    return parallel.total(totals, axis_name)


def _maximize(vmf, totals):
    total = totals.mass.sum()
    mixture = totals.mass / jnp.where(total > 0, total, 1.0)
    lengths = jnp.linalg.norm(totals.sums, axis=-1)
    # Of rows that cancel out only rounding is left, which is no direction.
    pulled = lengths > 1e-6 * totals.mass
    fresh = jnp.where(pulled[:, None], vectors.normalize(totals.sums), vmf.directions)
    return fresh, jnp.where(total > 0, mixture, vmf.mixture)


def _start(key, x, k, weights, init, axis_name):
    """Directions `[k, D]` and mixture `[k]`, the same on all devices."""
    if init is not None and not isinstance(init, str):
        directions = vectors.normalize(precision.full(init))
        return directions, jnp.full(k, 1 / k, directions.dtype)
    of_rows, of_draws, of_shares = jax.random.split(key, 3)
    rows, weights = _some_rows(of_rows, x, weights, axis_name)
    rows = vectors.normalize(jnp.where(weights[:, None] > 0, precision.full(rows), 0.0))
    shares = 1 - jax.random.uniform(of_shares, (k,), rows.dtype)  # In (0, 1].
    return _plus_plus(of_draws, rows, k, weights, axis_name), shares / shares.sum()


def _some_rows(key, x, weights, axis_name):
    """At most `_START_ROWS` rows of all devices, and their weights: this device's."""
    devices = 1 if axis_name is None else jax.lax.axis_size(axis_name)
    if devices * len(x) <= _START_ROWS:
        return x, weights
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * len(x)
    # Numbers of all rows on every device, so that a row's does not depend on theirs.
    rank = jax.random.uniform(key, (devices * len(x),))
    rank = jax.lax.dynamic_slice_in_dim(rank, first, len(x))
    rank = jnp.where(weights > 0, rank, 2.0)

    def halve(_, span):  # Not by sorting, which takes minutes to compile for a TPU.
        low, high = span
        middle = (low + high) / 2
        fits = parallel.total((rank <= middle).sum(), axis_name) <= _START_ROWS
        return jnp.where(fits, middle, low), jnp.where(fits, high, middle)

    bound = jax.lax.fori_loop(0, 24, halve, (jnp.zeros(()), jnp.ones(())))[0]
    size = min(_START_ROWS, len(x))
    (mine,) = jnp.nonzero(rank <= bound, size=size, fill_value=0)
    few = jnp.arange(size) < (rank <= bound).sum()
    return x[mine], jnp.where(few, weights[mine], 0.0)


def _plus_plus(key, rows, k, weights, axis_name):
    """Rows drawn by the square of 1 - cosine to the nearest of those drawn before."""
    uniform = jax.random.uniform(key, (k,))
    draw = functools.partial(seeding.draw_row, rows, weights, axis_name=axis_name)
    gap = lambda row: jnp.maximum(1 - rows @ row, 0) ** 2

    def one_more(i, carry):
        drawn, closest = carry
        row = draw(closest, uniform[i])
        return drawn.at[i].set(row), jnp.minimum(closest, gap(row))

    first = draw(jnp.ones_like(weights), uniform[0])
    start = jnp.repeat(first[None], k, axis=0), gap(first)
    return jax.lax.fori_loop(1, k, one_more, start)[0]


def _check(x, k, kappa, weights, init, iterations):
    if x.ndim != 2 or len(x) == 0:
        raise ValueError(f'x must be [N, D] with at least one row, got {x.shape}')
    if k < 1 or iterations < 0 or kappa < 0:
        raise ValueError(
            'wanted k >= 1, iterations >= 0 and kappa >= 0, got '
            f'{k}, {iterations} and {kappa}'
        )
    if weights is not None and weights.shape != x.shape[:1]:
        raise ValueError(f'weights must be {x.shape[:1]}, got {weights.shape}')
    if isinstance(init, str) and init != 'k++':
        raise ValueError(f"init must be 'k++' or directions [k, D], got {init!r}")
    if not (init is None or isinstance(init, str) or init.shape == (k, x.shape[1])):
        raise ValueError(f'init must be {(k, x.shape[1])}, got {init.shape}')

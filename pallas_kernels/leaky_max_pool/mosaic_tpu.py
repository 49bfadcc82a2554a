"""The kernel: cells are read once forward, their gradients written once backward.

Pictures lie in sublanes and channels in lanes, as XLA lays out what convolutions give, so
that nothing is copied for the kernel and all work is from register to register. Pictures
and channels are on their own: those beyond the last may hold anything.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_kernels import calls

_PICTURES, _CHANNELS, _CELLS = 8, 128, 512  # Of a block: 2 MB of float32.


def forward(
    cells: jax.Array, of_largest: float, of_sum: float, *, interpret: Any = False
) -> tuple[jax.Array, jax.Array]:
    """As `reference.forward`."""
    b, h, w, c = cells.shape
    grid, whole, single = _blocks(b, h * w, c)
    like = functools.partial(calls.shape_like, cells, (1, b, c))
    order = pltpu.CompilerParams(
        dimension_semantics=('parallel', 'parallel', 'arbitrary')
    )
    largest, total, first = pl.pallas_call(
        functools.partial(_forward, count=h * w),
        out_shape=(like(jnp.float32), like(jnp.float32), like(jnp.int32)),
        grid=grid,
        in_specs=[whole],
        out_specs=(single, single, single),
        compiler_params=order,
        interpret=interpret,
    )(cells.transpose(1, 2, 0, 3).reshape(h * w, b, c))
    return (of_largest * largest + of_sum * total)[0], first[0]


def backward(
    first: jax.Array,
    grads: jax.Array,
    size: tuple[int, int],
    of_largest: float,
    of_sum: float,
    dtype: jnp.dtype,
    *,
    interpret: Any = False,
) -> jax.Array:
    """As `reference.backward`."""
    b, c = first.shape
    grid, whole, single = _blocks(b, size[0] * size[1], c)
    out = pl.pallas_call(
        functools.partial(_backward, of_largest=of_largest, of_sum=of_sum),
        out_shape=calls.shape_like(grads, (size[0] * size[1], b, c), dtype),
        grid=grid,
        in_specs=[single, single],
        out_specs=whole,
        interpret=interpret,
    )(first[None], grads[None])
    return out.reshape(*size, b, c).transpose(2, 0, 1, 3)


def _forward(cells_ref, largest_ref, total_ref, first_ref, *, count):
    @pl.when(pl.program_id(2) == 0)
    def _():
        largest_ref[...] = jnp.full(largest_ref.shape, -jnp.inf)
        total_ref[...] = jnp.zeros(total_ref.shape)
        first_ref[...] = jnp.zeros(first_ref.shape, jnp.int32)

    place = _places(cells_ref.shape)
    inside = place < count  # Beyond the last cell is whatever was in memory.
    cells = cells_ref[...].astype(jnp.float32)
    total_ref[...] += jnp.where(inside, cells, 0.0).sum(axis=0, keepdims=True)
    cells = jnp.where(inside, cells, -jnp.inf)
    largest = cells.max(axis=0, keepdims=True)
    first = jnp.where((cells == largest) & inside, place, count)
    better = largest > largest_ref[...]  # Strictly: the first of equals stays.
    first = jnp.where(better, first.min(axis=0, keepdims=True), first_ref[...])
    first_ref[...] = first
    largest_ref[...] = jnp.maximum(largest, largest_ref[...])


def _backward(first_ref, grads_ref, out_ref, *, of_largest, of_sum):
    grads = grads_ref[...].astype(jnp.float32)
    here = _places(out_ref.shape) == first_ref[...]
    grads = jnp.where(here, (of_largest + of_sum) * grads, of_sum * grads)
    out_ref[...] = grads.astype(out_ref.dtype)


def _places(shape):
    """The number of every cell of a block among all cells of its map."""
    place = jax.lax.broadcasted_iota(jnp.int32, shape, 0)
    return place + pl.program_id(2) * shape[0]


def _blocks(b, p, c):
    """The grid, and blocks of `[P, B, C]` and `[1, B, C]` arrays on it."""
    size = min(p, _CELLS), min(b, _PICTURES), min(c, _CHANNELS)
    grid = (pl.cdiv(b, size[1]), pl.cdiv(c, size[2]), pl.cdiv(p, size[0]))
    whole = pl.BlockSpec(size, lambda i, j, k: (k, i, j))
    single = pl.BlockSpec((1, *size[1:]), lambda i, j, k: (0, i, j))
    return grid, whole, single

"""The same sums a tile at a time: nothing of a pair leaves the chip's fast memory."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_kernels import calls
from pallas_kernels.contrastive import tiles

_ROWS, _COLUMNS = 256, 1024
_ACROSS = (((1,), (1,)), ((), ()))  # Both contract their last axis.


def sums(rows, row_ids, columns, column_ids, *, margin, form, interpret=False):
    """As `reference.sums`."""
    kernel = functools.partial(_sums_kernel, margin=margin, form=form)
    arguments, specs, grid = _tiled(rows, row_ids, columns, column_ids)
    width = arguments[3].shape[0] // grid[1]
    found = pl.pallas_call(
        kernel,
        grid=grid,
        in_specs=specs,
        out_specs=pl.BlockSpec((1, 8, width), lambda i, j: (i, 0, 0)),
        out_shape=calls.shape_like(rows, (grid[0], 8, width), jnp.float32),
        compiler_params=_ORDER,
        interpret=interpret,
    )(*arguments)
    found = found.sum(axis=(0, 2))
    return found[:3], found[3:6]


def gradient(
    rows, row_ids, columns, column_ids, weights, *, margin, form, interpret=False
):
    """As `reference.gradient`."""
    kernel = functools.partial(_gradient_kernel, margin=margin, form=form)
    arguments, specs, grid = _tiled(rows, row_ids, columns, column_ids)
    high, depth = arguments[0].shape[0] // grid[0], rows.shape[1]
    found = pl.pallas_call(
        kernel,
        grid=grid,
        in_specs=[*specs, pl.BlockSpec(memory_space=pltpu.SMEM)],
        out_specs=pl.BlockSpec((high, depth), lambda i, j: (i, 0)),
        out_shape=calls.shape_like(rows, arguments[0].shape, rows.dtype),
        scratch_shapes=[
            pltpu.VMEM((high, depth), jnp.float32),
            pltpu.VMEM((high, 128), jnp.float32),
        ],
        compiler_params=_ORDER,
        interpret=interpret,
    )(*arguments, weights)
    return found[: len(rows)]


_ORDER = pltpu.CompilerParams(dimension_semantics=('parallel', 'arbitrary'))


def _tiled(rows, row_ids, columns, column_ids):
    high, width = min(_ROWS, _up(len(rows), 8)), min(_COLUMNS, _up(len(columns), 128))
    rows, row_ids = _fill(rows, row_ids, high)
    columns, column_ids = _fill(columns, column_ids, width)
    lengths = [jnp.sum(x.astype(jnp.float32) ** 2, axis=1) for x in (rows, columns)]
    depth = rows.shape[1]
    spec = lambda shape, at: pl.BlockSpec(shape, at)
    down, across = lambda i, j: (i, 0), lambda i, j: (0, j)
    specs = [spec((high, depth), down), spec((high, 1), down), spec((high, 3), down),
             spec((width, depth), lambda i, j: (j, 0)), spec((1, width), across),
             spec((3, width), across)]  # fmt: skip
    grid = len(rows) // high, len(columns) // width
    arguments = (rows, lengths[0][:, None], row_ids.T,
                 columns, lengths[1][None], column_ids)  # fmt: skip
    return arguments, specs, grid


def _up(n, step):
    return -(-n // step) * step


def _fill(x, ids, block):
    missing = -len(x) % block
    ids = jnp.pad(ids, ((0, 0), (0, missing)), constant_values=-1)
    return jnp.pad(x, ((0, missing), (0, 0))), ids


def _tile(x_ref, x_length_ref, x_ids_ref, y_ref, y_length_ref, y_ids_ref):
    inner = jax.lax.dot_general(
        x_ref[...], y_ref[...], _ACROSS, precision='highest',
        preferred_element_type=jnp.float32,
    )  # fmt: skip
    squares = x_length_ref[...] - 2 * inner + y_length_ref[...]
    return jnp.maximum(squares, 0), tiles.kinds(x_ids_ref[...], y_ids_ref[...])


def _sums_kernel(*refs, margin, form):
    *tile, out_ref = refs

    @pl.when(pl.program_id(1) == 0)
    def _():
        out_ref[...] = jnp.zeros_like(out_ref)

    squares, kinds = _tile(*tile)
    apart = tiles.hinge(squares, margin, form)
    for at, (kind, a) in enumerate(zip(kinds, (squares, apart, apart), strict=True)):
        out_ref[0, at : at + 1] += jnp.where(kind, a, 0).sum(axis=0, keepdims=True)
        out_ref[0, at + 3 : at + 4] += jnp.where(kind, 1.0, 0).sum(
            axis=0, keepdims=True
        )


def _gradient_kernel(*refs, margin, form):
    *tile, weights_ref, out_ref, towards_ref, total_ref = refs
    x_ref, y_ref = tile[0], tile[3]

    @pl.when(pl.program_id(1) == 0)
    def _():
        towards_ref[...] = jnp.zeros_like(towards_ref)
        total_ref[...] = jnp.zeros_like(total_ref)

    squares, (same, inside, outside) = _tile(*tile)
    apart = tiles.slope(squares, margin, form)
    w = [weights_ref[i] for i in range(3)]
    pull = jnp.where(
        same, w[0], apart * jnp.where(inside, w[1], jnp.where(outside, w[2], 0.0))
    )
    towards_ref[...] += jnp.dot(
        pull, y_ref[...].astype(jnp.float32), precision='highest'
    )
    for at in range(0, pull.shape[1], 128):
        total_ref[...] += pull[:, at : at + 128]

    @pl.when(pl.program_id(1) == pl.num_programs(1) - 1)
    def _():
        total = total_ref[...].sum(axis=1, keepdims=True)
        x = x_ref[...].astype(jnp.float32)
        out_ref[...] = (4 * (total * x - towards_ref[...])).astype(out_ref.dtype)

"""TPU kernel: a tile of points reads a window of the map as one matrix product.

Bilinear weights are the product of two hats, max(0, 1 - |distance|), of rows and columns,
so a tile is hats `[window, tile]` against the window's pixels `[window, C]`: no gather,
and the gradient is the transposed product, added to a map that stays on chip. The points
of a tile lie near one another where the warp is smooth; a tile whose bounding box exceeds
one window takes several.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_kernels import calls
from pallas_kernels.warp import tiles
from pallas_kernels.warp.tiles import COLUMNS, SIDE, SUBLANES

_ROWS = 24  # Of a window.
_LANES = 128  # Channels at a time.


def sample(maps: jax.Array, xy: jax.Array, *, interpret: Any = False) -> jax.Array:
    """As the reference, of float32 maps; they must be finite."""
    return _call(_forward, maps, xy, None, interpret)


def gradient(
    maps: jax.Array, xy: jax.Array, cotangent: jax.Array, *, interpret: Any = False
) -> jax.Array:
    """As the reference; the maps' values are not read."""
    return _call(_backward, maps, xy, cotangent, interpret)


def fits(height: int, width: int) -> bool:
    """Whether a map's 128 channels stay on chip."""
    return 4 * _LANES * height * tiles.padded(width) <= tiles.LIMIT


def _call(kernel, maps, xy, cotangent, interpret):
    batch, height, width, channels = maps.shape
    _, h, w, _ = xy.shape
    many = pl.cdiv(h, SIDE), pl.cdiv(w, SIDE)
    columns = tiles.padded(width)
    window = min(_ROWS, height), min(COLUMNS, columns)
    points = tiles.split(xy, many, (height, width))  # [B, tiles, 2, points of a tile]
    lanes = min(channels, _LANES)
    number = lambda i, j: i * many[1] + j
    at = pl.BlockSpec((1, 1, 2, SIDE**2), lambda b, c, i, j, s: (b, number(i, j), 0, 0))
    whole = pl.BlockSpec(
        (1, height, columns, lanes), lambda b, c, i, j, s: (b, 0, 0, c)
    )
    tile = pl.BlockSpec((1, SIDE, SIDE, lanes), lambda b, c, i, j, s: (b, i, j, c))
    full = (batch, height, columns, channels)
    forward = cotangent is None
    pad = [(0, 0), (0, 0), (0, columns - width), (0, 0)]
    given = jnp.pad(maps, pad) if forward else cotangent
    out = calls.shape_like(
        maps, (batch, h, w, channels) if forward else full, maps.dtype
    )
    result = pl.pallas_call(
        functools.partial(kernel, many=many, window=window, size=(h, w)),
        out_shape=out,
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=(batch, pl.cdiv(channels, lanes), *many),
            in_specs=[at, whole if forward else tile],
            out_specs=tile if forward else whole,
        ),
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=('arbitrary',) * 4,
            vmem_limit_bytes=tiles.MEMORY,
        ),
        interpret=interpret,
    )(tiles.windows(points, window), points, given)
    return result if forward else result[:, :, :width]


def _forward(windows_ref, xy_ref, maps_ref, out_ref, *, many, window, size):
    del size
    out_ref[...] = jnp.zeros_like(out_ref)

    def add(pixels, hats):
        seen = maps_ref[pixels].reshape(hats.shape[0], -1)
        dims = (((0,), (0,)), ((), ()))
        part = jax.lax.dot_general(
            hats, seen, dims, precision='highest', preferred_element_type=jnp.float32
        )
        out_ref[0] += part.reshape(out_ref.shape[1:])

    _each_window(windows_ref, xy_ref, many, window, maps_ref.shape[1:3], add)


def _backward(windows_ref, xy_ref, cotangent_ref, out_ref, *, many, window, size):
    i, j = pl.program_id(2), pl.program_id(3)

    @pl.when((i == 0) & (j == 0))
    def _():
        out_ref[...] = jnp.zeros_like(out_ref)

    # Beyond the last point is whatever was in memory.
    given = cotangent_ref[0]
    row = jax.lax.broadcasted_iota(jnp.int32, given.shape, 0) + i * SIDE
    column = jax.lax.broadcasted_iota(jnp.int32, given.shape, 1) + j * SIDE
    given = jnp.where((row < size[0]) & (column < size[1]), given, 0.0)
    given = given.reshape(SIDE**2, -1)

    def add(pixels, hats):
        part = jnp.dot(
            hats, given, precision='highest', preferred_element_type=jnp.float32
        )
        out_ref[pixels] += part.reshape(1, *window, -1)

    _each_window(windows_ref, xy_ref, many, window, out_ref.shape[1:3], add)


def _each_window(windows_ref, xy_ref, many, window, size, add):
    """Calls `add` with the index of each window's pixels and the hats of its points."""
    b, i, j = (pl.program_id(axis) for axis in (0, 2, 3))
    at = 4 * ((b * many[0] + i) * many[1] + j)
    top, left, down, across = (windows_ref[at + n] for n in range(4))
    x, y = xy_ref[0, 0, :1], xy_ref[0, 0, 1:]  # [1, points]

    def one(number, _):
        rows = top + jax.lax.div(number, across) * window[0]
        columns = left + jax.lax.rem(number, across) * window[1]
        # The last window is moved inside; what it shares with the one before is not its.
        row = jnp.minimum(rows, size[0] - window[0])
        column = pl.multiple_of(jnp.minimum(columns, size[1] - window[1]), SUBLANES)
        over_rows = tiles.hats(y, row, rows, window[0])
        over_columns = tiles.hats(x, column, columns, window[1])
        hats = over_rows[:, None] * over_columns[None]  # [rows, columns, points]
        pixels = (slice(0, 1), pl.ds(row, window[0]), pl.ds(column, window[1]))
        add(pixels, hats.reshape(window[0] * window[1], -1))
        return 0

    jax.lax.fori_loop(0, down * across, one, 0)

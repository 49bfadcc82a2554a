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

_SIDE = 16  # Of a tile, points.
_ROWS, _COLUMNS = (
    24,
    32,
)  # Of a window, pixels: a tile turned by .25 and enlarged by 1.2.
_LANES = 128  # Channels at a time.
_SUBLANES = 8  # Columns of a window start at multiples.
LIMIT = 32 * 2**20  # Bytes of a map's 128 channels that may be held on chip, twice.


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
    return 4 * _LANES * height * _padded_width(width) <= LIMIT


def _padded_width(width):
    return -(-width // _SUBLANES) * _SUBLANES


def _call(kernel, maps, xy, cotangent, interpret):
    batch, height, width, channels = maps.shape
    _, h, w, _ = xy.shape
    tiles = pl.cdiv(h, _SIDE), pl.cdiv(w, _SIDE)
    columns = _padded_width(width)
    window = min(_ROWS, height), min(_COLUMNS, columns)
    points = _tiled(xy, tiles, (height, width))  # [B, tiles, 2, points of a tile]
    lanes = min(channels, _LANES)
    number = lambda i, j: i * tiles[1] + j
    at = pl.BlockSpec(
        (1, 1, 2, _SIDE**2), lambda b, c, i, j, s: (b, number(i, j), 0, 0)
    )
    whole = pl.BlockSpec(
        (1, height, columns, lanes), lambda b, c, i, j, s: (b, 0, 0, c)
    )
    tile = pl.BlockSpec((1, _SIDE, _SIDE, lanes), lambda b, c, i, j, s: (b, i, j, c))
    full = (batch, height, columns, channels)
    forward = cotangent is None
    pad = [(0, 0), (0, 0), (0, columns - width), (0, 0)]
    given = jnp.pad(maps, pad) if forward else cotangent
    out = calls.shape_like(
        maps, (batch, h, w, channels) if forward else full, maps.dtype
    )
    result = pl.pallas_call(
        functools.partial(kernel, tiles=tiles, window=window, size=(h, w)),
        out_shape=out,
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=(batch, pl.cdiv(channels, lanes), *tiles),
            in_specs=[at, whole if forward else tile],
            out_specs=tile if forward else whole,
        ),
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=('arbitrary',) * 4,
            vmem_limit_bytes=2 * LIMIT + 24 * 2**20,
        ),
        interpret=interpret,
    )(_windows(points, window), points, given)
    return result if forward else result[:, :, :width]


def _tiled(xy, tiles, size):
    """Points `[B, h, w, 2]`, clipped to the map, as `[B, tiles, 2, _SIDE**2]`."""
    batch, h, w, _ = xy.shape
    last = jnp.array([size[1] - 1, size[0] - 1], xy.dtype).reshape(1, 1, 1, 2)
    ends = [(0, 0), (0, tiles[0] * _SIDE - h), (0, tiles[1] * _SIDE - w), (0, 0)]
    padded = jnp.pad(jnp.clip(xy, 0, last), ends, mode='edge')
    blocks = padded.reshape(batch, tiles[0], _SIDE, tiles[1], _SIDE, 2)
    blocks = blocks.transpose(0, 1, 3, 5, 2, 4)
    return blocks.reshape(batch, tiles[0] * tiles[1], 2, _SIDE**2)


def _windows(points, window):
    """Of each tile: first row and column, and windows down and across, flat int32."""
    low = jnp.floor(points.min(axis=-1)).astype(jnp.int32)
    high = jnp.floor(points.max(axis=-1)).astype(jnp.int32) + 1
    low = low.at[..., 0].set(low[..., 0] // _SUBLANES * _SUBLANES)
    sides = jnp.array(window[::-1], jnp.int32).reshape(1, 1, 2)
    many = (high - low) // sides + 1
    return jnp.concatenate([low[..., ::-1], many[..., ::-1]], axis=-1).reshape(-1)


def _forward(windows_ref, xy_ref, maps_ref, out_ref, *, tiles, window, size):
    del size
    out_ref[...] = jnp.zeros_like(out_ref)

    def add(pixels, hats):
        seen = maps_ref[pixels].reshape(hats.shape[0], -1)
        dims = (((0,), (0,)), ((), ()))
        part = jax.lax.dot_general(
            hats, seen, dims, precision='highest', preferred_element_type=jnp.float32
        )
        out_ref[0] += part.reshape(out_ref.shape[1:])

    _each_window(windows_ref, xy_ref, tiles, window, maps_ref.shape[1:3], add)


def _backward(windows_ref, xy_ref, cotangent_ref, out_ref, *, tiles, window, size):
    i, j = pl.program_id(2), pl.program_id(3)

    @pl.when((i == 0) & (j == 0))
    def _():
        out_ref[...] = jnp.zeros_like(out_ref)

    # Beyond the last point is whatever was in memory.
    given = cotangent_ref[0]
    row = jax.lax.broadcasted_iota(jnp.int32, given.shape, 0) + i * _SIDE
    column = jax.lax.broadcasted_iota(jnp.int32, given.shape, 1) + j * _SIDE
    given = jnp.where((row < size[0]) & (column < size[1]), given, 0.0)
    given = given.reshape(_SIDE**2, -1)

    def add(pixels, hats):
        part = jnp.dot(
            hats, given, precision='highest', preferred_element_type=jnp.float32
        )
        out_ref[pixels] += part.reshape(1, *window, -1)

    _each_window(windows_ref, xy_ref, tiles, window, out_ref.shape[1:3], add)


def _each_window(windows_ref, xy_ref, tiles, window, size, add):
    """Calls `add` with the index of each window's pixels and the hats of its points."""
    b, i, j = (pl.program_id(axis) for axis in (0, 2, 3))
    at = 4 * ((b * tiles[0] + i) * tiles[1] + j)
    top, left, down, across = (windows_ref[at + n] for n in range(4))
    x, y = xy_ref[0, 0, :1], xy_ref[0, 0, 1:]  # [1, points]

    def one(number, _):
        rows = top + jax.lax.div(number, across) * window[0]
        columns = left + jax.lax.rem(number, across) * window[1]
        # The last window is moved inside; what it shares with the one before is not its.
        row = jnp.minimum(rows, size[0] - window[0])
        column = pl.multiple_of(jnp.minimum(columns, size[1] - window[1]), _SUBLANES)
        over_rows = _hats(y, row, rows, window[0])
        over_columns = _hats(x, column, columns, window[1])
        hats = over_rows[:, None] * over_columns[None]  # [rows, columns, points]
        pixels = (slice(0, 1), pl.ds(row, window[0]), pl.ds(column, window[1]))
        add(pixels, hats.reshape(window[0] * window[1], -1))
        return 0

    jax.lax.fori_loop(0, down * across, one, 0)


def _hats(at, start, first, count):
    """Weights `[count, points]` of pixels from `start`, 0 before the `first`."""
    pixel = jax.lax.broadcasted_iota(jnp.int32, (count, 1), 0) + start
    near = jnp.maximum(0.0, 1 - jnp.abs(at - pixel.astype(jnp.float32)))
    return jnp.where(pixel >= first, near, 0.0)

"""TPU kernel for maps of few channels, which would leave most lanes of the other empty.

Planes `[C, W, H]`: a tile of points multiplies hats of all rows by some columns of every
channel, `[C * columns, H]` by `[H, tile]`, and sums those columns by their own hats.
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

CHANNELS = 4  # At most.


def sample(maps: jax.Array, xy: jax.Array, *, interpret: Any = False) -> jax.Array:
    """As the reference, of float32 maps; they must be finite."""
    batch, height, width, channels = maps.shape
    _, h, w, _ = xy.shape
    many = pl.cdiv(h, SIDE), pl.cdiv(w, SIDE)
    count, columns = many[0] * many[1], tiles.padded(width)
    window = height, min(COLUMNS, columns)
    points = tiles.split(xy, many, (height, width))
    pad = [(0, 0), (0, 0), (0, columns - width), (0, 0)]
    planes = jnp.pad(maps.transpose(0, 3, 2, 1), pad)
    block = lambda *shape: pl.BlockSpec((1, 1, *shape), lambda b, i, s: (b, i, 0, 0))
    out = pl.pallas_call(
        functools.partial(_kernel, count=count, columns=window[1]),
        out_shape=calls.shape_like(maps, (batch, count, channels, SIDE**2), maps.dtype),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=(batch, count),
            in_specs=[
                block(2, SIDE**2),
                pl.BlockSpec((1, *planes.shape[1:]), lambda b, i, s: (b, 0, 0, 0)),
            ],
            out_specs=block(channels, SIDE**2),
        ),
        compiler_params=pltpu.CompilerParams(vmem_limit_bytes=tiles.MEMORY),
        interpret=interpret,
    )(tiles.windows(points, window), points, planes)
    out = out.reshape(batch, *many, channels, SIDE, SIDE).transpose(0, 1, 4, 2, 5, 3)
    return out.reshape(batch, many[0] * SIDE, many[1] * SIDE, channels)[:, :h, :w]


def fits(height: int, width: int, channels: int) -> bool:
    """Whether this is the kernel for such maps, and they stay on chip."""
    stored = 4 * channels * tiles.padded(width) * tiles.padded(height, 128)
    return channels <= CHANNELS and stored <= tiles.LIMIT


def _kernel(windows_ref, xy_ref, planes_ref, out_ref, *, count, columns):
    at = 4 * (pl.program_id(0) * count + pl.program_id(1))
    left, across = windows_ref[at + 1], windows_ref[at + 3]
    x, y = xy_ref[0, 0, :1], xy_ref[0, 0, 1:]  # [1, points]
    _, channels, width, height = planes_ref.shape
    over_rows = tiles.hats(y, 0, 0, height)
    out_ref[...] = jnp.zeros_like(out_ref)

    def add(number, _):
        first = left + number * columns
        start = pl.multiple_of(jnp.minimum(first, width - columns), SUBLANES)
        seen = planes_ref[0, :, pl.ds(start, columns)]
        part = jnp.dot(
            seen.reshape(channels * columns, height),
            over_rows, precision='highest', preferred_element_type=jnp.float32)  # fmt: skip
        over_columns = tiles.hats(x, start, first, columns)
        part = part.reshape(channels, columns, -1) * over_columns[None]
        out_ref[0, 0] += part.sum(axis=1)
        return 0

    jax.lax.fori_loop(0, across, add, 0)

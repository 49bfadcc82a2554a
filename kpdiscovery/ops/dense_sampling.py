"""Maps sampled at whole grids of points, on TPUs without gathers.

Where a gather is cheap (CPUs, GPUs) the four pixels around each point are read. A TPU
reads them one by one; there the kernels of `pallas_kernels.warp` multiply by hats,
`max(0, 1 - abs(distance))`, which weigh far pixels by 0: on TPUs maps must be finite.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from kpdiscovery.ops import heatmaps, parallel
from pallas_kernels.warp import api


def sample_grid(maps: jax.Array, xy: jax.Array) -> jax.Array:
    """Maps `[..., H, W, C]` at points `[..., h, w, 2]`: `[..., h, w, C]`.

    As `heatmaps.sample_bilinear`. Gradients of reverse mode only.
    """
    maps = maps.astype(jnp.promote_types(maps.dtype, xy.dtype))
    function = _sample
    for _ in maps.shape[:-3]:
        function = jax.vmap(function)
    return function(maps, xy)


def _by_picture(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """`function` of batches for one picture; mapped over pictures it gets them whole."""

    @jax.custom_batching.custom_vmap
    def one(*arrays):
        return function(*(x[None] for x in arrays))[0]

    @one.def_vmap
    def _(size, batched, *arrays):
        spread = lambda x, has: x if has else jnp.broadcast_to(x, (size, *x.shape))
        return function(*map(spread, arrays, batched)), True

    return one


@_by_picture
def _forward(maps, xy):
    return jax.lax.platform_dependent(
        maps, xy, tpu=lambda *args: parallel.by_rows(api.sample, *args), default=gather
    )


@_by_picture
def _gradient(maps, xy, cotangent):
    pull = lambda function: (
        lambda m, p, g: jax.vjp(lambda m: function(m, p), m)[1](g)[0]
    )
    return jax.lax.platform_dependent(
        maps, xy, cotangent, default=pull(gather),
        tpu=lambda *args: parallel.by_rows(pull(api.sample), *args))  # fmt: skip


@jax.custom_vjp
def _sample(maps, xy):
    return _forward(maps, xy)


def _backward(given, cotangent):
    maps, xy = given
    # Warps are rarely learned: where this is not asked for, the compiler drops it.
    of_points = jax.vjp(lambda p: gather(maps[None], p[None])[0], xy)[1](cotangent)
    return _gradient(maps, xy, cotangent), of_points[0]


_sample.defvjp(lambda *given: (_sample(*given), given), _backward)


def gather(maps: jax.Array, xy: jax.Array) -> jax.Array:
    """`sample_grid` of `[B, H, W, C]` and `[B, h, w, 2]` by reading four pixels a point."""
    batch, h, w, _ = xy.shape
    read = heatmaps.sample_bilinear(maps, xy.reshape(batch, h * w, 2))
    return read.reshape(batch, h, w, -1)

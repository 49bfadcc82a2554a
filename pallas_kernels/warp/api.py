"""Bilinear sampling of maps at a grid of points, on TPUs by the kernel."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from pallas_kernels import calls
from pallas_kernels.warp import mosaic_tpu, mosaic_tpu_pictures, reference


def sample(
    maps: jax.Array, xy: jax.Array, *, implementation: str = 'auto'
) -> jax.Array:
    """Maps `[B, H, W, C]` at points `[B, h, w, 2]`, (x, y): `[B, h, w, C]`.

    Fast where neighbouring points lie near one another, right where they do not. Points
    outside a map read its nearest border pixel. The kernel weighs a whole window of
    pixels, most of them by 0: one that is not finite spoils the points around it.

    Args:
        maps: float32 for the kernel; of other types, and of maps too large for a chip's
            memory (`mosaic_tpu.fits`), the reference is taken.
        implementation: as `calls.dispatch`.

    Raises:
        ValueError: shapes that do not go together.
    """
    if maps.ndim != 4 or xy.shape[:1] != maps.shape[:1] or xy.shape[3:] != (2,):
        raise ValueError(
            f'maps must be [B, H, W, C] and xy [B, h, w, 2], got {maps.shape}, {xy.shape}'
        )
    return _sample(implementation, maps, xy)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _sample(implementation, maps, xy):
    few = mosaic_tpu_pictures.fits(*maps.shape[1:])
    fits = few or mosaic_tpu.fits(*maps.shape[1:3])
    kernel = mosaic_tpu_pictures.sample if few else mosaic_tpu.sample
    return calls.dispatch(
        _possible(implementation, maps, xy, fits), reference.sample, kernel, maps, xy
    )


def _backward(implementation, given, cotangent):
    maps, xy = given
    fits = mosaic_tpu.fits(*maps.shape[1:3])
    of_maps = calls.dispatch(
        _possible(implementation, maps, xy, fits),
        reference.gradient, mosaic_tpu.gradient, maps, xy, cotangent)  # fmt: skip
    # Warps are rarely learned: where this is not asked for, the compiler drops it.
    return of_maps, jax.vjp(lambda p: reference.sample(maps, p), xy)[1](cotangent)[0]


_sample.defvjp(
    lambda implementation, *given: (_sample(implementation, *given), given), _backward
)


def _possible(implementation, maps, xy, fits):
    floats = maps.dtype == xy.dtype == jnp.float32
    return implementation if floats and fits else 'reference'

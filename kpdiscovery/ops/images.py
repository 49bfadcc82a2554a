"""Pictures as arrays: value ranges and sizes."""

import jax
import jax.numpy as jnp

from kpdiscovery.ops import precision

_LUMA = (0.299, 0.587, 0.114)


def as_float(images: jax.Array) -> jax.Array:
    """uint8 pictures (0..255) as float32 in [0, 1]; floating ones pass as float32."""
    images = jnp.asarray(images)
    if jnp.issubdtype(images.dtype, jnp.floating):
        return precision.full(images)
    return images.astype(float) / 255  # float64 only where jax is told so.


def resize(images: jax.Array, size: tuple[int, ...]) -> jax.Array:
    """`[..., H, W, C]` to (H, W) `size`, bilinear, antialiased when it shrinks."""
    if images.shape[-3:-1] == tuple(size):
        return images
    shape = (*images.shape[:-3], *size, images.shape[-1])
    return jax.image.resize(images, shape, 'linear', antialias=True)


def to_gray(images: jax.Array) -> jax.Array:
    """Luma of `[..., 3]` pictures: `[...]`."""
    luma = jnp.array(_LUMA, images.dtype).reshape((1,) * (images.ndim - 1) + (3,))
    return jnp.sum(images * luma, axis=-1)

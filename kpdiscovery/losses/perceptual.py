"""Distance of pictures in the features of a pretrained network.

Source: Johnson et al. 2016 (arXiv:1603.08155), with absolute differences.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

Features = Mapping[str, jax.Array]


def perceptual(
    x: jax.Array,
    y: jax.Array,
    extract: Callable[[jax.Array], Features],
    *,
    side: int = 224,
) -> jax.Array:
    """`feature_distance` of two batches of pictures, `[B, H, W, 3]` -> `[B]`.

    Pictures are resized bilinearly (edges on edges, no antialiasing) until their longer
    side has `side` pixels. Gradients flow to both; wrap a fixed target in
    `stop_gradient` where it depends on parameters.

    Args:
        x: pictures in [0, 1], any float dtype.
        y: pictures of the same shape.
        extract: resized float32 pictures in [0, 1] -> {name: `[B, h, w, C]`}. The
            network's own normalisation belongs to it, as in `models.backbones`.
        side: longer side of what `extract` gets, pixels.

    Returns:
        `[B]` float32, at least 0.

    Raises:
        ValueError: shapes differ, or pictures are not `[B, H, W, C]` floats.
    """
    return feature_distance(
        *(extract(_resize_longer_side(images, side)) for images in _checked(x, y))
    )


def feature_distance(features_x: Features, features_y: Features) -> jax.Array:
    """Sum over maps of the mean absolute difference: {name: `[B, ...]`} -> `[B]`.

    Computed in float32; at least 0. Maps count alike whatever their size.
    """
    shapes = [{k: v.shape for k, v in f.items()} for f in (features_x, features_y)]
    if not shapes[0] or shapes[0] != shapes[1]:
        raise ValueError(f'features must be maps of equal shapes, got {shapes}')
    terms = [
        jnp.abs(map_x.astype(jnp.float32) - features_y[name].astype(jnp.float32))
        for name, map_x in features_x.items()
    ]
    means = [term.mean(axis=tuple(range(1, term.ndim))) for term in terms]
    return jnp.stack(means).sum(axis=0)


def _checked(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    for images in (x, y):
        if images.ndim != 4 or not jnp.issubdtype(images.dtype, jnp.floating):
            raise ValueError(
                'pictures must be [B, H, W, C] floats in [0, 1], got '
                f'{images.dtype} {images.shape}'
            )
    if x.shape != y.shape:
        raise ValueError(f'pictures must have equal shapes, got {x.shape}, {y.shape}')
    return x, y


def _resize_longer_side(images: jax.Array, side: int) -> jax.Array:
    b, h, w, c = images.shape
    size = tuple(max(1, round(n * side / max(h, w))) for n in (h, w))
    return jax.image.resize(
        images.astype(jnp.float32), (b, *size, c), 'linear', antialias=False
    )

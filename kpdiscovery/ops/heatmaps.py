"""Score maps to points and points to maps."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kpdiscovery.ops import coordinates, precision
from kpdiscovery.ops.suppression import suppress_adaptively as suppress_adaptively
from kpdiscovery.types import Keypoints


def gaussian_heatmaps(
    xy: jax.Array, shape: tuple[int, int], *, sigma: float
) -> jax.Array:
    """Gaussians of height 1 at points `[..., K, 2]`: `[..., H, W, K]` float32."""
    x, y = _axis_distances(xy, shape)
    fall = lambda squares: jnp.exp(-jnp.swapaxes(squares, -1, -2) / (2 * sigma**2))
    return fall(y)[..., :, None, :] * fall(x)[..., None, :, :]


def gaussian_splats(
    xy: jax.Array, shape: tuple[int, int], *, variance: float
) -> tuple[jax.Array, jax.Array]:
    """Gaussians of sum 1 at points, as the two factors of their outer product.

    A Gaussian normalised over the pixel grid is the product of two normalised ones, so
    the `[H, W]` maps need never be stored.

    Args:
        xy: `[..., K, 2]` pixels.
        shape: (H, W) of the map.
        variance: in squared pixels.

    Returns:
        `rows` `[..., K, H]` and `columns` `[..., K, W]`, each of sum 1.

    Source: [jin2022], section 3.1 (soft splat of sub-pixel width).
    """
    x, y = _axis_distances(xy, shape)
    soft = lambda squares: jax.nn.softmax(-squares / (2 * variance), axis=-1)
    return soft(y), soft(x)


def non_maximum_suppression(scores: jax.Array, *, window: int) -> jax.Array:
    """Scores `[..., H, W]`, zero where a neighbour within `window` is higher.

    The window is square and odd; pixels of a plateau are all kept.
    """
    _check_window(window)
    highest = _max_filter(jax.lax.stop_gradient(scores), window)
    return jnp.where(scores == highest, scores, 0)


def top_k_keypoints(
    scores: jax.Array, k: int, *, window: int, threshold: float = 0.0
) -> Keypoints:
    """The K highest peaks of `[..., H, W]` maps, highest first, at whole pixels.

    Args:
        scores: non-negative.
        k: number of keypoints; at most H * W.
        window: side of the suppression square, odd.
        threshold: keypoints that score no more than this are not `valid`.

    Returns:
        Keypoints `[..., K]` with label -1.
    """
    *lead, h, w = scores.shape
    if k > h * w:
        raise ValueError(
            f'k must be at most H * W = {h * w} for a {h}x{w} map, got {k}'
        )
    peaks = non_maximum_suppression(scores, window=window).reshape(*lead, h * w)
    score, flat = jax.lax.top_k(peaks, k)
    xy = jnp.stack([flat % w, flat // w], axis=-1).astype(jnp.float32)
    return Keypoints(xy, score, jnp.full(flat.shape, -1, jnp.int32), score > threshold)


def soft_argmax(logits: jax.Array, *, temperature: float = 1.0) -> jax.Array:
    """Expected (x, y) under a softmax over the pixels of `[..., H, W, K]`.

    Returns `[..., K, 2]` float32 pixels. Source: [jakab2018].
    """
    if logits.ndim < 3:
        raise ValueError(f'logits must be [..., H, W, K], got {logits.shape}')
    *lead, h, w, k = logits.shape
    flat = precision.full(logits.reshape(*lead, h * w, k))
    prob = jax.nn.softmax(flat / temperature, axis=-2)
    grid = coordinates.pixel_grid(h, w).reshape(h * w, 2)
    return jnp.einsum('...pk,pc->...kc', prob, grid, precision='highest')


def local_soft_argmax(
    scores: jax.Array, xy: jax.Array, *, window: int, temperature: float
) -> jax.Array:
    """Points refined by a soft-argmax over the square around each.

    Outside the map the score is 0, which weighs exp(0) and not nothing: points near a
    border are drawn a little beyond it, as in the released code of TUSK.

    Args:
        scores: `[..., H, W]`; gradients flow through it.
        xy: `[..., K, 2]` whole pixels.
        window: side of the square, odd.
        temperature: divides the scores.

    Returns:
        `[..., K, 2]` float32 pixels.

    Source: [jin2022], section 3.1, eq. 1.
    """
    _check_window(window)
    patches = _patches(precision.full(scores), xy, window)  # [..., K, n, n]
    *lead, n, _ = patches.shape
    weight = jax.nn.softmax(patches.reshape(*lead, n * n) / temperature, axis=-1)
    offsets = coordinates.pixel_grid(n, n).reshape(n * n, 2) - n // 2
    return xy + jnp.einsum('...p,pc->...c', weight, offsets, precision='highest')


def centroid(scores: jax.Array, xy: jax.Array, *, window: int) -> jax.Array:
    """Points moved to the centre of mass of what is above 0 in the square around each.

    Args:
        scores: `[..., H, W]`.
        xy: `[..., K, 2]` whole pixels.
        window: side of the square, odd. At a border it is as narrow as there is room on
            both sides of the point: of half a peak the middle would lie inwards.

    Returns:
        `[..., K, 2]` float32 pixels; the point itself where nothing is above 0.
    """
    _check_window(window)
    patches = jnp.maximum(_patches(precision.full(scores), xy, window), 0)
    *lead, n, _ = patches.shape
    h, w = scores.shape[-2:]
    last = jnp.array([w - 1, h - 1]).reshape((1,) * (xy.ndim - 1) + (2,))
    room = jnp.minimum(xy, last - xy)[..., None]  # [..., K, 2, 1]
    reach = jnp.abs(jnp.arange(n) - n // 2).reshape((1,) * xy.ndim + (n,))
    across, down = ((reach <= room)[..., axis, :] for axis in (0, 1))
    patches = jnp.where(down[..., :, None] & across[..., None, :], patches, 0)
    weight = patches.reshape(*lead, n * n)
    weight = weight / jnp.maximum(weight.sum(axis=-1, keepdims=True), 1e-12)
    offsets = coordinates.pixel_grid(n, n).reshape(n * n, 2) - n // 2
    return xy + jnp.einsum('...p,pc->...c', weight, offsets, precision='highest')


def sample_bilinear(features: jax.Array, xy: jax.Array) -> jax.Array:
    """Features `[..., H, W, C]` at points `[..., K, 2]`: `[..., K, C]`.

    Points outside the map read its nearest border pixel.
    """
    h, w = features.shape[-3:-1]
    limit = jnp.array([w - 1, h - 1], dtype=xy.dtype)
    xy = jnp.clip(xy, 0, limit.reshape((1,) * (xy.ndim - 1) + (2,)))
    low = jnp.floor(jax.lax.stop_gradient(xy))
    frac = (xy - low)[..., None]
    x0, y0 = (low[..., axis].astype(jnp.int32) for axis in (0, 1))
    x1, y1 = jnp.minimum(x0 + 1, w - 1), jnp.minimum(y0 + 1, h - 1)
    fx, fy = frac[..., 0, :], frac[..., 1, :]
    top = read_pixels(features, x0, y0) * (1 - fx) + read_pixels(features, x1, y0) * fx
    below = (
        read_pixels(features, x0, y1) * (1 - fx) + read_pixels(features, x1, y1) * fx
    )
    return top * (1 - fy) + below * fy


def sample_bicubic(features: jax.Array, xy: jax.Array) -> jax.Array:
    """As `sample_bilinear`, of the 4 x 4 pixels around each point.

    Source: [keys1981] with a = -3/4, PyTorch's choice.
    """
    h, w = features.shape[-3:-1]
    low = jnp.floor(jax.lax.stop_gradient(xy))
    at = lambda axis, step, size: jnp.clip(
        low[..., axis].astype(jnp.int32) + step, 0, size - 1
    )
    across, down = (_cubic(xy[..., axis] - low[..., axis]) for axis in (0, 1))
    rows = [
        sum(
            read_pixels(features, at(0, i, w), at(1, j, h)) * across[i]
            for i in across
        ) * down[j]
        for j in down
    ]  # fmt: skip
    return sum(rows[1:], rows[0])


def _cubic(fraction):
    """Weights `[..., 1]` of the pixels -1, 0, 1, 2 after the one before a point."""
    a = -0.75
    near = lambda t: ((a + 2) * t - (a + 3)) * t**2 + 1
    far = lambda t: a * (((t - 5) * t + 8) * t - 4)
    t = fraction[..., None]
    return {-1: far(t + 1), 0: near(t), 1: near(1 - t), 2: far(2 - t)}


def read_pixels(features: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Features `[..., H, W, C]` at whole pixels `[..., K]`, which must be inside."""
    *lead, h, w, c = features.shape
    flat = features.reshape(*lead, h * w, c)
    return jnp.take_along_axis(flat, (y * w + x)[..., None], axis=-2, mode='clip')


def _patches(scores, xy, window):
    half = window // 2
    *lead, h, w = scores.shape
    flat = scores.reshape(-1, h, w)
    corner = xy.reshape(flat.shape[0], -1, 2).astype(jnp.int32)
    padded = jnp.pad(flat, ((0, 0), (half, half), (half, half)))
    cut = lambda one, c: jax.lax.dynamic_slice(one, (c[1], c[0]), (window, window))
    patches = jax.vmap(jax.vmap(cut, (None, 0)))(padded, corner)
    return patches.reshape(*lead, -1, window, window)


def _max_filter(scores, window):
    """Two one-dimensional passes: a square maximum is separable, and far cheaper."""
    for axis in (scores.ndim - 2, scores.ndim - 1):
        dims = [window if i == axis else 1 for i in range(scores.ndim)]
        ones = [1] * scores.ndim
        scores = jax.lax.reduce_window(
            scores, -jnp.inf, jax.lax.max, dims, ones, 'SAME'
        )
    return scores


def _axis_distances(xy, shape):
    h, w = shape
    lead = (1,) * (xy.ndim - 1)
    square = lambda axis, n: (
        (precision.full(xy[..., axis, None]) - jnp.arange(n).reshape(*lead, n)) ** 2
    )
    return square(0, w), square(1, h)


def _check_window(window):
    if window < 1 or window % 2 == 0:
        raise ValueError(f'window must be odd and positive, got {window}')

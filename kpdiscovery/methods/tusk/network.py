"""TUSK's networks and the forward pass between them ([jin2022], section 3.1, A.1).

image -> encoder -> feature map F and score map S -> K keypoints with a descriptor each
-> splats -> decoder -> image.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from kpdiscovery.models.conv import Conv
from kpdiscovery.models.unet import UNet
from kpdiscovery.ops import heatmaps, precision, vectors
from kpdiscovery.ops.whitening import Moments, whiten


class Encoder(nn.Module):
    """U-Net with a score head on top of its features."""

    channels: int = 32  # D, of features and descriptors.
    width: int = 32
    levels: int = 4
    groups: int = 32
    normalize_features: str = ''  # See `normalize_features`.
    dtype: jnp.dtype = jnp.float32
    remat: bool = False
    upright: bool = False  # What stands out of the score map does so upwards.

    @nn.compact
    def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """`[B, H, W, 3]` -> features `[B, H, W, D]`, score logits `[B, H, W]`."""
        sizes = self.width, self.levels, self.groups, self.dtype, self.remat
        f = UNet(self.channels, *sizes, name='unet')(images)
        h = Conv(self.channels, dtype=self.dtype, name='hidden')(f)
        h = nn.relu(
            nn.GroupNorm(self.groups, epsilon=1e-5, dtype=self.dtype, name='norm')(h)
        )
        h = precision.full(Conv(1, dtype=self.dtype, name='score')(h))
        # One channel: the logits are standardised over the picture.
        h = nn.GroupNorm(1, epsilon=1e-5, dtype=h.dtype, name='standardize')(h)
        h = upright(h) if self.upright else h
        f = precision.full(f)
        return normalize_features(f, self.normalize_features), h[..., 0]


class SoftKeypoints(NamedTuple):
    """K points of B images, all differentiable."""

    xy: jax.Array  # [B, K, 2]
    confidence: jax.Array  # [B, K]
    descriptors: jax.Array  # [B, K, D]: features as read, or (`on_sphere`) unit length.
    peak: Any = None  # [B, K] bool: False fills up a map of fewer peaks.


def normalize_features(features: jax.Array, how: str) -> jax.Array:
    """A fixed scale for `[B, H, W, D]`, which equivariance would else shrink to nothing.

    Args:
        how: 'channel' brings each channel to mean 0 and variance 1 over the picture,
            'picture' all of them together to mean square 1; '' changes nothing (paper).
    """
    if how == 'channel':
        features -= features.mean(axis=(1, 2), keepdims=True)
        square = jnp.mean(features**2, axis=(1, 2), keepdims=True)
    elif how == 'picture':
        square = jnp.mean(features**2, axis=(1, 2, 3), keepdims=True)
    else:
        return features
    return features * jax.lax.rsqrt(square + 1e-5)


def upright(logits: jax.Array) -> jax.Array:
    """`[B, H, W, 1]`, or turned over about their mean: that of which the third central moment
    is positive.

    Equivariance does not tell a map with peaks from one with pits at the same places, and
    what lies in a pit is never chosen, so that nothing ever fills it. Where the moment is
    next to 0, two views of a picture may be turned differently.
    """
    mean = logits.mean(axis=(1, 2), keepdims=True)
    gap = logits - mean
    moment = jnp.mean(gap**3, axis=(1, 2), keepdims=True)
    return jnp.where(moment < 0, mean - gap, logits)


def saliency(images: jax.Array) -> jax.Array:
    """Where pictures differ from their mean colour more than on average: `[B, H, W]`.

    0 up to the average squared difference, 1 from twice that on.
    """
    gap = jnp.mean((images - images.mean(axis=(1, 2), keepdims=True)) ** 2, axis=-1)
    average = gap.mean(axis=(1, 2), keepdims=True)
    return jnp.clip(gap / jnp.maximum(average, 1e-8) - 1, 0, 1)


def locate(
    scores: jax.Array,
    k: int,
    *,
    window: int,
    temperature: float,
    bonus: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Sub-pixel peaks of `[B, H, W]` score maps, best first.

    Returns `[B, K, 2]` pixels and `[B, K]` bool: a map of fewer than K peaks is filled
    up with arbitrary pixels, which are False.

    `bonus` `[B, H, W]`, if given, is added where peaks are chosen and nowhere else.
    """
    ranked = scores if bonus is None else scores + bonus
    peaks = heatmaps.top_k_keypoints(jax.lax.stop_gradient(ranked), k, window=window)
    xy = heatmaps.local_soft_argmax(
        scores, peaks.xy, window=window, temperature=temperature
    )
    return xy, peaks.valid


def describe(scores, features, xy, *, sampling: str) -> SoftKeypoints:
    """Confidence and features at points, by `sampling` 'bilinear' or 'floor' (code).

    No gradient reaches the location through the descriptor.
    """
    score_map = scores[..., None]
    if sampling == 'floor':
        confidence = _corner_interpolation(score_map, xy)
        x, y = (_inside(xy[..., axis], features.shape[2 - axis]) for axis in (0, 1))
        read = heatmaps.read_pixels(features, x, y)
    else:
        confidence = heatmaps.sample_bilinear(score_map, xy)[..., 0]
        read = heatmaps.sample_bilinear(features, jax.lax.stop_gradient(xy))
    return SoftKeypoints(xy, confidence, read)


def on_sphere(found: SoftKeypoints, moments: Moments | None = None) -> SoftKeypoints:
    """Descriptors of unit length; whitened before, where `moments` are given.

    Features of all keypoints have much in common (they are not ground) and differ most
    in what matters least to a kind of object (the amount of ink of a digit). Prototypes
    then share a narrow cone, along one axis of it, and the cluster loss drives the
    whole cone round the sphere faster than they can follow.
    """
    read = found.descriptors
    if moments is not None:
        read = whiten(read, moments)
    return found._replace(descriptors=vectors.normalize(read))


def splat(found: SoftKeypoints, shape, *, variance: float, gain: float = 1.0):
    """Weighted descriptors and the two factors of their splats."""
    rows, columns = heatmaps.gaussian_splats(found.xy, shape, variance=variance)
    values = found.descriptors * (gain * found.confidence)[..., None]
    return values, rows, columns


def decode_sum(decode, found: SoftKeypoints, shape, **options) -> jax.Array:
    """Image `[B, H, W, 3]` decoded from the sum of all splats."""
    dense = jnp.einsum('bkd,bky,bkx->byxd', *splat(found, shape, **options))
    return nn.sigmoid(precision.full(decode(dense)))


def decode_layers(
    decode, found: SoftKeypoints, shape, **options
) -> tuple[jax.Array, jax.Array | None]:
    """Each keypoint decoded alone: colours `[B, K, H, W, 3]`, alpha logits `[B, K, H, W]`.

    A decoder of three channels has no alpha.
    """
    dense = jnp.einsum('bkd,bky,bkx->bkyxd', *splat(found, shape, **options))
    b, k = dense.shape[:2]
    out = precision.full(decode(dense.reshape(b * k, *dense.shape[2:])))
    out = out.reshape(b, k, *out.shape[1:])
    return nn.sigmoid(out[..., :3]), out[..., 3] if out.shape[-1] > 3 else None


def blend(colors: jax.Array, alphas: jax.Array) -> jax.Array:
    """Layers `[B, K, H, W, 3]` weighted by `[B, K, H, W]` shares: `[B, H, W, 3]`."""
    return jnp.einsum('bkyxc,bkyx->byxc', colors, alphas)


def _inside(coordinate, n):
    return jnp.clip(jax.lax.stop_gradient(coordinate).astype(jnp.int32), 0, n - 1)


def _corner_interpolation(score_map, xy):
    """The released code's confidence: floor and ceil corners, so 0 at whole pixels."""
    h, w = score_map.shape[1:3]
    last = jnp.array([w - 1, h - 1], xy.dtype).reshape(1, 1, 2)
    low, high = (
        jnp.clip(f(jax.lax.stop_gradient(xy)), 0, last) for f in (jnp.floor, jnp.ceil)
    )
    total = jnp.zeros(xy.shape[:-1])
    for cx, other_x in ((low, high), (high, low)):
        for cy, other_y in ((low, high), (high, low)):
            weight = jnp.abs(other_x[..., 0] - xy[..., 0]) * jnp.abs(
                other_y[..., 1] - xy[..., 1]
            )
            corner = [c[..., i].astype(jnp.int32) for i, c in ((0, cx), (1, cy))]
            total += weight * heatmaps.read_pixels(score_map, *corner)[..., 0]
    return total

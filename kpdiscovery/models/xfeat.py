"""XFeat: keypoints, how reliable they are, and descriptors, from a light network.

Source: [potje2024]; the layers are those of the published weights. For inference only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from kpdiscovery.models import weights
from kpdiscovery.models.conv import check_divisible
from kpdiscovery.ops import cells, coordinates, heatmaps, suppression, vectors
from kpdiscovery.ops import images as image_ops
from kpdiscovery.types import Keypoints, Tree

STRIDE = 8  # Of all that it gives.
STEP = 32  # Sides are multiples of it.
THRESHOLD = 0.05  # Least probability of a point.
WINDOW = 5  # Pixels, of suppression among the probabilities.
RADIUS = 4  # Pixels, of suppression among the points: ours, see RESULTS.md.
_CANDIDATES = 512  # Points before it.
# Pixels from where the published network finds a point to what it marks: found by
# mirroring pictures and turning them upside down (RESULTS.md).
OFFSET = (-0.4, 1.7)
_EPSILON = 1e-5
_BLOCKS = {  # Width, kernel and stride of every layer.
    'block1': ((4, 3, 1), (8, 3, 2), (8, 3, 1), (24, 3, 2)),
    'block2': ((24, 3, 1), (24, 3, 1)),
    'block3': ((64, 3, 2), (64, 3, 1), (64, 1, 1)),
    'block4': ((64, 3, 2), (64, 3, 1), (64, 3, 1)),
    'block5': ((128, 3, 2), (128, 3, 1), (128, 3, 1), (64, 1, 1)),
    'block_fusion': ((64, 3, 1), (64, 3, 1)),
    'heatmap_head': ((64, 1, 1), (64, 1, 1)),
    'keypoint_head': ((64, 1, 1), (64, 1, 1), (64, 1, 1)),
}
_LAST = {  # 1x1 convolutions with bias: those that follow a block, and the shortcut.
    'skip1.1': 24, 'block_fusion.2': 64, 'heatmap_head.2': 1, 'keypoint_head.3': 65,
}  # fmt: skip


class Maps(NamedTuple):
    """Of pictures `[B, H, W]`, by cells of 8 x 8 pixels."""

    logits: jax.Array  # [B, h, w, 65], as `ops.cells` reads them.
    reliability: jax.Array  # [B, h, w] in (0, 1).
    descriptors: jax.Array  # [B, h, w, 64], of any length.


class XFeat(nn.Module):
    """The network with its running statistics, which have neither scale nor shift."""

    @nn.compact
    def __call__(self, gray: jax.Array) -> Maps:
        """`[B, H, W, 1]` of any range.

        Raises:
            ValueError: not one channel, or sides that 32 does not divide.
        """
        if gray.ndim != 4 or gray.shape[-1] != 1:
            raise ValueError(f'images must be gray [B, H, W, 1], got {gray.shape}')
        check_divisible(gray.shape, STEP, 'five halvings')
        x = _standardize(gray)
        shortcut = self._last(nn.avg_pool(x, (4, 4), (4, 4)), 'skip1.1')
        fine = self._block(self._block(x, 'block1') + shortcut, 'block2')
        third = self._block(fine, 'block3')
        fourth = self._block(third, 'block4')
        fifth = self._block(fourth, 'block5')
        size = third.shape[1:3]
        pyramid = third + image_ops.resize(fourth, size) + image_ops.resize(fifth, size)
        fused = self._last(self._block(pyramid, 'block_fusion'), 'block_fusion.2')
        sure = self._last(self._block(fused, 'heatmap_head'), 'heatmap_head.2')
        pixels = self._block(cells.split(x[..., 0]), 'keypoint_head')
        logits = self._last(pixels, 'keypoint_head.3')
        return Maps(logits, jax.nn.sigmoid(sure[..., 0]), fused)

    def _block(self, x, name):
        for n, (width, size, stride) in enumerate(_BLOCKS[name]):
            x = nn.Conv(
                width, (size, size), stride, size // 2, use_bias=False,
                name=f'{name}.{n}',
            )(x)  # fmt: skip
            x = nn.BatchNorm(
                use_running_average=True, epsilon=_EPSILON, use_bias=False,
                use_scale=False, name=f'{name}.{n}.norm',
            )(x)  # fmt: skip
            x = nn.relu(x)
        return x

    def _last(self, x, name):
        return nn.Conv(_LAST[name], (1, 1), name=name)(x)


def find(variables: Any, images: jax.Array, num: int) -> tuple[Keypoints, jax.Array]:
    """The best points of pictures of any size, and their descriptors.

    Sides become the nearest multiples of 32 for it.

    Args:
        variables: of `load`.
        images: `[B, H, W, 3]` in [0, 1].
        num: K; scores are probability times reliability.

    Returns:
        Keypoints `[B, K]` in pixels of `images`, the best first, and `[B, K, 64]` of
        unit length; both 0 where there are fewer points.
    """
    size = images.shape[1:3]
    whole = tuple(max(STEP, round(side / STEP) * STEP) for side in size)
    gray = image_ops.resize(images, whole).mean(axis=-1, keepdims=True)
    maps: Any = XFeat().apply(variables, gray)
    return read_points(maps, size, num)


def read_points(
    maps: Maps, size: tuple[int, ...], num: int
) -> tuple[Keypoints, jax.Array]:
    """`find` of maps: points in pixels of (H, W) `size`, whatever size was looked at."""
    found = _peaks(maps, num)
    cell = coordinates.pixel_to_cell(found.xy, STRIDE)
    read = heatmaps.sample_bicubic(vectors.normalize(maps.descriptors), cell)
    there = found.valid[..., None]
    seen = tuple(STRIDE * side for side in maps.logits.shape[1:3])
    limit = jnp.array([seen[1] - 1.0, seen[0] - 1.0]).reshape(1, 1, 2)
    marked = jnp.clip(found.xy + jnp.array(OFFSET).reshape(1, 1, 2), 0, limit)
    xy = coordinates.resize_points(marked, seen, size)
    found = found.replace(xy=jnp.where(there, xy, 0))
    return found, jnp.where(there, vectors.normalize(read), 0)


def _peaks(maps, num):
    """The K best points in pixels of the maps' picture."""
    heat = cells.to_heatmap(maps.logits)
    peaks = heatmaps.non_maximum_suppression(heat, window=WINDOW)
    sure = image_ops.resize(maps.reliability[..., None], heat.shape[1:])[..., 0]
    score = jnp.where(peaks > THRESHOLD, peaks * sure, 0)
    many = max(num, min(_CANDIDATES, score[0].size))
    near = heatmaps.top_k_keypoints(score, many, window=1)
    kept = suppression.suppress_near(near.xy, near.score, radius=RADIUS)
    best, rows = jax.lax.top_k(near.score * kept, num)
    xy = jnp.take_along_axis(near.xy, rows[..., None], axis=1)
    return Keypoints(xy, best, jnp.zeros(best.shape, jnp.int32), best > 0)


def table() -> dict[str, weights.Entry]:
    """The published weights' names."""
    layers = [
        f'{name}.{n}' for name, block in _BLOCKS.items() for n in range(len(block))
    ]
    kernels = {f'params/{n}/kernel': weights.Entry(f'{n}.layer.0.weight', weights.OIHW)
               for n in layers}  # fmt: skip
    norms = {
        f'batch_stats/{n}.norm/{ours}': weights.Entry(f'{n}.layer.1.running_{ours}')
        for n in layers
        for ours in ('mean', 'var')
    }
    last = {f'params/{n}/kernel': weights.Entry(f'{n}.weight', weights.OIHW)
            for n in _LAST}  # fmt: skip
    biases = {f'params/{n}/bias': weights.Entry(f'{n}.bias') for n in _LAST}
    return kernels | norms | last | biases


def load(path: str | os.PathLike) -> Mapping[str, Any]:
    """Variables of a file of the published layout.

    Raises:
        UserError: as `weights.load`.
    """
    return weights.load(path, table(), like())


def is_file_of(path: str | os.PathLike) -> bool:
    """Whether a file of weights is of this network.

    Raises:
        UserError: as `weights.shapes`.
    """
    return 'block_fusion.2.weight' in weights.shapes(path)


def like() -> Tree:
    """Shapes of the variables."""
    gray = jax.ShapeDtypeStruct((1, STEP, STEP, 1), jnp.float32)
    return jax.eval_shape(XFeat().init, jax.random.key(0), gray)


def _standardize(gray):
    mean = gray.mean(axis=(1, 2), keepdims=True)
    variance = gray.var(axis=(1, 2), keepdims=True)
    return (gray - mean) * jax.lax.rsqrt(variance + _EPSILON)

"""ResNet-18, 34, 50 and 101 as trunks: maps at every resolution, torchvision's sums.

Source: [he2016], in the form "v1.5": a bottleneck that halves
the resolution does so in its 3x3 convolution. Modules are named as torchvision names
them, a dot written `_`; pretrained parameters come from `resnet_weights.load`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from kpdiscovery.models.conv import linen, normal
from kpdiscovery.models.norms import batch_norm

MAPS = ('stem', 'stage1', 'stage2', 'stage3', 'stage4')
EXPANSION = 4  # A bottleneck's output over its 3x3 convolution, in channels.


class Shape(NamedTuple):
    """What tells the networks apart: blocks a stage, and their kind."""

    depths: tuple[int, ...]
    bottleneck: bool


SHAPES = {
    'resnet18': Shape((2, 2, 2, 2), False),
    'resnet34': Shape((3, 4, 6, 3), False),
    'resnet50': Shape((3, 4, 6, 3), True),
    'resnet101': Shape((3, 4, 23, 3), True),
}


class ResNet(nn.Module):
    """Normalised pictures to maps by name (`MAPS`); `make` names the published ones.

    Map sizes are H and W over `strides`, rounded up. Cell c of a map of stride s is
    centred on pixel s c, because convolutions that halve keep even pixels; it is *not*
    (c + .5) s - .5, the centre of an s x s tile.

    Batch norm: with `train=True` the batch's statistics normalise, and the running
    ones (collection 'batch_stats') move a tenth of the way there; else the running ones
    normalise and stay. Under `jit` with the batch sharded over devices, the batch is
    the whole batch: no `axis_name` needed; `statistics='chip'` makes it each device's
    rows (`norms.ChipNorm`). The running variance follows the biased variance of the
    batch, as in Flax; PyTorch's follows the unbiased one.
    """

    depths: tuple[int, ...] = (2, 2, 2, 2)  # Blocks a stage.
    bottleneck: bool = False  # Blocks of 1x1, 3x3, 1x1 instead of two 3x3.
    width: int = 64  # Channels of the stem; smaller nets for CPUs.
    last_stride: int = 2  # 1: stage4 at the resolution of stage3, same parameters.
    small_stem: bool = False  # 3x3 stem and no pooling: stage1 at 1/2, stage4 at 1/16.
    num_classes: int = 0  # Above 0: 'logits' too, linear on the mean of stage4.
    frozen: str = ''  # A stage: what leads to it learns nothing, statistics neither.
    statistics: str = 'all'  # Or 'chip': `norms.batch_norm`.
    axis_name: str | None = None  # For `pmap`: the axis that shares statistics.
    dtype: jnp.dtype = jnp.float32  # Compute dtype; parameters, statistics float32.

    @property
    def strides(self) -> dict[str, int]:
        """Pixels a cell, by map."""
        first = 2 if self.small_stem else 4
        last = 4 * first * self.last_stride
        return dict(zip(MAPS, (2, first, 2 * first, 4 * first, last), strict=True))

    @property
    def channels(self) -> dict[str, int]:
        """Channels by map."""
        wider = EXPANSION if self.bottleneck else 1
        stages = [wider * self.width * 2**i for i in range(4)]
        return dict(zip(MAPS, (self.width, *stages), strict=True))

    @property
    def pyramid(self) -> tuple[str, ...]:
        """The maps, the finest first; classifiers pool the last."""
        return MAPS

    @nn.compact
    def __call__(
        self, images: jax.Array, *, train: bool = False
    ) -> dict[str, jax.Array]:
        """`[B, H, W, 3]` from `vgg.normalize_imagenet` -> {map: `[B, h, w, C]`}.

        Maps are in `dtype`, after the ReLU ('stem': before the pooling); 'logits'
        `[B, num_classes]` are float32.

        Raises:
            ValueError: images of another shape, or options that make no network.
        """
        self._check(images)
        x = self._stem(images, train and not self.frozen)
        maps = {'stem': x}
        if not self.small_stem:
            around = ((1, 1), (1, 1))  # 'SAME' would start elsewhere for even sizes.
            x = nn.max_pool(x, (3, 3), (2, 2), padding=around)
        for stage, depth in enumerate(self.depths, start=1):
            stride = {1: 1, 4: self.last_stride}.get(stage, 2)
            for i in range(depth):
                block = self._block(stage, i, stride if i == 0 else 1)
                x = block(x, train=train and self._learns(stage))
            x = x if self._learns(stage) else jax.lax.stop_gradient(x)
            maps[f'stage{stage}'] = x
        if self.num_classes:
            maps['logits'] = self._logits(x)
        return maps

    @property
    def frozen_modules(self) -> tuple[str, ...]:
        """Names of the submodules that learn nothing."""
        blocks = (f'layer{stage}_{i}' for stage, depth in enumerate(self.depths, start=1)
                  for i in range(depth) if not self._learns(stage))  # fmt: skip
        return ('conv1', 'bn1', *blocks) if self.frozen else ()

    def _learns(self, stage):
        return not self.frozen or stage > MAPS.index(self.frozen)

    def _stem(self, images, train):
        size = 3 if self.small_stem else 7
        x = _conv(self.width, size, 2, self.dtype, 'conv1')(images)
        return nn.relu(self._norm(train=train, name='bn1')(x))

    @property
    def _norm(self):
        return functools.partial(
            batch_norm, self.statistics, axis_name=self.axis_name, dtype=self.dtype
        )

    def _block(self, stage, i, stride):
        return Block(
            self.width * 2 ** (stage - 1),
            stride,
            self.bottleneck,
            self._norm,
            self.dtype,
            name=f'layer{stage}_{i}',
        )

    def _logits(self, x):
        mean = x.astype(jnp.float32).mean((1, 2))
        return nn.Dense(self.num_classes, name='fc')(mean)

    def _check(self, images):
        if images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(f'images must be [B, H, W, 3], got {images.shape}')
        if len(self.depths) != 4 or min(self.depths) < 1:
            raise ValueError(f'depths must be four numbers >= 1, got {self.depths}')
        if self.last_stride not in (1, 2):
            raise ValueError(f'last_stride must be 1 or 2, got {self.last_stride}')


class Block(nn.Module):
    """Convolutions with batch norm, added to their input; ReLU after the sum."""

    features: int  # Of its 3x3 convolutions.
    stride: int
    bottleneck: bool
    norm: Callable[..., nn.Module]
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        y = x
        for i, (size, stride, width) in enumerate(self._layers(), start=1):
            y = nn.relu(y) if i > 1 else y
            y = _conv(width, size, stride, self.dtype, f'conv{i}')(y)
            y = self.norm(train=train, name=f'bn{i}')(y)
        if self.stride > 1 or x.shape[-1] != y.shape[-1]:
            width = y.shape[-1]
            x = _conv(width, 1, self.stride, self.dtype, 'downsample_0')(x)
            x = self.norm(train=train, name='downsample_1')(x)
        return nn.relu(x + y)

    def _layers(self) -> tuple[tuple[int, int, int], ...]:
        """Kernel size, stride and channels of each convolution."""
        width, stride = self.features, self.stride
        if self.bottleneck:
            return (1, 1, width), (3, stride, width), (1, 1, EXPANSION * width)
        return (3, stride, width), (3, 1, width)


def make(name: str, **options) -> ResNet:
    """The network of a name in `SHAPES`; `options` are fields of `ResNet`.

    Raises:
        ValueError: no such name.
    """
    if name not in SHAPES:
        raise ValueError(f'name must be one of {sorted(SHAPES)}, got {name!r}')
    return ResNet(*SHAPES[name], **options)


def _conv(features, size, stride, dtype, name):
    around = (size // 2, size // 2)  # PyTorch's; 'SAME' would shift with strides.
    return nn.Conv(
        features,
        (size, size),
        strides=stride,
        padding=[around, around],
        use_bias=False,
        dtype=dtype,
        kernel_init=_he_normal,
        conv_general_dilated=linen(size),
        name=name,
    )


def _he_normal(key, shape, dtype=jnp.float32):
    """He normal by fan out: the gradient keeps its variance through ReLUs."""
    h, w, _, out = shape
    return normal(key, shape, dtype, math.sqrt(2 / (h * w * out)))

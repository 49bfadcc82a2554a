"""EfficientNet-Lite0 as a trunk: maps of every stage, small enough for CPUs.

Source: [tan2019], in its "lite" form: ReLU6 everywhere and no squeeze-and-excitation.
Pretrained parameters come from `load`.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from kpdiscovery.models import published
from kpdiscovery.models.conv import linen, normal
from kpdiscovery.models.norms import batch_norm
from kpdiscovery.ops import precision
from kpdiscovery.ops.depthwise import depthwise


class Stage(NamedTuple):
    """A row of the published table."""

    depth: int  # Blocks.
    kernel: int
    stride: int  # Of its first block.
    expansion: int  # Channels inside a block over those of its input.
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
# Of pictures in [0, 1]: TensorFlow's (x - 127) / 128. On 55 pictures each of dalmatians,
# butterflies and kangaroos top-1 accuracy is .95, .45, .67 (mean probability of the class
# .82, .36, .43); with ImageNet's mean and deviation .91, .45, .58 (.74, .34, .39).
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
_BLOCK = re.compile(r'_blocks\.(\d+)\.')
_STEM, _HEAD = 32, 1280  # Channels.
_HALVING = 5  # The stage that `last_stride` is about, counted from 0.
MAPS = ('stem', *(f'stage{i}' for i in range(1, len(STAGES) + 1)), 'head')
PYRAMID = ('stage1', 'stage2', 'stage3', 'stage5', 'head')  # The last of each stride.


class EfficientNet(nn.Module):
    """Normalised pictures to maps by name (`MAPS`): after the stem, each stage, the head.

    Map sizes are H and W over `strides`, rounded up. TensorFlow pads at the bottom and
    right, so where sides are multiples of the stride s the pixels that reach cell c are
    centred on s c + s - 1; what the published weights see of them is centred about the
    middle of the s x s tile (gradients and inserted patches, real pictures). Stages end without
    activation; the stem's and head's values are in 0..6, where most pictures have some 140 of the
    head's 1,280 maxima at 6, in several cells each: what looks for maxima wants `head='relu'`.

    Batch norm: as in `ResNet`.
    """

    width: int = 64  # Scales all channels; 64 (a stem of 32) is the published network.
    last_stride: int = 2  # 1: stages 6, 7 and head at 1/16, with the same parameters.
    taps: tuple[str, ...] = MAPS  # Nothing after the last one is computed.
    num_classes: int = 0  # Above 0: 'logits' too, linear on the mean of the head.
    head: str = 'relu6'  # As published; or 'relu': values above 6 stay apart.
    frozen: str = ''  # A stage: what leads to it learns nothing, statistics neither.
    statistics: str = 'all'  # Or 'chip': `norms.batch_norm`.
    axis_name: str | None = None  # For `pmap`: the axis that shares statistics.
    dtype: jnp.dtype = jnp.float32  # Compute dtype; parameters, statistics float32.

    @property
    def strides(self) -> dict[str, int]:
        """Pixels a cell, by tap."""
        steps = (2, *map(self._stride, range(len(STAGES))), 1)
        return self._tapped(itertools.accumulate(steps, operator.mul))

    @property
    def channels(self) -> dict[str, int]:
        """Channels by tap."""
        widths = (_STEM, *(stage.channels for stage in STAGES), _HEAD)
        return self._tapped(map(self._scaled, widths))

    @property
    def pyramid(self) -> tuple[str, ...]:
        """A map of each resolution, the finest first; classifiers pool the last."""
        return tuple(name for name in PYRAMID if name in self.taps)

    @nn.compact
    def __call__(
        self, images: jax.Array, *, train: bool = False
    ) -> dict[str, jax.Array]:
        """`[B, H, W, 3]`, normalised, -> {tap: `[B, h, w, C]`}, in `dtype`.

        'logits' `[B, num_classes]` are float32.

        Raises:
            ValueError: images of another shape, or too small, or options that make no
                network.
        """
        self._check(images)
        x = _conv(self._scaled(_STEM), 3, 2, self.dtype, 'conv_stem')(images)
        first = train and not self.frozen
        x = nn.relu6(self._norm(train=first, name='bn0')(x))
        maps = {'stem': x}
        for i in range(min(self._end(), len(STAGES))):
            for block in self._blocks(i):
                x = block(x, train=train and self._learns(i))
            x = x if self._learns(i) else jax.lax.stop_gradient(x)
            maps[f'stage{i + 1}'] = x
        if self._end() > len(STAGES):
            x = _conv(self._scaled(_HEAD), 1, 1, self.dtype, 'conv_head')(x)
            x = self._norm(train=train, name='bn1')(x)
            maps['head'] = x = nn.relu6(x) if self.head == 'relu6' else nn.relu(x)
        out = {tap: maps[tap] for tap in self.taps}
        if self.num_classes:
            mean = precision.full(x).mean((1, 2))
            out['logits'] = nn.Dense(self.num_classes, name='fc')(mean)
        return out

    def _blocks(self, i) -> Iterator[Block]:
        """Of stage i, counted from 0; names count the blocks of all stages."""
        stage, first = STAGES[i], sum(stage.depth for stage in STAGES[:i])
        for j in range(stage.depth):
            halved = (i, j) > (_HALVING, 0)  # By a block that may have lost its stride.
            yield Block(
                self._scaled(stage.channels),
                stage.kernel,
                self._stride(i) if j == 0 else 1,
                2 // self.last_stride if halved else 1,
                stage.expansion,
                j > 0,
                self._norm,
                self.dtype,
                name=f'blocks_{first + j}',
            )

    @property
    def frozen_modules(self) -> tuple[str, ...]:
        """Names of the submodules that learn nothing."""
        kept = [stage.depth for i, stage in enumerate(STAGES) if not self._learns(i)]
        blocks = (f'blocks_{i}' for i in range(sum(kept)))
        return ('conv_stem', 'bn0', *blocks) if self.frozen else ()

    def _learns(self, i):
        """Whether stage i does, counted from 0."""
        return not self.frozen or MAPS.index(self.frozen) < MAPS.index(f'stage{i + 1}')

    @property
    def _norm(self):
        return functools.partial(
            batch_norm,
            self.statistics,
            axis_name=self.axis_name,
            dtype=self.dtype,
            epsilon=1e-3,
        )

    def _stride(self, i):
        return self.last_stride if i == _HALVING else STAGES[i].stride

    def _scaled(self, channels):
        return max(1, channels * self.width // 64)

    def _tapped(self, values):
        return {name: value for name, value in zip(MAPS, values, strict=True)
                if name in self.taps}  # fmt: skip

    def _end(self):
        """The number of the last map that is needed."""
        return MAPS.index(
            'head' if self.num_classes else max(self.taps, key=MAPS.index)
        )

    def _check(self, images):
        if not self.taps or set(self.taps) - set(MAPS):
            raise ValueError(f'taps must be some of {MAPS}, got {self.taps}')
        if self.last_stride not in (1, 2):
            raise ValueError(f'last_stride must be 1 or 2, got {self.last_stride}')
        if self.head not in ('relu6', 'relu'):
            raise ValueError(f"head must be 'relu6' or 'relu', got {self.head!r}")
        smallest = max(self.strides.values())
        if (
            images.ndim != 4
            or images.shape[-1] != 3
            or min(images.shape[1:3]) < smallest
        ):
            raise ValueError(
                f'images must be [B, H, W, 3] with H, W >= {smallest}, got {images.shape}'
            )


class Block(nn.Module):
    """A convolution of each channel between two 1x1 ones, perhaps added to its input."""

    features: int
    kernel: int
    stride: int
    dilation: int
    expansion: int
    added: bool
    norm: Callable[..., nn.Module]
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        norm = lambda name: self.norm(train=train, name=name)
        y = x
        if self.expansion > 1:
            wide = self.expansion * x.shape[-1]
            y = _conv(wide, 1, 1, self.dtype, 'expand_conv')(y)
            y = nn.relu6(norm('bn0')(y))
        options = self.kernel, self.stride, self.dilation, self.dtype
        y = nn.relu6(norm('bn1')(Depthwise(*options, name='depthwise_conv')(y)))
        y = norm('bn2')(_conv(self.features, 1, 1, self.dtype, 'project_conv')(y))
        return x + y if self.added else y


class Depthwise(nn.Module):
    """`ops.depthwise` with its kernels as parameters."""

    size: int
    stride: int
    dilation: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = self.size, self.size, 1, x.shape[-1]
        kernel = self.param('kernel', _he_normal, shape)
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        return depthwise(x, kernel, stride=self.stride, dilation=self.dilation)


def load(path: str | os.PathLike, model: EfficientNet) -> dict[str, Any]:
    """Variables of `model` from a file with the names of the common port to PyTorch.

    As `published.load`.
    """
    return published.load(FAMILY, path, model, model.clone(taps=MAPS))


def _conv(features, size, stride, dtype, name):
    return nn.Conv(
        features,
        (size, size),
        strides=stride,
        padding='SAME',  # TensorFlow's, which the published weights expect.
        use_bias=False,
        dtype=dtype,
        kernel_init=_he_normal,
        conv_general_dilated=linen(size),
        name=name,
    )


def _he_normal(key, shape, dtype=jnp.float32):
    """He normal by fan in, which does for kernels of one channel too."""
    return normal(key, shape, dtype, math.sqrt(2 / math.prod(shape[:-1])))


def _key(modules: Sequence[str]) -> str:
    """('blocks_3', 'bn1') -> '_blocks.3._bn1'."""
    return '.'.join(f'_{module.replace("blocks_", "blocks.")}' for module in modules)


def _describe(keys: Iterable[str]) -> str:
    """'' where there is no block."""
    numbers = [int(match[1]) for match in map(_BLOCK.match, keys) if match]
    if not numbers:
        return ''
    blocks, known = max(numbers) + 1, sum(stage.depth for stage in STAGES)
    name = 'efficientnet_lite0' if blocks == known else 'an EfficientNet'
    return f'{name} ({blocks} blocks)'


FAMILY = published.Family('an EfficientNet', '_blocks.0', '_fc', _key, _describe)

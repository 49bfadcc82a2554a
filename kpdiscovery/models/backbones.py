"""Backbones by name: pictures in [0, 1] to maps of features, one call for all.

    backbone = build('resnet50', last_stride=1)
    variables = load('resnet50.safetensors', backbone)  # Or backbone.init(key, images).
    maps = backbone.apply(variables, images)  # {'stem': ..., 'stage4': ...}
    backbone.channels['stage4'], backbone.strides['stage4']  # 2048, 16

Inside another Linen module it is a submodule like any other.
"""

from __future__ import annotations

import os
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from kpdiscovery.models import efficientnet, resnet, resnet_weights, vgg, weights
from kpdiscovery.models.efficientnet import EfficientNet

NAMES = (*resnet.SHAPES, 'vgg16', 'efficientnet_lite0')
VGG_TAPS = tuple(
    tap
    for b, widths in enumerate(vgg.VGG16_BLOCKS, start=1)
    for tap in (f'relu{b}_{len(widths)}', f'pool{b}')
)

STAGES = efficientnet.MAPS[1:-1]  # Of EfficientNet-Lite0.


class Backbone(nn.Module):
    """`net` after the normalisation it was trained with, here and nowhere else.

    Variables are those of `net` under the name 'net'. The families place their cells
    differently (`first`): see `ResNet`, `EfficientNet` and `Vgg16.strides`.
    """

    net: resnet.ResNet | vgg.Vgg16 | EfficientNet

    @property
    def strides(self) -> dict[str, int]:
        """Pixels a cell, by map."""
        return self.net.strides

    @property
    def first(self) -> float | None:
        """The pixel on which cell 0 of any map is centred; None: cells are tiles. For
        `ops.coordinates.cell_to_pixel`."""
        return 0.0 if isinstance(self.net, resnet.ResNet) else None

    @property
    def mean(self) -> tuple[float, float, float]:
        """The colour in [0, 1] that is 0 to the network."""
        return self._normalization[0]

    @property
    def channels(self) -> dict[str, int]:
        """Channels by map."""
        return self.net.channels

    @property
    def pyramid(self) -> tuple[str, ...]:
        """Maps to climb by, the finest first; classifiers pool the last."""
        return self.net.pyramid

    @property
    def frozen_modules(self) -> tuple[str, ...]:
        """Names of the submodules of `net` that learn nothing."""
        return getattr(self.net, 'frozen_modules', ())

    def __call__(
        self, images: jax.Array, *, train: bool = False
    ) -> dict[str, jax.Array]:
        """`[B, H, W, 3]` floats in [0, 1] -> {map: `[B, h, w, C]`}, in `net.dtype`.

        Args:
            train: normalise by the batch's statistics and renew the running ones: pass
                `mutable=['batch_stats']` to `apply`. Without effect on VGG.

        Raises:
            ValueError: images of another shape or type, or too small.
        """
        return self.net(vgg.normalize(images, *self._normalization), train=train)

    @property
    def _normalization(self):
        if isinstance(self.net, EfficientNet):
            return efficientnet.MEAN, efficientnet.STD
        return vgg.IMAGENET_MEAN, vgg.IMAGENET_STD


def build(
    name: str,
    *,
    width: int = 64,
    last_stride: int = 2,
    small_stem: bool = False,
    taps: tuple[str, ...] = (),
    head: str = 'relu6',
    frozen: str = '',
    statistics: str = 'all',
    axis_name: str | None = None,
    dtype: jnp.dtype = jnp.float32,
) -> Backbone:
    """The backbone of a config's section.

    Args:
        name: one of `NAMES`.
        width: channels of the first convolution (EfficientNet: of two such); others in
            proportion. Pretrained weights need 64.
        last_stride: 1 keeps the last stage of a ResNet at 1/16 (1/8 with small_stem), the
            last two of EfficientNet too.
        small_stem: ResNets for pictures of about 64 pixels; no pretrained weights.
        taps: the maps of VGG-16 or EfficientNet, which end at the last of them; empty:
            `VGG_TAPS`, `efficientnet.MAPS`. ResNets give all of theirs.
        head: the activation of EfficientNet's, 'relu6' or 'relu'; others have none.
        frozen: a stage; what leads to it learns nothing (`Backbone.frozen_modules`).
        statistics: of batch norm, 'all' devices' rows or each 'chip''s (`norms`).
        axis_name: of `pmap`, for batch norm; None under `jit`.
        dtype: of the computation; parameters stay float32.

    Raises:
        ValueError: no such backbone, or an option that it does not have.
    """
    if name not in NAMES:
        raise ValueError(f'backbone must be one of {NAMES}, got {name!r}')
    if width < 1:
        raise ValueError(f'width must be at least 1, got {width}')
    if name == 'vgg16':
        if last_stride != 2 or small_stem or frozen:
            raise ValueError('vgg16 has no last_stride, no small_stem, no frozen')
        blocks = tuple(tuple(w * width // 64 for w in ws) for ws in vgg.VGG16_BLOCKS)
        return Backbone(vgg.Vgg16(tuple(taps) or VGG_TAPS, blocks, dtype))
    if last_stride not in (1, 2):
        raise ValueError(f'last_stride must be 1 or 2, got {last_stride}')
    stages = STAGES if name == 'efficientnet_lite0' else resnet.MAPS[1:]
    if frozen and frozen not in stages:
        raise ValueError(f'frozen must be one of {stages}, got {frozen!r}')
    options: dict[str, Any] = {
        'statistics': statistics, 'axis_name': axis_name, 'frozen': frozen,
        'dtype': dtype,
    }  # fmt: skip
    if name == 'efficientnet_lite0':
        if small_stem:
            raise ValueError('efficientnet_lite0 has no small_stem')
        maps = tuple(taps) or efficientnet.MAPS
        return Backbone(EfficientNet(width, last_stride, maps, head=head, **options))
    if taps:
        raise ValueError(f'{name} gives all its maps, {resnet.MAPS}; got taps {taps}')
    net = resnet.make(
        name,
        width=width,
        last_stride=last_stride,
        small_stem=small_stem,
        **options,
    )
    return Backbone(net)


def load(path: str | os.PathLike, backbone: Backbone) -> dict[str, Any]:
    """Variables of a backbone from a file with torchvision's, the common port's or our
    own names (`weights.save`).

    Raises:
        UserError: as `published.load` and `weights.load`.
    """
    net = backbone.net
    if weights.is_ours(path):
        image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
        like = jax.eval_shape(backbone.init, jax.random.key(0), image)
        return weights.load(path, None, like)
    if not isinstance(net, vgg.Vgg16):
        loaded = (
            efficientnet.load(path, net)
            if isinstance(net, EfficientNet)
            else resnet_weights.load(path, net)
        )
        return {name: {'net': tree} for name, tree in loaded.items()}
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    like = jax.eval_shape(net.init, jax.random.key(0), image)['params']
    return {'params': {'net': weights.load_vgg16(path, like)}}

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

from kpdiscovery.models import resnet, resnet_weights, vgg, weights

NAMES = (*resnet.SHAPES, 'vgg16')
VGG_TAPS = tuple(
    tap
    for b, widths in enumerate(vgg.VGG16_BLOCKS, start=1)
    for tap in (f'relu{b}_{len(widths)}', f'pool{b}')
)


class Backbone(nn.Module):
    """`net` after ImageNet's normalisation, which happens here and nowhere else.

    Variables are those of `net` under the name 'net'. The two families place their
    cells differently: see `ResNet` and `Vgg16.strides`.
    """

    net: resnet.ResNet | vgg.Vgg16

    @property
    def strides(self) -> dict[str, int]:
        """Pixels a cell, by map."""
        return self.net.strides

    @property
    def channels(self) -> dict[str, int]:
        """Channels by map."""
        return self.net.channels

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
        return self.net(vgg.normalize_imagenet(images), train=train)


def build(
    name: str,
    *,
    width: int = 64,
    last_stride: int = 2,
    small_stem: bool = False,
    taps: tuple[str, ...] = (),
    axis_name: str | None = None,
    dtype: jnp.dtype = jnp.float32,
) -> Backbone:
    """The backbone of a config's section.

    Args:
        name: one of `NAMES`.
        width: channels of the first convolution; pretrained weights need 64.
        last_stride: 1 keeps the last stage of a ResNet at 1/16 (1/8 with small_stem).
        small_stem: ResNets for pictures of about 64 pixels; no pretrained weights.
        taps: the maps of VGG-16, which ends at the last of them; empty: `VGG_TAPS`.
            ResNets give all of theirs.
        axis_name: of `pmap`, for ResNets; None under `jit`.
        dtype: of the computation; parameters stay float32.

    Raises:
        ValueError: no such backbone, or an option that it does not have.
    """
    if name not in NAMES:
        raise ValueError(f'backbone must be one of {NAMES}, got {name!r}')
    if width < 1:
        raise ValueError(f'width must be at least 1, got {width}')
    if name == 'vgg16':
        if last_stride != 2 or small_stem:
            raise ValueError('vgg16 has no last_stride and no small_stem')
        blocks = tuple(tuple(w * width // 64 for w in ws) for ws in vgg.VGG16_BLOCKS)
        return Backbone(vgg.Vgg16(tuple(taps) or VGG_TAPS, blocks, dtype))
    if taps:
        raise ValueError(f'{name} gives all its maps, {resnet.MAPS}; got taps {taps}')
    if last_stride not in (1, 2):
        raise ValueError(f'last_stride must be 1 or 2, got {last_stride}')
    net = resnet.make(
        name,
        width=width,
        last_stride=last_stride,
        small_stem=small_stem,
        axis_name=axis_name,
        dtype=dtype,
    )
    return Backbone(net)


def load(path: str | os.PathLike, backbone: Backbone) -> dict[str, Any]:
    """Variables of a backbone from a file of weights with torchvision's names.

    Raises:
        UserError: as `resnet_weights.load` and `weights.load`.
    """
    net = backbone.net
    if isinstance(net, resnet.ResNet):
        loaded = resnet_weights.load(path, net)
        return {name: {'net': tree} for name, tree in loaded.items()}
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    like = jax.eval_shape(net.init, jax.random.key(0), image)['params']
    return {'params': {'net': weights.load_vgg16(path, like)}}

"""The network that weighs pixels: a backbone and a decoder with skips."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from kpdiscovery.models.backbones import Backbone
from kpdiscovery.models.conv import Conv
from kpdiscovery.models.norms import batch_norm


class UpBlock(nn.Module):
    """Twice (3x3 convolution, batch norm, ReLU), less what `last` and `norm` say."""

    hidden: int
    out: int
    last: bool = False  # Without the ReLU after the second.
    norm: bool = True  # After the second convolution too.
    dtype: jnp.dtype = jnp.float32
    statistics: str = 'all'

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        for i, width in enumerate((self.hidden, self.out)):
            x = Conv(width, dtype=self.dtype, name=f'conv{i}')(x)
            if self.norm or not i:
                norm = batch_norm(
                    self.statistics, train=train, dtype=self.dtype, name=f'norm{i}'
                )
                x = norm(x)
            x = x if self.last and i else nn.relu(x)
        return x


class WeightMap(nn.Module):
    """Pictures `[B, H, W, 3]` in [0, 1] to maps `[B, H, W]` in (0, 1), float32.

    Blocks have as many channels as the maps they are joined with, the last half of the
    finest map's. With ResNet-18 14,405,569 parameters.

    Read literally, a batch norm stands before the sigmoid too (`last_norm`). It fixes the
    spread of the logits over a batch, so that the ground stays above a tenth of the
    maximum, where boxes are cut: they are whole pictures then.

    Source: [shaharabany2021], section 3, in our reading (enlarged bilinearly,
    then joined; batch norm after both convolutions).
    """

    backbone: Backbone
    dtype: jnp.dtype = jnp.float32
    statistics: str = 'all'  # Or 'chip', of the decoder: `norms.batch_norm`.
    last_norm: bool = False
    frozen_statistics: bool = False  # Of the backbone.

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        maps = self.backbone(images, train=train and not self.frozen_statistics)
        *skips, last = self.backbone.pyramid
        options: dict[str, Any] = {'dtype': self.dtype, 'statistics': self.statistics}
        x = maps[last]
        for number, name in enumerate(reversed(skips), start=1):
            skip = maps[name]
            x = jnp.concatenate([_enlarge(x, skip.shape[1:3]), skip], axis=-1)
            width = skip.shape[-1]
            block = UpBlock(width, width, **options, name=f'up{number}')
            x = block(x, train=train)
        x = _enlarge(x, images.shape[1:3])
        half, norm = x.shape[-1] // 2, self.last_norm
        top = UpBlock(half, 1, last=True, norm=norm, **options, name='up5')
        return jax.nn.sigmoid(top(x, train=train)[..., 0].astype(jnp.float32))


def _enlarge(x, size):
    return jax.image.resize(x, (x.shape[0], *size, x.shape[-1]), 'linear')

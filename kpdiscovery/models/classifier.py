"""A backbone, a pooling and one linear layer: classes, and where they were seen."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from kpdiscovery.models.backbones import Backbone
from kpdiscovery.ops import coordinates, precision
from kpdiscovery.ops import pooling as pooling_ops


class Classified(NamedTuple):
    """What a classifier says of pictures."""

    logits: jax.Array  # [B, classes] float32.
    features: jax.Array  # [B, h, w, C], the last of the backbone's `pyramid`.


class Classifier(nn.Module):
    """Classes of pictures in [0, 1]; variables are those of `backbone` and `classifier`."""

    backbone: Backbone
    num_classes: int
    pooling: str = 'average'  # One of `ops.pooling.KINDS`.
    epsilon: float = 0.1  # Of leaky maximum pooling.
    zero_start: bool = False  # Of the linear layer's weights, for pretrained backbones.

    @property
    def stride(self) -> int:
        """Pixels a cell of the features."""
        return self.backbone.strides[self.backbone.pyramid[-1]]

    def to_pixels(self, cells: jax.Array) -> jax.Array:
        """Centres of cells `[..., 2]` of the features."""
        return coordinates.cell_to_pixel(cells, self.stride, self.backbone.first)

    def to_cells(self, xy: jax.Array) -> jax.Array:
        """Inverse of `to_pixels`; cells are not rounded."""
        return coordinates.pixel_to_cell(xy, self.stride, self.backbone.first)

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> Classified:
        """`[B, H, W, 3]`; `train` normalises by the batch's statistics."""
        maps = self.backbone(images, train=train)
        features = maps[self.backbone.pyramid[-1]]
        pooled = pooling_ops.pool(features, self.pooling, epsilon=self.epsilon)
        init = nn.initializers
        start = init.zeros if self.zero_start else init.lecun_normal()
        linear = nn.Dense(self.num_classes, kernel_init=start, name='classifier')
        return Classified(linear(pooled), features)


def class_activation_maps(variables: Any, features: jax.Array) -> jax.Array:
    """Class activation maps: features weighed as each class weighs their means.

    `[B, h, w, classes]` float32 from `[B, h, w, C]`, any sign, mean 0 over the classes: what
    they all have is nothing to softmax, yet Adam makes it large where the linear layer
    starts at zero, and maps of it are low on the object. The bias is left out.

    Source: [zhou2016].
    """
    kernel = variables['params']['classifier']['kernel']
    kernel = kernel - kernel.mean(axis=-1, keepdims=True)
    return jnp.einsum('bhwc,cn->bhwn', precision.full(features), kernel)

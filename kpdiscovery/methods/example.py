"""A whole method, to start one's own from: landmarks that follow a known warp.

No label says where the landmarks are. But a picture seen through a warp that we know must
have them where the warp takes them [thewlis2017], and no two may be in one place, or all
would be one point, which follows every warp.

Copied, renamed and entered in `methods.METHODS`, with a config, this trains, resumes,
evaluates, predicts and reports by `kpd` (CONTRIBUTING.md, A method).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from kpdiscovery import losses
from kpdiscovery.methods import learning, optimizers
from kpdiscovery.methods.views import Views, to_first
from kpdiscovery.models.unet import UNet
from kpdiscovery.ops import heatmaps, parallel
from kpdiscovery.ops import images as image_ops
from kpdiscovery.ops.keypoints import labelled
from kpdiscovery.types import Batch, Method, Phase, Prediction, State


@dataclasses.dataclass(frozen=True)
class Example(Method):
    """K landmarks of pictures of one kind; the fields are those of `config.method`."""

    num_keypoints: int = 10
    width: int = 16
    levels: int = 3  # Sides of pictures must be divisible by 2**(levels - 1).
    reach: float = 5.0  # Pixels: landmarks closer than that are pushed apart.
    separation: float = 10.0  # Weight of that push, beside squared pixels.
    views: Views = Views(pad='reflect')

    metrics = ('landmark_nme', 'landmark_spread', 'landmark_repeatability')
    sections: ClassVar = {'views': Views}
    ordered = True

    @property
    def num_labels(self) -> int:
        return self.num_keypoints

    def phases(self, config) -> tuple[Phase, ...]:
        section = config['phases']['train']
        update = {'net': optimizers.build(section['optimizer'], section['steps'])}
        init = functools.partial(self._init, update)
        step = functools.partial(self._step, update)
        return (Phase('train', section['steps'], init, step),)

    def predict(self, variables: Any, images: jax.Array) -> Prediction:
        """Keypoint k is landmark k, in pixels of `[B, H, W, 3]` pictures in [0, 1]."""
        return Prediction(labelled(self._points(variables, images)))

    def _init(self, update, key, batch: Batch, before: State | None) -> State:
        images = image_ops.as_float(batch['image'][:1])
        return learning.start({'net': self._net.init(key, images)['params']}, update)

    def _step(self, update, state: State, batch: Batch, labels, key: jax.Array):
        keys = parallel.example_keys(key, batch['index'])  # Whatever the batch's order.
        pair = self.views.pair(keys, image_ops.as_float(batch['image']))

        def loss(variables):
            first, second = (self._points(variables, view) for view in pair[:2])
            back = to_first(pair.warp, second)
            follow = jnp.sum((first - back) ** 2, axis=-1).mean()
            crowd = losses.crowding(first, reach=self.reach).mean()
            total = follow + self.separation * crowd
            return total, ({'loss': total, 'follow': follow, 'crowd': crowd}, {})

        return learning.descend(loss, update, state)

    def _points(self, variables, images):
        maps: Any = self._net.apply({'params': variables['net']}, images)
        return heatmaps.soft_argmax(maps)

    @property
    def _net(self):
        return UNet(self.num_keypoints, self.width, self.levels, groups=4)

"""Landmarks by conditional image generation ([jakab2018]).

A view of a picture is rendered from another view, which has its colours, and from its own
K landmarks, which alone say where things are in it: so they must.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from kpdiscovery import losses
from kpdiscovery.methods import advice, learning, optimizers, reconstruction
from kpdiscovery.methods.options import check_choices
from kpdiscovery.methods.views import Views, to_first
from kpdiscovery.models.unet import UNet
from kpdiscovery.ops import heatmaps, keypoints, parallel
from kpdiscovery.ops import images as image_ops
from kpdiscovery.types import Batch, Method, Phase, Prediction, State, WeightFile

_GROUPS = {'network': ('detector', 'renderer')}


@dataclasses.dataclass(frozen=True)
class ImageGeneration(Method):
    """K landmarks of one kind of object; both networks are U-Nets (own choice)."""

    num_keypoints: int = 10
    sigma: float = 0.1  # Of the Gaussians, in half sides of the picture.
    temperature: float = 1.0  # Of the softmax over pixels.
    equivariance: float = 0.0  # Weight of landmarks that follow the warp (ours) ...
    separation: float = 0.0  # ... and of landmarks whose Gaussians overlap (ours).
    width: int = 32
    levels: int = 4
    groups: int = 32
    views: Views = Views(pad='reflect')
    reconstruction: str = 'perceptual'
    perceptual: str = 'efficientnet_lite0'  # Or 'vgg16', the paper's: `reconstruction`.
    perceptual_weights: str = ''  # Its file; '': the one of its name.

    metrics = (
        'landmark_nme', 'landmark_spread', 'object_frame', 'landmark_repeatability',
    )  # fmt: skip
    sections: ClassVar = {'views': Views}
    ordered = True

    def __post_init__(self):
        check_choices(
            self,
            reconstruction=reconstruction.KINDS,
            perceptual=tuple(reconstruction.NETWORKS),
        )

    @property
    def num_labels(self) -> int:
        return self.num_keypoints

    def weight_files(self) -> tuple[WeightFile, ...]:
        return reconstruction.weight_files(self)

    def phases(self, config) -> tuple[Phase, ...]:
        section = config['phases']['train']
        update = {'network': optimizers.build(section['optimizer'], section['steps'])}
        init = functools.partial(self._init, update)
        step = functools.partial(self._step, update)
        advise = advice.landmarks(self.num_keypoints)
        return (Phase('train', section['steps'], init, step, advise=advise),)

    def predict(self, variables: Any, images: jax.Array) -> Prediction:
        """Keypoint k is landmark k."""
        return Prediction(keypoints.labelled(self._detect(variables, images)))

    def _init(self, update, key, batch: Batch, before: State | None) -> State:
        images = image_ops.as_float(batch['image'][:1])
        scores, detector = self._unet(self.num_keypoints).init_with_output(key, images)
        seen = jnp.concatenate([images, scores], axis=-1)
        renderer = self._unet(3).init(jax.random.fold_in(key, 1), seen)
        frozen = reconstruction.networks(self)
        nets = {'detector': detector['params'], 'renderer': renderer['params']}
        return learning.start({**nets, **frozen}, update, _GROUPS)

    def _step(self, update, state: State, batch: Batch, labels, key: jax.Array):
        keys = parallel.example_keys(key, batch['index'])
        pair = self.views.pair(keys, image_ops.as_float(batch['image']))
        loss = functools.partial(self._loss, pair)
        return learning.descend(loss, update, state, _GROUPS)

    def _loss(self, pair, variables):
        """Of the second view, as the first one's colours and its own landmarks draw it."""
        size = pair.second.shape[1:3]
        sigma = self.sigma * max(size) / 2
        here, xy = (self._detect(variables, view) for view in pair[:2])
        maps = heatmaps.gaussian_heatmaps(xy, size, sigma=sigma)
        seen = jnp.concatenate([pair.first, maps], axis=-1)
        drawn = self._unet(3).apply({'params': variables['renderer']}, seen)
        error = reconstruction.loss(self, variables, drawn, pair.second)
        apart = losses.squared_error(here, to_first(pair.warp, xy))
        crowd = losses.crowding(xy, reach=sigma).mean()
        follow = apart.mean() / max(size) ** 2
        loss = error.mean() + self.equivariance * follow + self.separation * crowd
        terms = {'reconstruction': error.mean(), 'equivariance': follow}
        return loss, ({**terms, 'separation': crowd, 'loss': loss}, {})

    def _detect(self, variables, images):
        scores: Any = self._unet(self.num_keypoints).apply(
            {'params': variables['detector']}, images
        )
        return heatmaps.soft_argmax(scores, temperature=self.temperature)

    def _unet(self, out):
        return UNet(out, self.width, self.levels, self.groups)

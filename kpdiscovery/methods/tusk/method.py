"""TUSK as a method: its options, losses, step and prediction."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from kpdiscovery import losses
from kpdiscovery.methods import optimizers
from kpdiscovery.methods.tusk import network
from kpdiscovery.methods.tusk.augmentation import Views, follow
from kpdiscovery.methods.tusk.prototypes import Clustering, remember
from kpdiscovery.models.unet import UNet
from kpdiscovery.ops import images as image_ops
from kpdiscovery.ops import coordinates, mixtures, parallel, vectors
from kpdiscovery.types import Batch, Keypoints, Phase, Prediction, State


class Parity(NamedTuple):
    """Where paper and released code disagree (reference section 6)."""

    sampling: str = 'bilinear'  # Of descriptors and confidence.
    assignment: str = 'squared'  # Form of the pseudo-probabilities.
    counts: str = 'systematic'
    exploration: float = 0.01
    about: str = 'prototype'
    summed: bool = False
    encode_again: bool = False  # Prototype steps on features of the updated network.


PARITY = {
    'recommended': Parity(),
    'paper': Parity(assignment='distance', counts='floor', exploration=0.0, about='mean'),
    'code': Parity(sampling='floor', counts='floor', summed=True, encode_again=True),
}


@dataclasses.dataclass(frozen=True)
class Tusk:
    """Keypoints whose descriptors rebuild the picture and fall into M prototypes.

    Attributes are the fields of `config.method`; defaults are the paper's.
    """

    num_keypoints: int
    num_prototypes: int
    window: int  # Side of suppression and soft-argmax squares, odd.
    alpha: bool = False  # Decode keypoints one by one and blend them.
    resolution: int = 0  # Pictures are resized to this square inside; 0: as they are.
    channels: int = 32
    width: int = 32
    levels: int = 4
    groups: int = 32
    normalize_features: bool = False
    dtype: str = 'float32'  # Of convolutions; parameters and reductions stay float32.
    temperature: float = 0.2
    splat_variance: float = 0.05
    splat_gain: float = 1.0
    views: Views | None = Views()  # None: pictures as they are, no equivariance.
    reconstruction: str = 'mse'
    reconstruction_weight: float = 1.0
    cluster_weight: float = 0.01
    cluster_start: float = 0.0  # Share of the phase before the cluster loss sets in.
    heat_weight: float = 0.01
    feature_weight: float = 100.0
    mask_equivariance: bool = False
    saliency: float = 0.0  # Share of the phase in which unusual features attract points.
    claim_weight: float = 0.0  # Of alphas that claim pixels for one keypoint (ours).
    clustering: str = 'sliced_wasserstein'
    alternate: bool = True
    prototype_steps: int = 8
    projections: int = 100
    memory: int = 0  # Descriptors of recent batches kept for the prototype steps.
    min_confidence: float = 0.0
    predict_keypoints: int = 0  # K at prediction; 0: as in training.
    parity: str = 'recommended'
    axis_name: str | None = None  # Of pmap; None under jit.

    metrics = ('foreground_ari', 'prototype_attributes', 'mnist_hard', 'landmark_regression')

    @property
    def num_labels(self) -> int:
        return self.num_prototypes

    def phases(self, config) -> tuple[Phase, ...]:
        section = config['phases']['train']
        make = lambda group: optimizers.build(section['optimizer'][group], section['steps'])
        update = {group: make(group) for group in ('network', 'prototypes')}
        init = functools.partial(self._init, update)
        step = functools.partial(self._step, update, section['steps'])
        return (Phase('train', section['steps'], init, step),)

    def predict(self, variables: Any, images: jax.Array) -> Prediction:
        """Keypoints (label = prototype), masks and reconstruction of `[B, H, W, 3]`.

        Images are float32 in [0, 1]; everything comes back in their pixels. Masks exist
        with alpha blending only.
        """
        size, inner = images.shape[1:3], self._inner_size(images)
        found = self.detect(variables, images, self.predict_keypoints or self.num_keypoints)
        valid = found.confidence > self.min_confidence
        found = found._replace(confidence=jnp.where(valid, found.confidence, 0))
        picture, alphas = self._decode(variables, found, inner, valid)
        prob = self._assign(found.descriptors, variables['prototypes'])
        xy = coordinates.resize_points(found.xy, inner, size)
        label = prob.argmax(-1).astype(jnp.int32)
        result = Prediction(
            keypoints=Keypoints(xy, found.confidence, label, valid),
            descriptors=found.descriptors,
            reconstruction=image_ops.resize(picture, size),
        )
        if alphas is None:
            return result
        alphas = jnp.moveaxis(image_ops.resize(jnp.moveaxis(alphas, 1, -1), size), -1, 1)
        return result.replace(alphas=alphas, instances=alphas.argmax(1).astype(jnp.int32))

    def detect(self, variables: Any, images: jax.Array, k: int) -> network.Detections:
        """K points of `[B, H, W, 3]` images, in pixels of the inner resolution."""
        return self._find(*self._encode(variables, self._fit(images)), k)

    def layers(self, variables: Any, found: network.Detections, size: tuple[int, int]):
        """Every keypoint decoded alone: colours and alpha logits (`network`)."""
        decode = functools.partial(self._decoder.apply, {'params': variables['decoder']})
        options = {'variance': self.splat_variance, 'gain': self.splat_gain}
        return network.decode_layers(decode, found, size, **options)

    @property
    def _encoder(self):
        return network.Encoder(
            self.channels,
            self.width,
            self.levels,
            self.groups,
            self.normalize_features,
            jnp.dtype(self.dtype),
        )

    @property
    def _decoder(self):
        out = 4 if self.alpha else 3
        return UNet(out, self.width, self.levels, self.groups, jnp.dtype(self.dtype))

    @property
    def _clustering(self):
        parity = PARITY[self.parity]
        return Clustering(
            self.clustering,
            self.projections,
            parity.counts,
            parity.exploration,
            parity.about,
            parity.summed,
        )

    def _init(self, update, key, batch: Batch, before: State | None) -> State:
        del before
        keys = jax.random.split(key, 4)
        images = self._fit(image_ops.as_float(batch['image'][:1]))
        dense = jnp.zeros((*images.shape[:3], self.channels))
        encoder = self._encoder.init(keys[0], images)['params']
        decoder = self._decoder.init(keys[1], dense)['params']
        prototypes = jax.random.normal(keys[2], (self.num_prototypes, self.channels))
        recent = vectors.normalize(jax.random.normal(keys[3], (self.memory, self.channels)))
        variables = {'encoder': encoder, 'decoder': decoder, 'prototypes': prototypes}
        if self.memory:
            variables['recent'] = recent
        opt = {
            'network': update['network'].init((encoder, decoder)),
            'prototypes': update['prototypes'].init(prototypes),
        }
        return State(jnp.zeros((), jnp.int32), variables, opt)

    def _step(self, update, steps, state: State, batch: Batch, labels, key):
        """One network step, then the prototype steps on its own descriptors."""
        del labels
        variables, opt = dict(state.variables), dict(state.opt)
        view_key, prototype_key = jax.random.split(key)
        views, warp = self._views(parallel.example_keys(view_key, batch['index']), batch)
        done = state.step / steps
        loss = functools.partial(self._loss, variables, views, warp, done)
        trained = (variables['encoder'], variables['decoder'])
        (_, (terms, descriptors)), grads = jax.value_and_grad(loss, has_aux=True)(trained)
        grads = parallel.mean(grads, self.axis_name)
        change, opt['network'] = update['network'].update(grads, opt['network'], trained)
        trained = optax.apply_updates(trained, change)
        variables['encoder'], variables['decoder'] = trained
        if PARITY[self.parity].encode_again:
            found = self._find(*self._encode(variables, views), self.num_keypoints)
            descriptors = found.descriptors
        cloud = jax.lax.stop_gradient(descriptors).reshape(-1, self.channels)
        cloud = parallel.gather_rows(cloud, self.axis_name)
        if self.memory:
            cloud = remember(variables['recent'], cloud)
            variables['recent'] = cloud[: self.memory]
        variables['prototypes'], opt['prototypes'], terms['prototypes'] = self._clustering.steps(
            prototype_key,
            variables['prototypes'],
            opt['prototypes'],
            cloud,
            count=self.prototype_steps,
            update=update['prototypes'].update,
        )
        return State(state.step + 1, variables, opt), parallel.mean(terms, self.axis_name)

    def _views(self, keys, batch):
        images = self._fit(image_ops.as_float(batch['image']))
        if self.views is None:
            return images, None
        pair = self.views.pair(keys, images)
        return jnp.concatenate([pair.first, pair.second]), pair.warp

    def _loss(self, variables, images, warp, done, trained):
        """Scalar; named terms and descriptors `[V, K, D]` beside it."""
        encoder, decoder = trained
        variables = {**variables, 'encoder': encoder, 'decoder': decoder}
        scores, features = self._encode(variables, images)
        bonus = self._bonus(features, done)
        found = self._find(scores, features, self.num_keypoints, bonus)
        picture, alphas = self._decode(variables, found, images.shape[1:3])
        unit = vectors.normalize(variables['prototypes'])
        form = PARITY[self.parity].assignment
        cluster = losses.prototype_assignment(found.descriptors, unit, form=form)
        terms = {
            'reconstruction': losses.squared_error(picture, images).mean(),
            'cluster': cluster.mean(),
            'confidence': found.confidence.mean(),
        }
        cluster_weight = jnp.where(done >= self.cluster_start, self.cluster_weight, 0)
        total = self.reconstruction_weight * terms['reconstruction']
        total += cluster_weight * terms['cluster']
        if self.alpha:
            terms['claim'] = (alphas**2).sum(1).mean()
            total += self.claim_weight * terms['claim']
        if warp is not None:
            terms.update(self._equivariance(scores, features, warp))
            total += self.heat_weight * terms['heat_equivariance']
            total += self.feature_weight * terms['feature_equivariance']
        terms['loss'] = total
        return total, (terms, found.descriptors)

    def _equivariance(self, scores, features, warp):
        first, second = jnp.split(jnp.concatenate([scores[..., None], features], -1), 2)
        moved, valid = follow(warp, first)
        valid = valid if self.mask_equivariance else None
        compare = lambda cut: losses.equivariance(moved[cut], second[cut], valid=valid).mean()
        return {
            'heat_equivariance': compare(np.s_[..., :1]),
            'feature_equivariance': compare(np.s_[..., 1:]),
        }

    def _encode(self, variables, images):
        """Scores `[B, H, W]` in (0, 1) and features `[B, H, W, D]`."""
        features, logits = self._encoder.apply({'params': variables['encoder']}, images)
        return jax.nn.sigmoid(logits), features

    def _bonus(self, features, done):
        """Pulls the choice of peaks to unusual features while the scores are young.

        Only chosen points get gradients, so a kind of object whose first scores happen
        to lie below the ground's would never be found.
        """
        if not self.saliency:
            return None
        weight = jnp.maximum(0, 1 - done / self.saliency)
        return weight * network.saliency(features)

    def _find(self, scores, features, k, bonus=None):
        xy = network.locate(
            scores, k, window=self.window, temperature=self.temperature, bonus=bonus
        )
        return network.describe(scores, features, xy, sampling=PARITY[self.parity].sampling)

    def _decode(self, variables, found, size, valid=None):
        """Picture `[B, H, W, 3]`, and shares `[B, K, H, W]` with alpha blending."""
        if self.alpha:
            colors, logits = self.layers(variables, found, size)
            if valid is not None:
                logits = jnp.where(valid[..., None, None], logits, -1e9)
            alphas = jax.nn.softmax(logits, axis=1)
            return network.blend(colors, alphas), alphas
        decode = functools.partial(self._decoder.apply, {'params': variables['decoder']})
        options = {'variance': self.splat_variance, 'gain': self.splat_gain}
        return network.decode_sum(decode, found, size, **options), None

    def _assign(self, descriptors, prototypes):
        unit = vectors.normalize(prototypes)
        form = PARITY[self.parity].assignment
        return mixtures.pseudo_probabilities(descriptors, unit, form=form)

    def _inner_size(self, images):
        return (self.resolution, self.resolution) if self.resolution else images.shape[1:3]

    def _fit(self, images):
        return image_ops.resize(images, self._inner_size(images))

"""TUSK as a method: its options, forward pass and prediction; `learning` trains it."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.methods import advice, optimizers, reconstruction
from kpdiscovery.methods.options import check_choices
from kpdiscovery.methods.tusk import learning, network
from kpdiscovery.methods.tusk.prototypes import Clustering, quantize
from kpdiscovery.methods.views import Views
from kpdiscovery.models.unet import UNet
from kpdiscovery.ops import coordinates, mixtures, vectors
from kpdiscovery.ops import images as image_ops
from kpdiscovery.ops.whitening import Moments
from kpdiscovery.types import Keypoints, Method, Phase, Prediction, WeightFile


class Parity(NamedTuple):
    """Where paper and released code of [jin2022] disagree."""

    sampling: str = 'bilinear'  # Of descriptors and confidence.
    assignment: str = 'squared'  # Form of the pseudo-probabilities.
    counts: str = 'systematic'
    floor: float = 0.01  # Of the mixing weights.
    about: str = 'prototype'
    summed: bool = False
    encode_again: bool = False  # Prototype steps on features of the updated network.


PARITY = {
    'recommended': Parity(),
    'paper': Parity(assignment='distance', counts='floor', floor=0.0, about='mean'),
    'code': Parity(sampling='floor', counts='floor', summed=True, encode_again=True),
}


@dataclasses.dataclass(frozen=True)
class Tusk(Method):
    """Keypoints whose descriptors rebuild the picture and fall into M prototypes.

    Attributes are the fields of `config.method`; defaults are the paper's, and ours where it
    and its code disagree (`parity`).
    """

    num_keypoints: int
    num_prototypes: int
    window: int  # Side of suppression and soft-argmax squares, odd.
    alpha: bool = False  # Decode keypoints one by one and blend them.
    # Pixels of the shorter side inside, whatever the pictures have, in whole steps of the
    # levels (of 4: 8 pixels); 0: as they are.
    resolution: int = 0
    channels: int = 32
    width: int = 32
    levels: int = 4
    groups: int = 32
    normalize_features: str = ''  # 'channel' or 'picture': `network`.
    whiten: bool = False  # Descriptors decorrelated over keypoints (ours): `network`.
    dtype: str = 'float32'  # Of convolutions; parameters and reductions stay float32.
    remat: bool = (
        False  # Blocks compute again for the gradient: less memory, more time.
    )
    upright: bool = False  # No pits in score maps (ours): `network.upright`.
    temperature: float = 0.2
    splat_variance: float = 0.05
    splat_gain: float = 1.0
    weigh_alphas: bool = False  # A layer's share grows with its confidence (ours).
    views: Views | None = Views()  # None: pictures as they are, no equivariance.
    reconstruction: str = 'mse'  # Or 'perceptual': `reconstruction`.
    perceptual: str = 'efficientnet_lite0'  # Or 'vgg16', the paper's.
    perceptual_weights: str = ''  # Its file; '': the one of its name.
    reconstruction_weight: float = 1.0
    cluster_weight: float = 0.01
    cluster_start: float = 0.0  # Share of the phase before the cluster loss sets in.
    heat_weight: float = 0.01
    feature_weight: float = 100.0
    exploration: float = 0.0  # Share of the phase in which unusual pixels attract.
    claim_weight: float = 0.0  # Of alphas that claim pixels for one keypoint (ours).
    claim_start: float = 0.6  # Share of the phase before it sets in.
    clustering: str = 'sliced_wasserstein'  # Or 'information' (ours): `prototypes`.
    alternate: bool = True
    prototype_steps: int = 8
    projections: int = 100
    memory: int = 0  # Descriptors of recent batches kept for the prototype steps.
    min_confidence: float = 0.0
    predict_keypoints: int = 0  # K at prediction; 0: as in training.
    parity: str = 'recommended'
    axis_name: str | None = None  # Of pmap; None under jit.

    metrics = (
        'foreground_ari',
        'prototype_attributes',
        'mnist_hard',
        'landmark_regression',
        'object_frame',
        'point_repeatability',
        'label_use',
        'descriptor_probes',
    )
    sections: ClassVar = {
        'views': Views
    }  # Fields that are sections of the config themselves.

    may_be_zero = ('prototype_steps',)
    predict_options: ClassVar = {
        'keypoints': 'predict_keypoints',
        'min_confidence': 'min_confidence',
    }

    @property
    def num_labels(self) -> int:
        return self.num_prototypes

    def weight_files(self) -> tuple[WeightFile, ...]:
        return reconstruction.weight_files(self)

    @property
    def assignment(self) -> str:
        """Form of the pseudo-probabilities."""
        return PARITY[self.parity].assignment

    @property
    def alternates(self) -> bool:
        """Whether prototypes have steps of their own."""
        return self.alternate and self.clustering != 'information'

    @property
    def encodes_again(self) -> bool:
        """Whether prototype steps see features of the updated network."""
        return PARITY[self.parity].encode_again

    def __post_init__(self):
        check_choices(
            self,
            parity=sorted(PARITY),
            normalize_features=('', 'channel', 'picture'),
            reconstruction=reconstruction.KINDS,
            perceptual=tuple(reconstruction.NETWORKS),
        )
        Clustering(self.clustering)  # Checks its name.
        if self.clustering == 'information' and self.views is None:
            raise ValueError(
                "clustering='information' is that of two views: views is None"
            )

    def phases(self, config) -> tuple[Phase, ...]:
        section = config['phases']['train']
        make = lambda group: optimizers.build(
            section['optimizer'][group], section['steps']
        )
        update = {group: make(group) for group in ('network', 'prototypes')}
        init = functools.partial(learning.init, self, update)
        # Without a share of the phase to wait for, a step knows nothing of their number,
        # and a run may get more of them.
        claims = self.alpha and self.claim_weight
        scheduled = self.exploration or self.cluster_start or claims
        planned = section['steps'] if scheduled else 1
        step = functools.partial(learning.step, self, update, planned)
        advise = advice.prototypes(self.num_prototypes)
        return (Phase('train', section['steps'], init, step, advise=advise),)

    def predict(self, variables: Any, images: jax.Array) -> Prediction:
        """Keypoints (label = prototype), masks and reconstruction of `[B, H, W, 3]`.

        Images are float32 in [0, 1]; everything comes back in their pixels. Masks exist
        with alpha blending only.
        """
        size, inner = images.shape[1:3], self.inner_size(images)
        found = self.detect(
            variables, images, self.predict_keypoints or self.num_keypoints
        )
        valid = found.peak & (found.confidence > self.min_confidence)
        found = found._replace(confidence=jnp.where(valid, found.confidence, 0))
        drawn = self.drawn(variables, found)
        picture, alphas = self.decode(variables, drawn, inner, valid)
        prob = self.assign(found.descriptors, variables['prototypes'])
        xy = coordinates.resize_points(found.xy, inner, size)
        label = prob.argmax(-1).astype(jnp.int32)
        result = Prediction(
            keypoints=Keypoints(xy, found.confidence, label, valid),
            descriptors=found.descriptors,
            reconstruction=image_ops.resize(picture, size),
        )
        if alphas is None:
            return result
        alphas = jnp.moveaxis(
            image_ops.resize(jnp.moveaxis(alphas, 1, -1), size), -1, 1
        )
        return dataclasses.replace(
            result, alphas=alphas, instances=alphas.argmax(1).astype(jnp.int32)
        )

    def detect(
        self, variables: Any, images: jax.Array, k: int
    ) -> network.SoftKeypoints:
        """K points of `[B, H, W, 3]` images, in pixels of the inner resolution."""
        scores, features = self.encode(variables, self.fit(images))
        found, kept = self.find(scores, features, k), variables.get('moments')
        return network.on_sphere(found, kept and Moments(**kept))

    def drawn(
        self, variables: Any, found: network.SoftKeypoints
    ) -> network.SoftKeypoints:
        """With the descriptors that the decoder is given: prototypes where they stand for
        them."""
        if self.clustering != 'vector_quantization':
            return found
        unit = vectors.normalize(variables['prototypes'])
        return found._replace(descriptors=quantize(found.descriptors, unit))

    def layers(
        self, variables: Any, found: network.SoftKeypoints, size: tuple[int, int]
    ):
        """Every keypoint decoded alone: colours and alpha logits (`network`)."""
        decode = functools.partial(self.decoder.apply, {'params': variables['decoder']})
        options = {'variance': self.splat_variance, 'gain': self.splat_gain}
        return network.decode_layers(decode, found, size, **options)

    @property
    def encoder(self):
        return network.Encoder(
            self.channels,
            self.width,
            self.levels,
            self.groups,
            self.normalize_features,
            jnp.dtype(self.dtype),
            self.remat,
            self.upright,
        )

    @property
    def decoder(self):
        sizes = self.width, self.levels, self.groups, jnp.dtype(self.dtype), self.remat
        return UNet(4 if self.alpha else 3, *sizes)

    @property
    def cluster_updates(self) -> Clustering:
        """How the prototypes follow the descriptors."""
        parity = PARITY[self.parity]
        return Clustering(
            self.clustering,
            self.projections,
            parity.counts,
            parity.floor,
            parity.about,
            parity.summed,
        )

    def encode(self, variables, images):
        """Scores `[B, H, W]` in (0, 1) and features `[B, H, W, D]`."""
        features, logits = self.encoder.apply({'params': variables['encoder']}, images)
        return jax.nn.sigmoid(logits), features

    def find(self, scores, features, k, bonus=None):
        """K points with the features as they are read there."""
        xy, peak = network.locate(
            scores, k, window=self.window, temperature=self.temperature, bonus=bonus
        )
        found = network.describe(
            scores, features, xy, sampling=PARITY[self.parity].sampling
        )
        return found._replace(peak=peak)

    def decode(self, variables, found, size, valid=None):
        """Picture `[B, H, W, 3]`, and shares `[B, K, H, W]` with alpha blending."""
        if self.alpha:
            colors, logits = self.layers(variables, found, size)
            alphas = self.shares(found, logits, valid)
            return network.blend(colors, alphas), alphas
        decode = functools.partial(self.decoder.apply, {'params': variables['decoder']})
        options = {'variance': self.splat_variance, 'gain': self.splat_gain}
        return network.decode_sum(decode, found, size, **options), None

    def shares(self, found, logits, valid=None):
        """Shares `[B, K, H, W]` of the blend, summing to 1, from alpha logits."""
        if self.weigh_alphas:
            logits += jnp.log(found.confidence + 1e-6)[..., None, None]
        if valid is not None:
            logits = jnp.where(valid[..., None, None], logits, -1e9)
        return jax.nn.softmax(logits, axis=1)

    def assign(self, descriptors, prototypes):
        unit = vectors.normalize(prototypes)
        return mixtures.pseudo_probabilities(descriptors, unit, form=self.assignment)

    def inner_size(self, images):
        """Wide pictures are wide inside too, as far as the levels allow."""
        size = images.shape[1:3]
        if not self.resolution:
            return size
        step, scale = 2 ** (self.levels - 1), self.resolution / min(size)
        return tuple(max(1, round(n * scale / step)) * step for n in size)

    def fit(self, images):
        return image_ops.resize(images, self.inner_size(images))

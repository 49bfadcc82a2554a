"""The weight map as a method: a classifier, perhaps an embedding, and the map's net."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from kpdiscovery.methods import advice, classification
from kpdiscovery.methods.classification import Network
from kpdiscovery.methods.crops import Crops
from kpdiscovery.methods.learning import start
from kpdiscovery.methods.options import check_choices
from kpdiscovery.methods.weight_map import learning, stopping
from kpdiscovery.models.classifier import Classifier, class_activation_maps
from kpdiscovery.models.weight_map import WeightMap
from kpdiscovery.ops import heatmaps, masks
from kpdiscovery.ops import images as image_ops
from kpdiscovery.ops.keypoints import labelled
from kpdiscovery.types import (
    Batch,
    Keypoints,
    Method,
    Phase,
    Prediction,
    State,
    WeightFile,
)

# Phase -> the net it trains, and its step.
_PHASES = {
    'classify': ('classifier', learning.step_classify),
    'embed': ('embedding', learning.step_embed),
    'localize': ('map', learning.step_localize),
}


@dataclasses.dataclass(frozen=True)
class WeightMapping(Method):
    """Mask and box of the one thing a picture's class label is about.

    Attributes are the fields of `config.method`. Phases are those of `config.phases`:
    method I is `classify`, `localize`; method II, `guide='embedding'`, has `embed`
    before `localize`, and `classify` only for the classes it names.
    """

    num_classes: int = 0  # 0: counted by `kpd train`.
    guide: str = 'classifier'  # 'embedding': method II.
    network: Network = Network(backbone='resnet18')  # Of each net that judges.
    encoder: Network = Network(backbone='resnet18')  # Of the map's net.
    trunks: str = 'fresh'  # 'copy': each starts as the one learnt in the phase before.
    crops: Crops = Crops()
    target: str = 'soft'  # Of method I: the classifier's opinion; 'label': the truth.
    regularizer: float = 1.0  # Times the mean of the map.
    masking: str = 'normalized'  # What 0 shows: the mean colour; 'raw': black.
    embedding_size: int = 200
    margin: float = 1.0  # Of triplets.
    inner: bool = True  # Method II's losses, for table 6.
    outer: bool = True
    threshold: float = 0.1  # Of boxes, of the map's maximum.
    holdout: int = 10  # Every so many rows teach nothing, for the stopping score; the
    # statistics of batch norm see them.
    largest_area: float = (
        0.9  # Boxes from this share on are no reason to stop training.
    )
    parity: str = 'recommended'  # 'paper': batch norm before the map's sigmoid too, and
    # boxes as large as their pictures count for the stopping score.

    metrics = ('classification', 'localization')
    sections: ClassVar = {'network': Network, 'encoder': Network, 'crops': Crops}
    may_be_zero = ('holdout',)
    class_count = 'num_classes'

    def __post_init__(self):
        check_choices(
            self,
            guide=('classifier', 'embedding'),
            target=('soft', 'label'),
            masking=('normalized', 'raw'),
            trunks=('fresh', 'copy'),
            parity=('recommended', 'paper'),
        )
        if self.trunks == 'copy' and self.network.build() != self.encoder.build():
            raise ValueError(
                'trunks=copy needs network and encoder to be the same backbone'
            )
        if self.guide == 'embedding' and not (self.inner or self.outer):
            raise ValueError(
                'method II needs inner or outer: nothing else holds the map'
            )
        if not 0 < self.threshold <= 1:
            raise ValueError(f'threshold must be in (0, 1], got {self.threshold}')
        if self.holdout == 1:
            raise ValueError('holdout=1 leaves no row to learn from')

    @property
    def num_labels(self) -> int:
        return 1

    def weight_files(self) -> tuple[WeightFile, ...]:
        return (
            self.network.weight_file('network'),
            self.encoder.weight_file('encoder'),
        )

    @property
    def classifier(self) -> Classifier:
        return self.network.classifier(self.num_classes)

    @property
    def embedding(self) -> Classifier:
        """Its `logits` are the vectors, without normalisation."""
        # Triplets of zeros have no gradient.
        return self.network.classifier(self.embedding_size, zero_start=False)

    @property
    def mapper(self) -> WeightMap:
        net = self.encoder
        return WeightMap(
            net.build(),
            jnp.dtype(net.dtype),
            net.statistics,
            last_norm=self.parity == 'paper',
            frozen_statistics=net.frozen_statistics,
        )

    def advise(self, figures) -> str:
        return advice.whole_boxes(figures.get('whole_boxes', 0) / 100)

    def judge(self, variables: Any, images: jax.Array) -> jax.Array:
        """What the frozen net says of pictures: logits or vectors.

        Its gradient reaches the pictures, through what `network.frozen` names too.
        """
        network = dataclasses.replace(self.network, frozen='')
        net = getattr(dataclasses.replace(self, network=network), self.guide)
        return net.apply(variables[self.guide], images).logits

    def phases(self, config) -> tuple[Phase, ...]:
        return classification.in_order(_PHASES, config['phases'], self._phase)

    def predict(self, variables: Any, images: jax.Array) -> Prediction:
        """Map, its box, class, and class activation maps for comparison.

        Pictures are seen whole, shrunk to the size of training crops. The keypoint is
        the map's highest pixel.
        """
        seen = self.crops.whole(images)
        out: Any = None
        if 'classifier' in variables:
            out = self.classifier.apply(variables['classifier'], seen)
        if 'map' in variables:
            maps: Any = self.mapper.apply(variables['map'], seen)
        else:  # Before there is a net for it.
            maps = jnp.ones(seen.shape[:3], jnp.float32)
        maps = image_ops.resize(maps[..., None], images.shape[1:3])[..., 0]
        kept = masks.binary_threshold(maps, fraction=self.threshold)
        boxes, found = jax.vmap(masks.largest_box)(kept)
        found_objects = Prediction(
            _peak(maps), mask=maps, boxes=boxes[:, None], boxes_valid=found[:, None]
        )
        if out is None:
            return found_objects
        return dataclasses.replace(
            found_objects,
            class_logits=out.logits,
            class_maps=class_activation_maps(variables['classifier'], out.features),
        )

    def _phase(self, name, section):
        net, step = _PHASES[name]
        source = self._source(net)
        update = {net: classification.build_optimizer(section, source)}
        return Phase(
            name,
            section['steps'],
            functools.partial(self._init, net, update),
            functools.partial(step, self, update),
            advise={
                'classifier': advice.classes(self.num_classes),
                'map': advice.maps,
            }.get(net),
            **stopping.while_training(self, section) if net == 'map' else {},
        )

    def _source(self, name):
        return self.encoder if name == 'map' else self.network

    def _init(self, name, update, key, batch: Batch, before: State | None) -> State:
        """A fresh net, or pretrained, beside those of the phases before."""
        classification.check_labels(batch, self.num_classes)
        others = {} if before is None else before.variables
        if name == 'map' and self.guide not in others:
            needed = {'classifier': 'classify', 'embedding': 'embed'}[self.guide]
            raise ValueError(f'phase localize needs the phase {needed} before it')
        images = self.crops.whole(image_ops.as_float(batch['image'][:1]))
        modules = {
            'classifier': self.classifier, 'embedding': self.embedding, 'map': self.mapper,
        }  # fmt: skip
        net = self._source(name).init(key, modules[name], images)
        if self.trunks == 'copy' and others:
            learnt = others[self.guide if name == 'map' else 'classifier']
            net = {kind: {**tree, 'backbone': learnt[kind]['backbone']}
                   for kind, tree in net.items()}  # fmt: skip
        return start({**others, name: net}, update)


def _peak(maps) -> Keypoints:
    """The highest pixel of each map, as its one keypoint."""
    found = heatmaps.top_k_keypoints(maps, 1, window=1)
    return labelled(found.xy, found.score, found.valid)

"""LMPNet as a method: two classifiers, the second blind to the first one's keypoint."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from kpdiscovery.methods import advice, classification, learning
from kpdiscovery.methods.classification import Network
from kpdiscovery.methods.crops import Crops
from kpdiscovery.methods.lmpnet import keypoints as keypoint_ops
from kpdiscovery.methods.options import check_choices
from kpdiscovery.models.classifier import Classifier
from kpdiscovery.ops import images as image_ops
from kpdiscovery.ops.pooling import KINDS, sparsity
from kpdiscovery.types import (
    Array,
    Batch,
    Keypoints,
    Method,
    Phase,
    Prediction,
    State,
    WeightFile,
)

_NETS = {'classify': 'first', 'mask_out': 'second'}  # The net each phase trains.


@dataclasses.dataclass(frozen=True)
class LmpNet(Method):
    """Keypoints of pictures with class labels, in the order they were agreed on.

    Attributes are the fields of `config.method`; those that the paper leaves open have
    the defaults of our recommendation. Phases are those of `config.phases`: `classify`
    trains a net with leaky max pooling; `mask_out` a second one on pictures in which
    the first one's first keypoint is erased.
    """

    num_classes: int = 0  # 0: counted by `kpd train`.
    num_keypoints: int = 5
    network: Network = Network()
    crops: Crops = Crops()
    pooling: str = 'leaky_max'  # 'average', 'max': the paper's baselines.
    epsilon: float = 0.1
    filters: float = 1 / 32  # Share of filters, the strongest of a picture: proposals.
    iterations: int = 5  # Of the clustering, per keypoint.
    erase_threshold: float = 3.0  # Cells, strict.
    accumulate: bool = False  # The text's update of weights instead of algorithm 1's.
    mask_cells: int = 3  # Side of the erased square.
    replica: str = 'fresh'  # 'copy': the second net starts as the first one.
    fusion: str = 'proposals'  # Of both nets; 'lists' of keypoints; 'first' net alone.

    metrics = ('classification', 'greedy_pck', 'feature_entropy')
    baselines: ClassVar = {'without_mask_out': {'fusion': 'first'}}
    sections: ClassVar = {'network': Network, 'crops': Crops}
    class_count = 'num_classes'
    free = ('fusion',)

    def __post_init__(self):
        check_choices(
            self,
            pooling=KINDS,
            fusion=('proposals', 'lists', 'first'),
            replica=('fresh', 'copy'),
        )
        if not 0 < self.filters <= 1:
            raise ValueError(f'filters must be a share in (0, 1], got {self.filters}')
        if self.erase_threshold <= 0:
            raise ValueError(
                f'erase_threshold must be above 0, got {self.erase_threshold}: with '
                'nothing erased all keypoints are one'
            )
        if self.mask_cells < 1 or self.mask_cells % 2 == 0:
            raise ValueError(f'mask_cells must be odd, got {self.mask_cells}')

    @property
    def num_labels(self) -> int:
        return self.num_keypoints

    def num_filters(self, maps: Array) -> int:
        """How many of the filters of maps `[..., C]` make a proposal."""
        return max(1, round(self.filters * maps.shape[-1]))

    def weight_files(self) -> tuple[WeightFile, ...]:
        return (self.network.weight_file('network'),)

    @property
    def classifier(self) -> Classifier:
        return self.network.classifier(
            self.num_classes, pooling=self.pooling, epsilon=self.epsilon
        )

    def phases(self, config) -> tuple[Phase, ...]:
        return classification.in_order(_NETS, config['phases'], self._phase)

    def predict(self, variables: Any, images: jax.Array) -> Prediction:
        """Keypoints in pixels, the most agreed on first, and the first net's classes."""
        seen, corner = self.crops.middle(images)
        out: Any = self.classifier.apply(variables['first'], seen)
        found = self._keypoints(variables, seen, self._proposals(out))
        pixels = keypoint_ops.to_pixels(found, self.classifier, corner)
        return Prediction(
            pixels,
            class_logits=out.logits,
            feature_entropy=sparsity(out.features),
        )

    def _phase(self, name, section):
        update = {_NETS[name]: classification.build_optimizer(section, self.network)}
        init = functools.partial(self._init, _NETS[name], update)
        step = functools.partial(self._step, _NETS[name], update)
        advise = advice.classes(self.num_classes)
        return Phase(name, section['steps'], init, step, advise=advise)

    def _init(self, name, update, key, batch: Batch, before: State | None) -> State:
        """A fresh net, or pretrained, beside the one of the phase before."""
        classification.check_labels(batch, self.num_classes)
        if (before is None) != (name == 'first'):
            raise ValueError('phase mask_out needs the phase classify before it')
        images, _ = self.crops.middle(image_ops.as_float(batch['image'][:1]))
        others = {} if before is None else before.variables
        if others and self.replica == 'copy':
            net = others['first']
        else:
            net = self.network.init(key, self.classifier, images)
        return learning.start({**others, name: net}, update)

    def _step(self, name, update, state: State, batch: Batch, labels, key: jax.Array):
        """One step of cross-entropy on random crops."""
        del labels
        label = classification.check_labels(batch, self.num_classes)
        images = image_ops.as_float(batch['image'])
        images = self.crops.draw(key, images, batch['index'])
        if name == 'second':
            seen: Any = self.classifier.apply(state.variables['first'], images)
            images = self._erase(images, self._proposals(seen))
        return classification.learn_classes(
            self.network, self.classifier, update, state, images, label
        )

    def _erase(self, images, proposals):
        """Pictures without what the first net sees first."""
        found = keypoint_ops.cluster(self, proposals)
        return keypoint_ops.mask_out(
            images, found, self.classifier, cells=self.mask_cells
        )

    def _keypoints(self, variables, images, own) -> Keypoints:
        """Keypoints in cells, of one net's proposals or of both nets'."""
        if self.fusion == 'first' or 'second' not in variables:
            return keypoint_ops.cluster(self, own)
        erased = self._erase(images, own)
        other = self._proposals(self.classifier.apply(variables['second'], erased))
        if self.fusion == 'proposals':
            return keypoint_ops.cluster(self, jnp.concatenate([own, other], axis=-1))
        first, second = (keypoint_ops.cluster(self, maps) for maps in (own, other))
        return keypoint_ops.join(first, second, threshold=self.erase_threshold)

    def _proposals(self, seen):
        return keypoint_ops.proposals(seen.features, self.num_filters(seen.features))

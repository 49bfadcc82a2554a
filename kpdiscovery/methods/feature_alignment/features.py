"""Frozen dense features of pictures: a published network's, one of ours, or a file's."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from kpdiscovery.methods.classification import classifier_of_run
from kpdiscovery.methods.superpoint.method import superpoint_of_run
from kpdiscovery.models import backbones, efficientnet, superpoint, vgg, zoo
from kpdiscovery.ops import cells, precision, vectors
from kpdiscovery.ops import images as image_ops
from kpdiscovery.types import Batch, WeightFile

GIVEN = 'given'
_SUPERPOINT = ('trunk', 'descriptor')


@dataclasses.dataclass(frozen=True)
class Features:
    """Where features come from; a config section.

    `backbone` is a name in `models.backbones.NAMES`, 'superpoint' (gray pictures, stride
    8; '' are the packaged weights), or 'given': the batch field `features`.
    """

    backbone: str = 'vgg16'
    map: str = 'pool4'  # Of the backbone; of SuperPoint 'trunk' or 'descriptor'.
    weights: str = ''  # A name, a file, or the workdir of a classifier; 'random'.
    width: int = 64  # Of its channels; pretrained weights need 64.
    last_stride: int = 2  # 1: the last stage at twice the resolution, not of VGG-16.
    small_stem: bool = False  # ResNets for pictures of about 64 pixels.
    dtype: str = 'float32'  # Of convolutions.

    def __post_init__(self):
        if self.backbone == GIVEN:
            return
        maps: tuple[str, ...] = _SUPERPOINT
        if self.backbone == 'vgg16':
            maps = tuple(name for name, _ in vgg.layers())
        elif self.backbone == 'efficientnet_lite0':
            maps = efficientnet.MAPS
        elif self.backbone != 'superpoint':
            maps = tuple(self._build().channels)
        zoo.check_backbone(self.weights, self.backbone)
        if self.map not in maps:
            raise ValueError(f'features.map must be one of {maps}, got {self.map!r}')

    @property
    def first(self) -> float | None:
        """As `Backbone.first`; cells of a file and of SuperPoint are tiles."""
        named = self.backbone in (GIVEN, 'superpoint')
        return None if named else self._build().first

    def weight_files(self) -> tuple[WeightFile, ...]:
        """The network's, as config section `features`; none for given features."""
        if self.backbone == GIVEN or self.weights == 'random':
            return ()
        own = self.backbone == 'superpoint'
        file = WeightFile(
            'features.weights',
            self.weights,
            superpoint.load if own else self._load,
            '' if own else f'features of {self.backbone} need one',
            superpoint_of_run if own else classifier_of_run,
        )
        return (file,)

    def init(self, key: jax.Array, images: jax.Array) -> Any:
        """The network's variables; of pictures `[1, H, W, 3]`.

        Raises:
            ValueError: weights are needed and not named.
            UserError: as the loaders.
        """
        if self.backbone == 'superpoint':
            return superpoint.load(self.weights or superpoint.PACKAGED)[1]
        if not self.weights:
            raise ValueError(
                f'features of {self.backbone} need features.weights=FILE '
                '(kpd weights), the workdir of a classifier of ours, or random'
            )
        network = self._build()
        if self.weights == 'random':
            return network.init(key, images)
        return self._load(self.weights)

    def extract(self, variables: Any, images: jax.Array) -> jax.Array:
        """Features of pictures `[B, H, W, 3]` in [0, 1]: `[B, h, w, D]` float32."""
        if self.backbone == 'superpoint':
            gray = image_ops.to_gray(images)[..., None]
            if self.map == 'trunk':
                return superpoint.trunk_features(variables, gray)
            out: Any = superpoint.of_variables(variables).apply(variables, gray)
            return out[1]
        maps: Any = self._build().apply(variables, images)
        return precision.full(maps[self.map])

    def _load(self, path: str) -> Any:
        return backbones.load(path, self._build())

    def _build(self) -> backbones.Backbone:
        return backbones.build(
            self.backbone,
            width=self.width,
            last_stride=self.last_stride,
            small_stem=self.small_stem,
            taps=() if self.backbone.startswith('resnet') else (self.map,),
            dtype=jnp.dtype(self.dtype),
        )


def of_batch(features: Features, variables: Any, batch: Batch):
    """Features `[B, h, w, D]` of unit length, and the cells `[B, h, w]` bool that count.

    Cells on a picture's padding do not count, nor do those whose given features are
    marked as not valid. Vectors of zeros stay zero.

    Raises:
        ValueError: features are to be given and the batch has none, or the other way
            round; or the network's cells do not divide the pictures.
    """
    if (features.backbone == GIVEN) != ('features' in batch):
        raise ValueError(
            "features.backbone='given' goes with data.features=FOLDER, and only with it"
        )
    if features.backbone == GIVEN:
        found = precision.full(batch['features'])
        valid = batch.get('features_valid', jnp.ones(found.shape[:-1], bool))
        return vectors.normalize(found), valid
    images = image_ops.as_float(batch['image'])
    found = features.extract(variables['features'], images)
    _check_divided(images.shape[1:3], found.shape[1:3])
    valid = batch.get('pixels_valid', jnp.ones(images.shape[:3], bool))
    return vectors.normalize(found), cells.inside(
        valid, (found.shape[1], found.shape[2])
    )


def _check_divided(size, shape):
    """Else the middles of cells would not be where sides / cells puts them."""
    for side, count in zip(size, shape, strict=True):
        stride = side // count
        if side != stride * count or stride & (stride - 1):
            raise ValueError(
                f'the features of {side} pixels are {count} cells: data.size must be a '
                "multiple of the map's stride"
            )

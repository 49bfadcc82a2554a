"""Dense descriptors of published networks: what each place of a picture looks like."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.models import backbones, xfeat
from kpdiscovery.ops import images as image_ops
from kpdiscovery.ops import vectors
from kpdiscovery.types import Keypoints, WeightFile

RANDOM = 'random'


class Described(NamedTuple):
    """What the networks see in B pictures."""

    maps: jax.Array  # [B, h, w, D], parts side by side, each of unit length.
    points: Keypoints  # [B, P] generic ones, in pixels of the pictures.


class Standard(NamedTuple):
    """Channels brought to one scale."""

    mean: jax.Array  # [D]
    deviation: jax.Array  # [D]


@dataclasses.dataclass(frozen=True)
class Descriptors:
    """XFeat's and EfficientNet-Lite0's maps side by side on one grid; a config section.

    Which, and of what size pictures: see RESULTS.md, Landmarks without training.
    """

    xfeat: str = 'xfeat'  # A name of `kpd weights`, a file, or 'random'.
    backbone: str = 'efficientnet_lite0'
    sides: tuple[int, ...] = (256, 320)  # Of the pictures that XFeat sees.
    side: int = 224  # Of those that EfficientNet sees.
    taps: tuple[str, ...] = ('stage5', 'stage6')  # Its maps.
    cells: int = 32  # A side of the grid.

    def __post_init__(self):
        if not self.sides or any(side % xfeat.STEP for side in self.sides):
            raise ValueError(
                f'descriptors.sides must be multiples of {xfeat.STEP}, got {self.sides}'
            )
        self._build()  # Wrong taps, told early.

    @property
    def width(self) -> int:
        """D."""
        return sum(self._widths)

    def weight_files(self, section: str) -> tuple[WeightFile, ...]:
        load = functools.partial(backbones.load, backbone=self._build())
        files = (('xfeat', self.xfeat, xfeat.load), ('backbone', self.backbone, load))
        return tuple(
            WeightFile(f'{section}.{field}', path, check)
            for field, path, check in files
            if path != RANDOM
        )

    def load(self) -> dict[str, Any]:
        """Both networks' variables.

        Raises:
            UserError: as the loaders.
        """
        net, blank = self._build(), jnp.zeros((1, self.side, self.side, 3))
        key = jax.random.key(0)
        return {
            'xfeat': xfeat.XFeat().init(key, jnp.zeros((1, 32, 32, 1)))
            if self.xfeat == RANDOM
            else xfeat.load(self.xfeat),
            'backbone': net.init(key, blank)
            if self.backbone == RANDOM
            else backbones.load(self.backbone, net),
        }

    def describe(self, variables: Any, images: jax.Array, points: int) -> Described:
        """Maps of pictures `[B, H, W, 3]` in [0, 1] of any size, and their best points."""
        seen: list[Any] = []
        for side in self.sides:
            gray = image_ops.resize(images, (side, side)).mean(axis=-1, keepdims=True)
            seen.append(xfeat.XFeat().apply(variables['xfeat'], gray))
        found, _ = xfeat.read_points(seen[0], images.shape[1:3], points)
        small = image_ops.resize(images, (self.side, self.side))
        more: Any = self._build().apply(variables['backbone'], small)
        parts = [*(one.descriptors for one in seen), *(more[tap] for tap in self.taps)]
        return Described(_side_by_side([self._fitted(part) for part in parts]), found)

    def standardize(self, descriptors: jax.Array, by: Standard) -> jax.Array:
        """`[..., D]` of unit length, every part counting as much as any other."""
        shape = (1,) * (descriptors.ndim - 1) + (-1,)
        scaled = descriptors - by.mean.reshape(shape)
        scaled = scaled / by.deviation.reshape(shape)
        ends = [sum(self._widths[: i + 1]) for i in range(len(self._widths) - 1)]
        return vectors.normalize(_side_by_side(jnp.split(scaled, ends, axis=-1)))

    def _fitted(self, part):
        """A map on the common grid: all of them cover the whole picture."""
        part = vectors.normalize(part.astype(jnp.float32))
        if part.shape[1:3] == (self.cells, self.cells):
            return part
        shape = (len(part), self.cells, self.cells, part.shape[-1])
        return jax.image.resize(part, shape, 'bicubic')

    @functools.cached_property
    def _widths(self) -> list[int]:
        channels = self._build().channels
        return [64] * len(self.sides) + [channels[tap] for tap in self.taps]

    def _build(self) -> backbones.Backbone:
        return backbones.build('efficientnet_lite0', taps=self.taps)


def standard(rows: jax.Array, weights: jax.Array, total) -> Standard:
    """Mean and deviation of `[n, D]` rows; `total` sums over devices."""
    many = jnp.maximum(total(weights.sum()), 1)
    mean = total((weights[:, None] * rows).sum(0)) / many
    squares = total((weights[:, None] * (rows - mean[None]) ** 2).sum(0)) / many
    return Standard(mean, jnp.sqrt(squares) + 1e-6)


def _side_by_side(parts):
    return jnp.concatenate([vectors.normalize(part) for part in parts], axis=-1)

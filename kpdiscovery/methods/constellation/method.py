"""Landmarks without training, as a method: cluster, then arrange.

Ours, after an observation of [mallis-thesis] (figure 5.8): what generic descriptors say of
correspondence is where self-training starts from. Clusters of published networks'
descriptors are looked for in every picture, and those that keep their place beside the
others are the landmarks.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from kpdiscovery.methods import learning
from kpdiscovery.methods.constellation import locate
from kpdiscovery.methods.constellation.dense import Descriptors, Standard, standard
from kpdiscovery.ops import (
    cells,
    constellations,
    coordinates,
    heatmaps,
    keypoints,
    kmeans,
    parallel,
    reductions,
)
from kpdiscovery.ops import images as image_ops
from kpdiscovery.types import (
    Batch,
    Method,
    Phase,
    Prediction,
    State,
    Sweep,
    SweepResult,
    Tree,
    WeightFile,
)

_FEW = 5  # Generic points a picture; faces have 40.
_LOOSE = 0.1  # Typical distance from the place among the others, in sides; faces .013.


@dataclasses.dataclass(frozen=True)
class Constellations(Method):
    """K landmarks of one kind of object; attributes are the fields of `config.method`.

    Phases: `cluster` (descriptors of generic points of all pictures into M clusters),
    `arrange` (rounds of looking for them and learning how they lie beside one another).
    Nothing descends a gradient.
    """

    num_keypoints: int = 30  # K, reliable ones all over the object, of ...
    num_clusters: int = 60  # ... M.
    num_points: int = 40  # Generic points a picture, at most.
    kmeans_iterations: int = 30
    kmeans_restarts: int = 3
    descriptors: Descriptors = Descriptors()

    metrics = (
        'landmark_nme',
        'landmark_accuracy',
        'landmark_pck',
        'landmark_oks',
        'landmark_points',
        'landmark_spread',
        'object_frame',
        'landmark_repeatability',
        'landmark_matching',
    )
    batch_fields = ('pixels_valid',)
    sections: ClassVar = {'descriptors': Descriptors}
    ordered = True

    def __post_init__(self):
        if not 3 <= self.num_keypoints <= self.num_clusters:
            raise ValueError(
                f'num_keypoints must be in 3..num_clusters = {self.num_clusters}, got '
                f'{self.num_keypoints}'
            )

    @property
    def num_labels(self) -> int:
        return self.num_keypoints

    def weight_files(self) -> tuple[WeightFile, ...]:
        return self.descriptors.weight_files('descriptors')

    def phases(self, config) -> tuple[Phase, ...]:
        sections = config['phases']
        cluster, arrange = sections['cluster'], sections['arrange']
        return (
            Phase('cluster', 1, self._start, self._look, Sweep(
                1, _blank, self._describe, self._cluster, stride=cluster['stride'],
                advise=advise)),
            Phase('arrange', arrange['rounds'], _inherit, self._look, Sweep(
                1, _blank, self._locate, self._arrange, stride=arrange['stride'],
                advise=advise)),
        )  # fmt: skip

    def predict(self, variables: Any, images: jax.Array, **fields) -> Prediction:
        """Landmark k of `[B, H, W, 3]` pictures in [0, 1]; scores are cosines, and what is
        like no place of a picture (a cluster of nothing, say) is not valid."""
        found = self._located(variables, {'image': images, **fields})
        kept = variables['clusters']['kept']
        xy = locate.to_pixels(jnp.take(found.xy, kept, axis=1), images.shape[1:3])
        score = jnp.take(found.score, kept, axis=1)
        return Prediction(keypoints.labelled(xy, score, score > 0))

    def describe(self, variables: Any, images: jax.Array, xy: jax.Array):
        """Standardised descriptors at pixels `[B, T, 2]`: `[B, T, D]`."""
        seen = self.descriptors.describe(variables, images, 1)
        grid = (self.descriptors.cells,) * 2
        at = coordinates.resize_points(xy, images.shape[1:3], grid)
        found = heatmaps.sample_bilinear(seen.maps, at)
        standard = Standard(**variables['clusters']['standard'])
        return self.descriptors.standardize(found, standard)

    def _start(self, key, batch: Batch, before: State | None) -> State:
        del key, batch, before
        m, width = self.num_clusters, self.descriptors.width
        clusters = {
            'centroids': jnp.zeros((m, width)),
            'standard': Standard(jnp.zeros(width), jnp.ones(width))._asdict(),
            'shape': jnp.zeros((m, 2)),
            'spread': jnp.full(m, jnp.inf),
            'kept': jnp.arange(self.num_keypoints, dtype=jnp.int32),
        }
        return learning.start({**self.descriptors.load(), 'clusters': clusters}, {})

    def _look(self, state: State, batch: Batch, labels, key):
        """Nothing is learnt in steps: how far landmarks are from where they should be."""
        del labels, key
        found = self._located(state.variables, batch)
        gap = jnp.sqrt(jnp.sum((found.xy - found.expected) ** 2, axis=-1))
        kept = state.variables['clusters']['kept']
        scalars = {
            'loss': jnp.take(gap, kept, axis=1).mean(),
            'cosine': jnp.take(found.score, kept, axis=1).mean(),
        }
        return dataclasses.replace(state, step=state.step + 1), scalars

    def _located(self, variables, batch) -> locate.Located:
        images, clusters = image_ops.as_float(batch['image']), variables['clusters']
        seen = self.descriptors.describe(variables, images, 1)
        maps = self.descriptors.standardize(seen.maps, Standard(**clusters['standard']))
        known = constellations.Constellation(clusters['shape'], clusters['spread'])
        return locate.locate(maps, self._shown(batch), clusters['centroids'], known)

    def _shown(self, batch):
        """Cells that show the picture, and not its padding: `[B, h, w]`."""
        images, side = batch['image'], self.descriptors.cells
        valid = batch.get('pixels_valid', jnp.ones(images.shape[:3], bool))
        return cells.inside(valid, (side, side))

    def _describe(self, state: State, batch: Batch, labels: Tree) -> Tree:
        del labels
        images = image_ops.as_float(batch['image'])
        seen = self.descriptors.describe(state.variables, images, self.num_points)
        grid = (self.descriptors.cells,) * 2
        at = coordinates.resize_points(seen.points.xy, images.shape[1:3], grid)
        shown = self._shown(batch).astype(jnp.float32)[..., None]
        there = heatmaps.sample_bilinear(shown, at)[..., 0] > 0.5
        found = heatmaps.sample_bilinear(seen.maps, at)
        return {'descriptor': found, 'valid': seen.points.valid & there}

    def _cluster(self, rows: Any, state: State, key: jax.Array) -> SweepResult:
        fit = functools.partial(self._clusters, key)
        _, (found, scalars) = parallel.over_rows(fit, rows)
        return SweepResult({}, _with(state, found), scalars)

    def _clusters(self, key, rows, *, axis_name):
        flat = rows['descriptor'].reshape(-1, rows['descriptor'].shape[-1])
        weights = (rows['valid'] & rows['row_valid'][:, None]).ravel()
        weights = weights.astype(jnp.float32)
        total = functools.partial(parallel.total, axis_name=axis_name)
        by = standard(flat, weights, total)
        unit = self.descriptors.standardize(flat, by)
        found = kmeans.kmeans(
            key, unit, self.num_clusters, weights=weights, spherical=True,
            restarts=self.kmeans_restarts, iterations=self.kmeans_iterations,
            axis_name=axis_name,
        )  # fmt: skip
        many = jnp.maximum(total(weights.sum()), 1)
        scalars = {
            'points': many / jnp.maximum(total(rows['row_valid'].sum()), 1),
            'cosine': 1 - found.inertia / many / 2,
        }
        return {}, ({'centroids': found.centroids, 'standard': by._asdict()}, scalars)

    def _locate(self, state: State, batch: Batch, labels: Tree) -> Tree:
        del labels
        return {'xy': self._located(state.variables, batch).xy}

    def _arrange(self, rows: Any, state: State, key: jax.Array) -> SweepResult:
        del key
        _, (found, scalars) = parallel.over_rows(self._constellation, rows)
        return SweepResult({}, _with(state, found), scalars)

    def _constellation(self, rows, *, axis_name):
        found = constellations.fit(
            rows['xy'], rows['row_valid'], floor=locate.FLOOR, axis_name=axis_name
        )
        kept = constellations.choose(found, self.num_keypoints)
        gap = jnp.sqrt(jnp.sum((rows['xy'] - found.shape[None]) ** 2, axis=-1))
        counts = jnp.broadcast_to(rows['row_valid'][:, None], gap[:, kept].shape)
        moved = reductions.mean_where(gap[:, kept], counts, axis_name=axis_name)
        scalars = {'spread': found.spread[kept].mean(), 'moved': moved}
        return {}, ({**found._asdict(), 'kept': kept}, scalars)


def advise(scalars: Mapping[str, float]) -> str:
    """A warning with its remedy when a pass has found little, else ''."""
    if scalars.get('points', _FEW) < _FEW:
        return (
            f'only {scalars["points"]:.1f} generic points a picture: are they blurred, or '
            'the thing a small part of them? Crop to it'
        )
    if scalars.get('spread', 0.0) > _LOOSE:
        return (
            f'landmarks are {scalars["spread"]:.0%} of a side from where the others put '
            'them: they keep no place beside one another; crop to the thing, or take '
            'pictures of one view'
        )
    return ''


def _with(state: State, found: dict) -> State:
    clusters = {**state.variables['clusters'], **found}
    return dataclasses.replace(
        state, variables={**state.variables, 'clusters': clusters}
    )


def _inherit(key, batch: Batch, before: State | None) -> State:
    del key, batch
    if before is None:
        raise ValueError('phase arrange needs the phase cluster before it')
    return learning.start(before.variables, {})


def _blank(rows: int, labels: Tree, batch: Batch) -> Tree:
    """No labels are kept: the landmarks of a picture follow from the variables."""
    del rows, labels, batch
    return {}

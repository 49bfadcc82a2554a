"""Self-training landmarks as a method: options, phases of each chapter, prediction."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from kpdiscovery.methods import optimizers
from kpdiscovery.methods.options import check_choices
from kpdiscovery.methods.self_training import (
    clustering,
    correspond,
    label_tables,
    landmarks,
    network,
    rounds,
)
from kpdiscovery.methods.self_training.augmentation import Augmentation
from kpdiscovery.methods.self_training.correspond import Rules
from kpdiscovery.methods.self_training.network import Size
from kpdiscovery.ops import coordinates, heatmaps, landmark_clusters, vectors
from kpdiscovery.ops.keypoints import labelled
from kpdiscovery.types import Keypoints, Method, Phase, Prediction


@dataclasses.dataclass(frozen=True)
class SelfTraining(Method):
    """K landmarks that a network teaches itself from generic keypoints.

    Attributes are the fields of `config.method`; defaults are those of chapter 6 of
    [mallis-thesis] ([mallis2023]), but that stage 2's views also have a black square there
    (`landmark_augmentation.cutout` 80/256); chapter 5 is [mallis2020]. Distances (`half`,
    `min_gap`, `merge_distance`) are in cells of maps of 64 a side, whatever the maps: 4
    pixels of 256; `target_sigma` is in cells of the maps.
    """

    num_keypoints: int = 30  # K; chapter 4: of the template. Chapter 5 finds it itself.
    num_clusters: int = 100  # M.
    num_points: int = 64  # P: points kept a picture at most.
    chapter: int = 6  # 4, 5 or 6 of [mallis-thesis].
    network: Size = Size()
    augmentation: Augmentation = Augmentation()
    landmark_augmentation: Augmentation = Augmentation()
    outliers: float = 0.4  # Share of the generic keypoints that is dropped.
    ground_clusters: int = 0  # Of points outside boxes, to tell ground inside them by.
    threshold: float = 0.15  # Of the detector; in chapter 5 of stage 2's maps too.
    half: float = 2.0  # Half-size of the boxes that must not overlap.
    min_points: int = 2  # Pictures with fewer labelled points teach nothing.
    target_sigma: float = 0.0  # Of the detector's targets; 0: single cells.
    detector_weight: float = 1.0
    descriptor_weight: float = 10.0
    # Of the codes; 'squared' is that of the thesis's equations (no config takes it, for
    # those who want the loss as it is written): `losses.contrastive_landmarks`.
    contrastive: str = 'distance'
    margin: float = 0.8
    min_gap: float = (
        5.7  # Of points that may be a negative pair inside a picture (ch. 6).
    )
    background_pairs: int = (
        4  # Random cells each point is compared with, chapter 6; ours.
    )
    # Of the first labels: 'points' are only themselves until the network clusters them,
    # 'clusters' have labels that another run gave them (data.keypoints).
    start: str = 'points'
    correspondence: str = 'clustering'  # Or 'equivariance' (table 6.3).
    # Chapter 6: or 'other_image' (table 6.3; chapter 5 has that always). Or 'global': the
    # chapter's own and, once clusters have labels, points of all pictures of the batch.
    negatives: str = 'same_image'
    kmeans_iterations: int = 100
    kmeans_restarts: int = 10  # Chapter 6; chapter 5 starts once.
    flip_train: bool = True  # Table 6.5.
    flip_test: bool = True
    landmark_loss: str = 'mse'  # Of stage 2's maps; or 'cross_entropy' (own choice).
    merge_start: int = 25_000  # Steps of stage 2 before channels merge (chapter 5).
    merge_overlap: float = 0.7
    merge_distance: float = 1.425
    min_population: int = 500  # Points of a cluster that becomes a landmark (ch. 5).
    distill_after: int = 5  # Rounds, and views a picture, of data distillation ...
    distill_views: int = 8  # ... in chapter 4.
    min_matched: float = 0.7  # Share of the template a picture must match (chapter 4).

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
    ordered = True
    may_be_zero = (
        'background_pairs',
        'distill_after',
        'merge_start',
        'min_points',
        'min_population',
    )
    free = ('flip_test',)
    sections: ClassVar = {
        'network': Size,
        'augmentation': Augmentation,
        'landmark_augmentation': Augmentation,
    }

    def __post_init__(self):
        if self.chapter not in (4, 5, 6):
            raise ValueError(f'chapter must be 4, 5 or 6, got {self.chapter}')
        check_choices(
            self,
            start=('points', 'clusters'),
            correspondence=('clustering', 'equivariance'),
            negatives=('same_image', 'other_image', 'global'),
            contrastive=('distance', 'squared'),
            landmark_loss=tuple(landmarks.LOSSES),
        )
        if self.chapter == 5 and self.start == 'clusters':
            raise ValueError(
                "chapter 5 finds its clusters itself: start must be 'points', got "
                f'{self.start!r}'
            )
        if self.num_points < self.num_keypoints:
            raise ValueError(
                f'num_points must be at least num_keypoints = {self.num_keypoints}, got '
                f'{self.num_points}'
            )

    @property
    def num_labels(self) -> int:
        """Landmarks: K, and in chapter 5 as many as there are clusters."""
        return self.num_clusters if self.chapter == 5 else self.num_keypoints

    def phases(self, config) -> tuple[Phase, ...]:
        sections = config['phases']
        if list(sections) == ['landmarks']:
            return (self._distilling(sections['landmarks']),)
        if self.chapter == 4:
            return self._chapter_four(sections)
        first, then = self._rules()
        warm_up, main = sections['warm_up'], sections['correspond']
        return (
            self._stage_one('warm_up', warm_up, first,
                            label_tables.from_generic(self, warm_up['steps'])),
            self._stage_one('correspond', main, then,
                            label_tables.from_network(self, main['round'])),
            self._stage_two(sections['landmarks'], self._mirrors),
        )  # fmt: skip

    def _distilling(self, section) -> Phase:
        """Stage 2 without a stage 1: fresh networks learn what another run gave."""
        if self.chapter != 6 or self.start != 'clusters':
            raise ValueError(
                'landmarks alone are learnt in chapter 6, from another run '
                "(method.start='clusters'): else other phases come before"
            )
        sweep = label_tables.from_generic(self, section['steps'])
        return dataclasses.replace(self._stage_two(section, self._mirrors), sweep=sweep)

    @property
    def _mirrors(self) -> bool:
        return self.chapter == 6 and self.flip_train

    def _rules(self) -> tuple[Rules, Rules]:
        """Of the warm-up, and of the rounds after it.

        Labels that clusters gave are the same in other pictures, so half the second views
        show another one, and chapter 6 mirrors. Chapter 6's first labels are of their
        own picture only, unless another run gave them (`start`). With 'equivariance' both
        views are always of one picture.
        """
        across, other = self.chapter == 5, self.negatives == 'other_image'
        alone = Rules(across=across, strangers=other and not across)
        pairs = Rules(
            others=0.5,
            across=across or other,
            flip=self._mirrors,
            elsewhere=self.negatives == 'global',
        )
        if self.correspondence == 'equivariance':
            elsewhere = self.negatives == 'global'
            return alone, dataclasses.replace(
                alone, alike=self._mirrors, elsewhere=elsewhere
            )
        known = across or self.start == 'clusters'
        return (pairs if known else alone), pairs

    def _stage_one(self, name, section, rules, sweep) -> Phase:
        update = {'network': optimizers.build(section['optimizer'], section['steps'])}
        init = functools.partial(correspond.init, self, update)
        step = functools.partial(correspond.step, self, rules, update)
        return Phase(name, section['steps'], init, step, sweep)

    def _stage_two(self, section, flip) -> Phase:
        update = self._two_updates(section)
        init = functools.partial(landmarks.init, self, update)
        step = functools.partial(landmarks.step, self, flip, update)
        sweep = None
        if self.chapter == 5:
            sweep = landmarks.merging(self, section['round'])
        return Phase('landmarks', section['steps'], init, step, sweep)

    def _chapter_four(self, sections) -> tuple[Phase, ...]:
        section, last = sections['locate'], sections['landmarks']
        update = {'network': optimizers.build(section['optimizer'], section['steps'])}
        init = functools.partial(rounds.init_locate, self, update)
        step = functools.partial(rounds.step_locate, self, update)
        found = []
        for number in range(1, section['rounds'] + 1):
            distill = number > self.distill_after
            sweep = (
                label_tables.from_generic(self, section['steps'])
                if number == 1
                else rounds.from_teacher(self, section['steps'], distill=distill)
            )
            found.append(Phase(f'locate_{number}', section['steps'], init, step, sweep))
        update = self._two_updates(last)
        init = functools.partial(rounds.init_landmarks, self, update)
        # No mirroring: nothing says which landmark is the mirror image of which.
        step = functools.partial(landmarks.step, self, False, update)
        sweep = rounds.aligning(self, last['round'])
        return (*found, Phase('landmarks', last['steps'], init, step, sweep))

    def _two_updates(self, section):
        return {group: optimizers.build(section['optimizer'][group], section['steps'])
                for group in ('trunk', 'head')}  # fmt: skip

    def blank_clusters(self) -> dict[str, jax.Array]:
        """What sweeps will fill in: what prediction needs to know of the clusters."""
        k, width = self.num_labels, self.network.features
        clusters = {'centroids': jnp.zeros((k, width))}
        if self.chapter == 5:
            alive = jnp.ones(k, bool)
            return {**clusters, 'thresholds': jnp.zeros(k), 'active': alive}
        clusters = {**clusters, 'flip': jnp.arange(k, dtype=jnp.int32)}
        return (
            {**clusters, 'active': jnp.ones(k, bool)} if self.chapter == 4 else clusters
        )

    def detect(self, scores: jax.Array) -> Keypoints:
        """Points of score maps `[B, h, w]`, in cells."""
        return network.detect(
            scores, self.num_points, threshold=self.threshold, half=self.half
        )

    def describe(self, variables: Any, images: jax.Array, xy: jax.Array):
        """Stage 1's descriptors at pixels `[B, T, 2]`: `[B, T, D]`; None without them."""
        if 'descriptor' not in variables:
            return None
        maps = network.stage_one(self.network, variables, images)
        cells = coordinates.pixel_to_cell(xy, network.STRIDE)
        return heatmaps.sample_bilinear(maps.descriptors, cells)

    def predict(self, variables: Any, images: jax.Array) -> Prediction:
        """Landmarks of `[B, H, W, 3]` pictures in [0, 1]: keypoint k has label k.

        With stage 2 trained, where each channel is highest, read between cells; before,
        the detected points that belong to the K clusters, missing ones not `valid` (all,
        until a sweep has found clusters); of chapter 4 before its last phase points
        without an order.
        """
        if 'landmarks' in variables:
            found = self._peaks(variables, images)
        elif 'descriptor' in variables:
            found = self._clustered(variables, images)
        else:
            found = self._unordered(variables, images)
        xy = coordinates.cell_to_pixel(found.xy, network.STRIDE)
        return Prediction(keypoints=dataclasses.replace(found, xy=xy))

    def _peaks(self, variables, images) -> Keypoints:
        maps = landmarks.landmark_maps(self, variables, images)
        if self.flip_test and self.chapter == 6:
            mirror = landmarks.landmark_maps(self, variables, images[:, :, ::-1])
            flip = variables['clusters']['flip']
            back = jnp.take(mirror[:, :, ::-1], jnp.maximum(flip, 0), axis=-1)
            known = (flip >= 0).reshape(1, 1, 1, -1)
            maps = jnp.where(known, (maps + back) / 2, maps)
        xy, score = network.peaks(maps)
        valid = jnp.ones(score.shape, bool)
        if self.chapter != 6:  # Older runs of chapter 4 have no `active`.
            valid &= variables['clusters'].get('active', jnp.ones(1, bool))[None]
        if self.chapter == 5:
            valid &= score >= self.threshold
        return labelled(xy, score, valid)

    def _clustered(self, variables, images) -> Keypoints:
        maps = network.stage_one(self.network, variables, images)
        points = self.detect(maps.scores)
        found = heatmaps.sample_bilinear(maps.descriptors, points.xy)
        unit = vectors.normalize(found)
        clusters = variables['clusters']
        if self.chapter == 6:
            known = jnp.any(clusters['centroids'] != 0)
            return landmark_clusters.landmarks_from_points(
                unit, points.xy, points.valid & known, clusters['centroids']
            )
        label = clustering.assign_within(
            unit, points.valid, clusters['centroids'], clusters['thresholds']
        )
        by_label = lambda values: landmarks.by_channel(
            values, label, points.score, self.num_labels
        )
        (xy, valid), (score, _) = by_label(points.xy), by_label(points.score[..., None])
        return labelled(xy, jnp.where(valid, score[..., 0], 0), valid)

    def _unordered(self, variables, images) -> Keypoints:
        """Chapter 4 before its last phase: points without an order."""
        return self.detect(network.scores(self.network, variables, images))

"""Part discovery by feature alignment as a method: a dictionary of parts, then the parts."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from kpdiscovery import losses
from kpdiscovery.methods import advice, classification, learning, optimizers
from kpdiscovery.methods.feature_alignment import aligning, parts, pools
from kpdiscovery.methods.feature_alignment.features import GIVEN, Features, of_batch
from kpdiscovery.methods.options import check_choices
from kpdiscovery.ops import coordinates, heatmaps, parallel, precision, reductions
from kpdiscovery.ops import images as image_ops
from kpdiscovery.ops.alignment import MODELS
from kpdiscovery.types import (
    Batch,
    Keypoints,
    Method,
    Phase,
    Prediction,
    State,
    WeightFile,
)

_PHASES = ('dictionary', 'align')


@dataclasses.dataclass(frozen=True)
class FeatureAlignment(Method):
    """Parts of objects of one kind, as channels over the cells of frozen features.

    Attributes are the fields of `config.method`; those that the paper leaves open have
    the defaults of our recommendation. Phases: `dictionary` (features of all pictures
    clustered as a mixture of von Mises-Fisher distributions: the parts "by
    clustering only"), `align` (training by what the aligned maps of similar pictures agree on).

    With `parity='paper'` transforms come from samples of matches, what lies outside of a
    neighbour votes for background, so do all cells of background in the loss, and any
    cell may be an anchor of a part: the surest `peaks` are.
    """

    features: Features = Features()
    num_keypoints: int = 512
    kappa: float = 30.0  # Concentration of the parts; 1 / temperature of the softmax.
    per_image: int = 20  # Features a picture that the dictionary is learnt from.
    border: float = 0.072  # Of the sides: cells there it is not learnt from, 1 of 14.
    iterations: int = 150  # Of the clustering.
    neighbours: int = 15
    pool: int = 2_000  # Pictures that they are among; 0: all.
    block: int = 0  # Pictures compared at a time; 0: what is fast on the platform.
    transform: str = 'affine'  # 'none', 'translation', 'homography'.
    parity: str = 'recommended'  # 'paper': to the letter where that does not work well.
    threshold: float = 0.6  # Cosine of matches; this and the next four of 'paper'.
    matches: int = 256  # Of a pair of pictures, the best.
    hypotheses: int = 500
    tolerance: float = 1.0  # Cells.
    minimum: int = 6  # Matches of a transform that is more than a translation.
    cap: int = 3  # Cells a part may label in a picture.
    radius: int = 0  # Cells around a part's own that it may not label.
    parts: str = 'trained'  # To predict with: 'dictionary' is clustering only.
    peaks: int = 5  # Points a part at most, in a prediction.
    min_confidence: float = 0.5  # Of valid points, in shares of the part's surest.

    metrics = (
        'part_detection',
        'part_box_detection',
        'part_landmarks',
        'landmark_nme',
        'landmark_spread',
        'landmark_repeatability',
    )
    baselines: ClassVar = {'clustering': {'parts': 'dictionary'}}
    batch_fields = ('features', 'features_valid', 'pixels_valid')
    sections: ClassVar = {'features': Features}
    predict_options: ClassVar = {'min_confidence': 'min_confidence'}
    may_be_zero = ('block', 'minimum', 'pool', 'radius')
    free = ('parts', 'peaks')
    one_each = True

    def __post_init__(self):
        check_choices(
            self,
            transform=MODELS,
            parity=('recommended', 'paper'),
            parts=('trained', 'dictionary'),
        )
        for name in ('num_keypoints', 'neighbours', 'peaks', 'per_image', 'matches'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name} must be at least 1')

    @property
    def num_labels(self) -> int:
        return self.num_keypoints

    def weight_files(self) -> tuple[WeightFile, ...]:
        return self.features.weight_files()

    def phases(self, config) -> tuple[Phase, ...]:
        build = {'dictionary': self._dictionary, 'align': self._align}
        return classification.in_order(
            _PHASES, config['phases'], lambda name, section: build[name](section)
        )

    def maps(self, variables: Any, images: jax.Array, **fields) -> jax.Array:
        """Part maps `[B, h, w, C]`, the background last, of pictures in [0, 1]."""
        features, valid = of_batch(
            self.features, variables, {'image': images, **fields}
        )
        layer = variables['parts' if self.parts == 'trained' else 'dictionary']
        width, own = features.shape[-1], layer['directions'].shape[-1]
        if width != own:
            raise ValueError(
                f'the features have {width} channels, the parts were learnt from {own}'
            )
        return self._maps(layer, features, valid)

    def predict(self, variables: Any, images: jax.Array, **fields) -> Prediction:
        """The highest peaks of every part, in pixels; labels are parts.

        Between cells: at the centre of mass of the peak's 3 x 3 cells. With
        `parity='paper'` the surest cells of every part, peaks or not, at their middles.
        A part's highest peak is valid, and others that come near it; how sure a part
        may be depends on the features, their number and `kappa`.

        Keyword arguments are `batch_fields`, as far as there are any.
        """
        maps = self.maps(variables, images, **fields)
        channels = jnp.moveaxis(maps[..., :-1], -1, 1)
        stride = images.shape[1] / maps.shape[1]
        every = self.parity == 'paper'
        found = heatmaps.top_k_keypoints(channels, self.peaks, window=1 if every else 3)
        if not every:
            between = heatmaps.centroid(channels, found.xy, window=3)
            found = dataclasses.replace(found, xy=between)
        surest = found.score[..., :1]
        flat = lambda leaf: leaf.reshape(len(leaf), -1, *leaf.shape[3:])
        label = jnp.broadcast_to(
            jnp.arange(self.num_keypoints)[None, :, None], found.label.shape
        )
        return Prediction(
            Keypoints(
                coordinates.cell_to_pixel(flat(found.xy), stride, self.features.first),
                flat(found.score),
                flat(label),
                flat(found.valid & (found.score >= self.min_confidence * surest)),
            )
        )

    def on_extracted(self) -> FeatureAlignment | None:
        if self.features.backbone == GIVEN:
            return None
        return dataclasses.replace(self, features=Features(backbone=GIVEN))

    def extract(self, variables: Any, batch: Batch) -> dict[str, jax.Array]:
        features, valid = of_batch(self.features, variables, batch)
        return {'features': features, 'features_valid': valid}

    def looking(self, section, variables) -> tuple[FeatureAlignment, Any]:
        method = dataclasses.replace(self, features=Features(**section))
        images = jnp.zeros((1, 64, 64, 3))
        network = {'features': method.features.init(jax.random.key(0), images)}
        return method, {**variables, **network}

    def feature_shape(self, batch: Batch) -> tuple[int, int, int]:
        """(h, w, D) of a picture's features."""
        variables = jax.eval_shape(self._network, jax.random.key(0), batch)
        look = lambda variables, batch: of_batch(self.features, variables, batch)[0]
        return jax.eval_shape(look, variables, batch).shape[1:]

    def _dictionary(self, section):
        steps = section['steps']
        sweep = pools.dictionary_sweep(self, steps)
        return Phase('dictionary', steps, self._start, self._look, sweep)

    def _align(self, section):
        update = {'parts': optimizers.build(section['optimizer'], section['steps'])}
        return Phase(
            'align',
            section['steps'],
            functools.partial(self._inherit, update),
            functools.partial(self._step, update),
            pools.pool_sweep(self, section['pools_every']),
            advise=advice.parts,
        )

    def _start(self, key, batch: Batch, before: State | None) -> State:
        """The network of the features, and parts in random directions."""
        del before
        own, drawn = jax.random.split(key)
        variables = self._network(own, batch)
        shape = (self.num_keypoints + 1, self.feature_shape(batch)[-1])
        directions = jax.random.normal(drawn, shape)
        for name in ('parts', 'dictionary'):
            variables[name] = {'directions': directions}
        return learning.start(variables, {})

    def _network(self, key: jax.Array, batch: Batch) -> dict[str, Any]:
        if self.features.backbone == GIVEN:
            return {}
        images = image_ops.as_float(batch['image'][:1])
        return {'features': self.features.init(key, images)}

    def _look(self, state: State, batch: Batch, labels, key):
        """Nothing is learnt in steps: how well the dictionary explains a batch."""
        del key
        rows, valid = _seen(labels, batch['index'])
        maps = self._maps(state.variables['parts'], rows, valid)
        surprise = -jnp.log(maps.max(axis=-1))
        loss = reductions.mean_where(surprise, valid)
        return dataclasses.replace(state, step=state.step + 1), {'loss': loss}

    def _inherit(self, update, key, batch, before: State | None) -> State:
        del key, batch
        if before is None:
            raise ValueError('phase align needs the phase dictionary before it')
        return learning.start(before.variables, update)

    def _step(self, update, state: State, batch: Batch, labels, key: jax.Array):
        """One step on the pictures of a batch, each with its pool."""
        index = batch['index']
        pool = parallel.take_rows(labels['neighbours'], index)
        there = pool >= 0
        around = jnp.concatenate([index[:, None], jnp.maximum(pool, 0)], axis=1)
        rows, valid = _seen(labels, around)
        keys = parallel.example_keys(key, index)

        def loss(variables):
            maps = self._maps(variables['parts'], rows, valid)
            pictures = aligning.Pictures(maps, precision.full(rows), valid)
            each, terms = jax.vmap(self._loss)(keys, pictures, there)
            determinants = terms.pop('determinants')
            median = jnp.nanmedian(jnp.where(there, determinants, jnp.nan))
            scalars = {'loss': each.mean(), **jax.tree.map(jnp.mean, terms)}
            scalars['determinant'] = jnp.where(there.any(), median, 1.0)
            return scalars['loss'], (scalars, {})

        return learning.descend(loss, update, state)

    def _loss(self, key, pictures, there):
        """One picture: leaves `[1 + k, ...]`, its own first, and its pool's `[k]`."""
        own = jax.tree.map(lambda leaf: leaf[0], pictures)
        others = jax.tree.map(lambda leaf: leaf[1:], pictures)
        paper = self.parity == 'paper'
        aligned = aligning.align(self, key, own, others)
        labels = aligning.agree(self, aligned.maps, aligned.covers, there, own.valid)
        covers = jnp.concatenate([own.valid[None], aligned.covers])
        # Outside of a map its own likelihood is a constant; of the mean it is a share.
        covers |= paper
        counts = covers & jnp.concatenate([jnp.ones(1, bool), there])[:, None, None]
        loss = losses.coherence(
            jnp.concatenate([own.maps[None], aligned.maps]), labels, counts, own.valid,
            balanced=not paper,
        )  # fmt: skip
        share = functools.partial(reductions.mean_where, where=there)
        on_own = functools.partial(reductions.mean_where, where=own.valid)
        ground = own.maps.argmax(axis=-1) == self.num_keypoints
        found = aligned.transforms
        terms = {
            'partners': share(found.partners.sum(axis=1)),
            'moved': share(found.moved.astype(jnp.float32)),
            'determinants': jnp.linalg.det(found.matrix),
            'outside': share(1 - jax.vmap(on_own)(aligned.covers)),
            'foreground': on_own(labels < self.num_keypoints),
            'background': on_own(ground),
        }
        return loss, terms

    def _maps(self, layer, features, valid):
        return parts.part_maps(layer['directions'], features, valid, kappa=self.kappa)


def _seen(labels, rows):
    """Features of rows of the table, and which of their cells count."""
    table = {name: labels[name] for name in ('features', 'valid')}
    found = parallel.take_rows(table, rows)
    return found['features'], found['valid']

"""SuperPoint as a method: its options and prediction; `learning` trains it."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from kpdiscovery.methods import optimizers
from kpdiscovery.methods.options import check_choices
from kpdiscovery.methods.superpoint import learning
from kpdiscovery.methods.superpoint.augmentation import Homographies, Photometric
from kpdiscovery.models import superpoint
from kpdiscovery.models.norms import STATISTICS
from kpdiscovery.ops import cells, heatmaps, suppression
from kpdiscovery.ops import images as image_ops
from kpdiscovery.types import (
    Keypoints,
    Method,
    Phase,
    Prediction,
    Run,
    Sweep,
    UserError,
    WeightFile,
)

_KINDS = ('shapes', 'adapt', 'describe')  # Of phases, in the order they run.


@dataclasses.dataclass(frozen=True)
class SuperPoint(Method):
    """Generic keypoints with descriptors; no two kinds are told apart.

    Attributes are the fields of `config.method`. Phases are those of `config.phases`:
    names that begin with shapes, then adapt, then describe; of a kind by name.
    """

    widths: tuple[int, int, int, int] = (64, 64, 128, 128)
    head: int = 256
    descriptor: int = 256
    batch_norm: bool = True
    momentum: float = 0.99
    statistics: str = 'all'  # Of batch norm; or each 'chip''s: `norms.ChipNorm`.
    dtype: str = 'float32'  # Of convolutions; parameters and reductions stay float32.
    weights: str = ''  # A file to start from (or kpd train: a workdir); '': none.
    num_keypoints: int = 300
    threshold: float = 0.015  # Least probability of a point.
    radius: int = 4  # Of greedy suppression, pixels (Chebyshev).
    border: int = 4  # Pixels at the border without points.
    frame: str = 'centred'  # Of descriptors; 'corner' for public weights.
    photometric: Photometric | None = Photometric()
    views: Homographies = Homographies()  # Of training.
    adaptation: Homographies = Homographies(angle=3.1416)  # Of homographic adaptation.
    adaptations: int = 100  # Its views.
    pseudo_keypoints: int = 300  # Places for labels in a picture.
    descriptor_weight: float = 10_000.0  # With normalised inner products.
    positive_weight: float = 0.05
    positive_margin: float = 1.0
    negative_margin: float = 0.2
    same_distance: float = 7.5  # Pixels within which cells show the same place.
    predict_keypoints: int = 0  # K at prediction; 0: as `num_keypoints`.

    metrics = ('shape_detection',)
    sections: ClassVar = {
        'photometric': Photometric,
        'views': Homographies,
        'adaptation': Homographies,
    }
    may_be_zero = ('border', 'radius')
    predict_options: ClassVar = {'keypoints': 'predict_keypoints'}

    def __post_init__(self):
        check_choices(self, statistics=STATISTICS)
        if self.frame not in ('centred', 'corner'):
            raise ValueError(f"frame must be 'centred' or 'corner', got {self.frame!r}")
        if len(self.widths) != 4 or self.adaptations < 1:
            raise ValueError(
                f'widths must be four and adaptations positive, got {self.widths} and '
                f'{self.adaptations}'
            )

    @property
    def num_labels(self) -> int:
        return 1

    def weight_files(self) -> tuple[WeightFile, ...]:
        return (
            WeightFile(
                'weights', self.weights, superpoint.load, of_run=superpoint_of_run
            ),
        )

    def phases(self, config) -> tuple[Phase, ...]:
        sections = config['phases']
        order = sorted(sections, key=lambda name: (_rank(name), name))
        return tuple(self._phase(name, sections[name]) for name in order)

    def _phase(self, name, section):
        kind = _KINDS[_rank(name)]
        update = {'net': optimizers.build(section['optimizer'], section['steps'])}
        init = functools.partial(learning.init, self, update)
        step = functools.partial(learning.step, self, update, kind == 'describe')
        sweep = None
        if kind == 'adapt':
            start = functools.partial(learning.no_labels, self)
            extract = functools.partial(learning.extract, self)
            sweep = Sweep(section['steps'], start, extract, learning.reduce)
        return Phase(name, section['steps'], init, step, sweep)

    def predict(self, variables: Any, images: jax.Array) -> Prediction:
        """Keypoints and their descriptors, the most probable first.

        Of sides that 8 does not divide, the last pixels have no points.
        """
        h, w = (side // cells.STRIDE * cells.STRIDE for side in images.shape[1:3])
        gray = image_ops.to_gray(images)[:, :h, :w]
        out: Any = self.model.apply(variables['net'], gray[..., None])
        logits, coarse = out
        keypoints = self.peaks(cells.to_heatmap(logits), self._predicted)
        read = cells.sample_descriptors(coarse, keypoints.xy, frame=self.frame)
        return Prediction(keypoints, descriptors=read)

    def peaks(self, heat: jax.Array, k: int) -> Keypoints:
        """The K best points `[B, K]` of probabilities `[B, H, W]`."""
        h, w = heat.shape[1:]
        inner = jnp.pad(jnp.ones((max(h - 2 * self.border, 0), max(w - 2 * self.border, 0))),
                        self.border)[:h, :w]  # fmt: skip
        thin = suppression.suppress_greedily(
            heat * (heat > self.threshold), radius=self.radius
        )
        found = heatmaps.top_k_keypoints(thin * inner[None], k, window=1)
        return dataclasses.replace(found, label=jnp.zeros_like(found.label))

    def detect(self, variables: Any, gray: jax.Array) -> jax.Array:
        """Probabilities of a point, `[B, H, W]` from `[B, H, W]`."""
        model: Any = self.model
        logits, _ = model.apply(variables['net'], gray[..., None], describe=False)
        return cells.to_heatmap(logits)

    @property
    def model(self) -> superpoint.SuperPoint:
        return superpoint.SuperPoint(
            self.widths,
            self.head,
            self.descriptor,
            self.batch_norm,
            self.momentum,
            jnp.dtype(self.dtype),
            self.statistics,
        )

    @property
    def _predicted(self):
        return self.predict_keypoints or self.num_keypoints


def superpoint_of_run(run: Run) -> tuple[Any, dict]:
    """The network of a run of this method (`types.WeightFile`)."""
    if run.name != 'superpoint':
        raise UserError(f'a {run.name} run is no superpoint')
    return run.variables['net'], {}


def _rank(name):
    """A phase's place among the kinds, since configs remember no order."""
    kind = name.split('_')[0]
    if kind not in _KINDS:
        raise ValueError(
            f'a phase must be called shapes, adapt or describe, got {name!r}'
        )
    return _KINDS.index(kind)

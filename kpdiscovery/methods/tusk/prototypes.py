"""The second half of TUSK's step: prototypes follow the descriptors ([jin2022], 3.3)."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import optax

from kpdiscovery import losses
from kpdiscovery.ops import mixtures, vectors


@dataclasses.dataclass(frozen=True)
class Clustering:
    """What is minimised over the prototypes, for a fixed cloud of descriptors.

    Prototypes are raw vectors of which only the direction counts. Adam moves them by its
    rate whatever their length, so they grow, and turn ever more slowly: what is put in
    their place should be as long as they are.

    Attributes:
        kind: 'sliced_wasserstein' (TUSK), or for table 6 'kmeans' and
            'vector_quantization', which both pull each prototype to its members. With
            'information' (ours) nothing is minimised here: prototypes learn with the
            networks what the two views of a keypoint tell of each other ([ji2019]).
        projections: random directions of the sliced Wasserstein distance.
        counts: how samples are split among prototypes, 'systematic' or 'floor' (code).
        floor, about: see `ops.mixtures.fit_mixture`.
        summed: sum over ranks instead of their mean (code).
    """

    kind: str = 'sliced_wasserstein'
    projections: int = 100
    counts: str = 'systematic'
    floor: float = 0.01
    about: str = 'prototype'
    summed: bool = False

    def __post_init__(self):
        kinds = (
            'sliced_wasserstein', 'kmeans', 'vector_quantization', 'information',
        )  # fmt: skip
        if self.kind not in kinds:
            raise ValueError(f'clustering must be one of {kinds}, got {self.kind!r}')

    def loss(
        self, key: jax.Array, prototypes: jax.Array, descriptors: jax.Array
    ) -> jax.Array:
        """Scalar for raw prototypes `[M, D]` and unit descriptors `[N, D]`."""
        unit = vectors.normalize(prototypes)
        if self.kind != 'sliced_wasserstein':
            return losses.nearest_prototype(descriptors, unit)
        n, d = descriptors.shape
        keys = jax.random.split(key, 3)
        counts = jax.lax.stop_gradient(self._counts(keys[0], unit, descriptors))
        sample = mixtures.sample_mixture(keys[1], unit, counts, n)
        directions = losses.random_directions(keys[2], self.projections, d)
        distance = losses.sliced_wasserstein(descriptors, sample, directions)
        return distance * n if self.summed else distance

    def _counts(self, key, unit, descriptors):
        mixture = mixtures.fit_mixture(
            descriptors, unit, floor=self.floor, about=self.about
        )
        if self.counts == 'floor':
            return mixtures.component_counts(mixture.weights, descriptors.shape[0])
        return mixtures.systematic_counts(key, mixture.weights, descriptors.shape[0])

    def steps(self, key, trained, opt, descriptors, *, count: int, update):
        """`count` optimiser steps; returns {'prototypes'}, optimiser state, last loss."""

        def one(carry, step_key):
            trained, opt = carry
            objective = lambda group: self.loss(
                step_key, group['prototypes'], descriptors
            )
            loss, grads = jax.value_and_grad(objective)(trained)
            change, opt = update(grads, opt, trained)
            return (optax.apply_updates(trained, change), opt), loss

        keys = jax.random.split(key, count)
        (trained, opt), values = jax.lax.scan(one, (trained, opt), keys)
        return trained, opt, values[-1]


def remember(recent: jax.Array, fresh: jax.Array) -> jax.Array:
    """The latest of old and new descriptors, newest first: as many as there were, at least
    all new ones. Old ones were whitened with the moments of their own batch."""
    return jnp.concatenate([fresh, recent])[: max(recent.shape[0], fresh.shape[0])]


def quantize(descriptors: jax.Array, unit: jax.Array) -> jax.Array:
    """The nearest of `[M, D]` prototypes for each descriptor, with a straight-through
    gradient [oord2017]."""
    nearest = unit[vectors.squared_distances(descriptors, unit).argmin(-1)]
    return descriptors + jax.lax.stop_gradient(nearest - descriptors)

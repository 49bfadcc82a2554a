"""Pure losses: arrays in, one number per example out unless the docstring says a set."""

from kpdiscovery.losses.classes import triplet, weight_map
from kpdiscovery.losses.detectors import cell_cross_entropy, descriptor_hinge
from kpdiscovery.losses.landmarks import (
    contrastive_landmarks,
    crowding,
    heatmap_cross_entropy,
    heatmap_mse,
)
from kpdiscovery.losses.pairs import contrastive_sums
from kpdiscovery.losses.parts import coherence
from kpdiscovery.losses.pixels import equivariance, squared_error
from kpdiscovery.losses.prototypes import (
    mutual_information,
    nearest_prototype,
    prototype_assignment,
)
from kpdiscovery.losses.sliced_wasserstein import random_directions, sliced_wasserstein

__all__ = [
    'cell_cross_entropy',
    'coherence',
    'contrastive_landmarks',
    'contrastive_sums',
    'crowding',
    'descriptor_hinge',
    'equivariance',
    'heatmap_cross_entropy',
    'heatmap_mse',
    'mutual_information',
    'nearest_prototype',
    'prototype_assignment',
    'random_directions',
    'sliced_wasserstein',
    'squared_error',
    'triplet',
    'weight_map',
]

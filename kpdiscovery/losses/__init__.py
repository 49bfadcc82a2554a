"""Pure losses: arrays in, one number per example out unless the docstring says a set."""

from kpdiscovery.losses.pixels import equivariance, squared_error
from kpdiscovery.losses.prototypes import nearest_prototype, prototype_assignment
from kpdiscovery.losses.sliced_wasserstein import random_directions, sliced_wasserstein

__all__ = [
    'equivariance',
    'nearest_prototype',
    'prototype_assignment',
    'random_directions',
    'sliced_wasserstein',
    'squared_error',
]

"""Evaluation protocols as pure functions, and PROTOCOLS, the table of them by name."""

from kpdiscovery.metrics.features import slot_features
from kpdiscovery.metrics.landmarks import (
    five_points,
    inter_ocular,
    landmark_regression,
)
from kpdiscovery.metrics.protocols import PROTOCOLS, evaluate
from kpdiscovery.metrics.prototypes import (
    contingency,
    prototype_accuracy,
    prototype_attributes,
)
from kpdiscovery.metrics.regions import assign_regions, keypoint_of_objects
from kpdiscovery.metrics.regression import fit_linear, fit_ridge, forward_nme
from kpdiscovery.metrics.scenes import match_boxes, mnist_hard
from kpdiscovery.metrics.segmentation import adjusted_rand_index, foreground_ari

__all__ = [
    'PROTOCOLS',
    'adjusted_rand_index',
    'assign_regions',
    'contingency',
    'evaluate',
    'fit_linear',
    'fit_ridge',
    'five_points',
    'foreground_ari',
    'forward_nme',
    'inter_ocular',
    'keypoint_of_objects',
    'landmark_regression',
    'match_boxes',
    'mnist_hard',
    'prototype_accuracy',
    'prototype_attributes',
    'slot_features',
]

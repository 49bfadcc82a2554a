"""Evaluation protocols as pure functions, and PROTOCOLS, the table of them by name."""

from kpdiscovery.metrics.accuracy import (
    Accuracy,
    match_landmarks,
    pck,
    point_accuracy,
    precision_recall,
)
from kpdiscovery.metrics.annotated_sets import (
    LANDMARK_SETS,
    LandmarkSet,
    Subset,
    Unmeasurable,
    check_landmarks,
    landmark_set,
)
from kpdiscovery.metrics.clusters import normalized_mutual_information
from kpdiscovery.metrics.completion import complete_matrix
from kpdiscovery.metrics.curves import cumulative_error, fraction_within
from kpdiscovery.metrics.detectors import (
    average_precision,
    match_greedily,
    near_share,
    repeatability,
    shape_detection,
)
from kpdiscovery.metrics.errors import Nme, normalized_errors
from kpdiscovery.metrics.features import slot_features
from kpdiscovery.metrics.labelled import by_label
from kpdiscovery.metrics.landmark_hits import (
    landmark_accuracy,
    landmark_oks,
    landmark_pck,
    landmark_points,
)
from kpdiscovery.metrics.landmark_nme import landmark_errors, landmark_nme
from kpdiscovery.metrics.landmark_sets import (
    Landmarks,
    fill_missing,
    points_per_image,
)
from kpdiscovery.metrics.landmarks import five_points, landmark_regression
from kpdiscovery.metrics.nme import (
    backward_nme,
    forward_nme,
    random_parts,
    regress_landmarks,
    repeated_nme,
)
from kpdiscovery.metrics.normalizers import (
    annotated_extent,
    box_length,
    inter_ocular,
    joint_distance,
)
from kpdiscovery.metrics.oks import (
    AveragePrecision,
    object_keypoint_similarity,
    oks_average_precision,
)
from kpdiscovery.metrics.protocols import PROTOCOLS, evaluate
from kpdiscovery.metrics.prototypes import (
    contingency,
    prototype_accuracy,
    prototype_attributes,
)
from kpdiscovery.metrics.regions import assign_regions, keypoint_of_objects
from kpdiscovery.metrics.regression import LinearMap, fit_linear, fit_ridge
from kpdiscovery.metrics.scenes import match_boxes, mnist_hard
from kpdiscovery.metrics.segmentation import adjusted_rand_index, foreground_ari

__all__ = [
    'LANDMARK_SETS',
    'PROTOCOLS',
    'Accuracy',
    'AveragePrecision',
    'LandmarkSet',
    'Landmarks',
    'LinearMap',
    'Nme',
    'Subset',
    'Unmeasurable',
    'adjusted_rand_index',
    'annotated_extent',
    'assign_regions',
    'average_precision',
    'backward_nme',
    'box_length',
    'by_label',
    'check_landmarks',
    'complete_matrix',
    'contingency',
    'cumulative_error',
    'evaluate',
    'fill_missing',
    'fit_linear',
    'fit_ridge',
    'five_points',
    'foreground_ari',
    'forward_nme',
    'fraction_within',
    'inter_ocular',
    'joint_distance',
    'keypoint_of_objects',
    'landmark_accuracy',
    'landmark_errors',
    'landmark_nme',
    'landmark_oks',
    'landmark_pck',
    'landmark_points',
    'landmark_regression',
    'landmark_set',
    'match_boxes',
    'match_greedily',
    'match_landmarks',
    'mnist_hard',
    'near_share',
    'normalized_errors',
    'normalized_mutual_information',
    'object_keypoint_similarity',
    'oks_average_precision',
    'pck',
    'point_accuracy',
    'points_per_image',
    'precision_recall',
    'prototype_accuracy',
    'prototype_attributes',
    'random_parts',
    'regress_landmarks',
    'repeatability',
    'repeated_nme',
    'shape_detection',
    'slot_features',
]

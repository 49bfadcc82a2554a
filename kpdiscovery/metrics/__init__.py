"""Evaluation protocols as pure functions, and PROTOCOLS, the table of them by name."""

from kpdiscovery.metrics.detectors import (
    average_precision,
    average_precisions,
    match_greedily,
    near_share,
    repeatability,
    shape_detection,
)
from kpdiscovery.metrics.landmarks.accuracy import (
    Accuracy,
    match_landmarks,
    pck,
    point_accuracy,
    precision_recall,
)
from kpdiscovery.metrics.landmarks.annotated import as_seen, five_points
from kpdiscovery.metrics.landmarks.completion import complete_matrix
from kpdiscovery.metrics.landmarks.curves import cumulative_error, fraction_within
from kpdiscovery.metrics.landmarks.errors import Nme, normalized_errors
from kpdiscovery.metrics.landmarks.greedy_pck import (
    greedy_pck,
    random_greedy_pck,
    random_on_objects,
)
from kpdiscovery.metrics.landmarks.hits import (
    landmark_accuracy,
    landmark_oks,
    landmark_pck,
    landmark_points,
)
from kpdiscovery.metrics.landmarks.label_free import label_free_score, score_parts
from kpdiscovery.metrics.landmarks.labelled import by_label
from kpdiscovery.metrics.landmarks.landmark_nme import landmark_errors, landmark_nme
from kpdiscovery.metrics.landmarks.matching import landmark_matching
from kpdiscovery.metrics.landmarks.named_sets import (
    LANDMARK_SETS,
    LandmarkSet,
    PointGroup,
    check_landmarks,
    landmark_set,
)
from kpdiscovery.metrics.landmarks.nme import (
    backward_nme,
    forward_nme,
    random_parts,
    regress_landmarks,
    repeated_nme,
)
from kpdiscovery.metrics.landmarks.normalizers import (
    annotated_extent,
    box_length,
    inter_ocular,
    joint_distance,
)
from kpdiscovery.metrics.landmarks.object_frame import object_frame
from kpdiscovery.metrics.landmarks.oks import (
    AveragePrecision,
    object_keypoint_similarity,
    oks_average_precision,
)
from kpdiscovery.metrics.landmarks.points import (
    Landmarks,
    fill_missing,
    points_per_image,
)
from kpdiscovery.metrics.landmarks.regression import LinearMap, fit_linear, fit_ridge
from kpdiscovery.metrics.landmarks.slot_features import slot_features
from kpdiscovery.metrics.landmarks.slots import landmark_regression
from kpdiscovery.metrics.landmarks.steadiness import (
    landmark_repeatability,
    landmark_spread,
)
from kpdiscovery.metrics.landmarks.unlabelled import (
    coverage,
    distinct_points,
    match_points,
    seed_agreement,
    warped_matches,
)
from kpdiscovery.metrics.landmarks.unordered import label_use, point_repeatability
from kpdiscovery.metrics.maps.boxes import inclusive_overlap, resize_boxes
from kpdiscovery.metrics.maps.entropy import feature_map_entropy
from kpdiscovery.metrics.maps.localization import (
    Localization,
    ground_truth_known_localization,
    max_box_accuracies,
    max_box_accuracy,
    top1_localization,
)
from kpdiscovery.metrics.maps.pixel_precision import pixel_average_precision
from kpdiscovery.metrics.objects.clusters import normalized_mutual_information
from kpdiscovery.metrics.objects.descriptors import descriptor_probes
from kpdiscovery.metrics.objects.prototypes import (
    contingency,
    prototype_accuracy,
    prototype_attributes,
)
from kpdiscovery.metrics.objects.regions import assign_regions, keypoint_of_objects
from kpdiscovery.metrics.objects.scenes import match_boxes, mnist_hard
from kpdiscovery.metrics.objects.segmentation import adjusted_rand_index, foreground_ari
from kpdiscovery.metrics.parts.candidates import (
    Candidates,
    group_candidates,
    group_part_boxes,
    mean_part_sides,
)
from kpdiscovery.metrics.parts.channel_precision import (
    channel_average_precision,
    channel_box_precision,
    choose_channels,
    chosen_precision,
)
from kpdiscovery.metrics.parts.detection import (
    part_box_detection,
    part_detection,
    part_landmarks,
)
from kpdiscovery.metrics.protocols import PROTOCOLS, evaluate, lacking
from kpdiscovery.types import Unmeasurable

__all__ = [
    'LANDMARK_SETS',
    'PROTOCOLS',
    'Accuracy',
    'AveragePrecision',
    'Candidates',
    'LandmarkSet',
    'Landmarks',
    'LinearMap',
    'Localization',
    'Nme',
    'PointGroup',
    'Unmeasurable',
    'adjusted_rand_index',
    'annotated_extent',
    'as_seen',
    'assign_regions',
    'average_precision',
    'average_precisions',
    'backward_nme',
    'box_length',
    'by_label',
    'channel_average_precision',
    'channel_box_precision',
    'check_landmarks',
    'choose_channels',
    'chosen_precision',
    'complete_matrix',
    'contingency',
    'coverage',
    'cumulative_error',
    'descriptor_probes',
    'distinct_points',
    'evaluate',
    'feature_map_entropy',
    'fill_missing',
    'fit_linear',
    'fit_ridge',
    'five_points',
    'foreground_ari',
    'forward_nme',
    'fraction_within',
    'greedy_pck',
    'ground_truth_known_localization',
    'group_candidates',
    'group_part_boxes',
    'inclusive_overlap',
    'inter_ocular',
    'joint_distance',
    'keypoint_of_objects',
    'label_free_score',
    'label_use',
    'lacking',
    'landmark_accuracy',
    'landmark_errors',
    'landmark_matching',
    'landmark_nme',
    'landmark_oks',
    'landmark_pck',
    'landmark_points',
    'landmark_regression',
    'landmark_repeatability',
    'landmark_set',
    'landmark_spread',
    'match_boxes',
    'match_greedily',
    'match_landmarks',
    'match_points',
    'max_box_accuracies',
    'max_box_accuracy',
    'mean_part_sides',
    'mnist_hard',
    'near_share',
    'normalized_errors',
    'normalized_mutual_information',
    'object_frame',
    'object_keypoint_similarity',
    'oks_average_precision',
    'part_box_detection',
    'part_detection',
    'part_landmarks',
    'pck',
    'pixel_average_precision',
    'point_accuracy',
    'point_repeatability',
    'points_per_image',
    'precision_recall',
    'prototype_accuracy',
    'prototype_attributes',
    'random_greedy_pck',
    'random_on_objects',
    'random_parts',
    'regress_landmarks',
    'repeatability',
    'repeated_nme',
    'resize_boxes',
    'score_parts',
    'seed_agreement',
    'shape_detection',
    'slot_features',
    'top1_localization',
    'warped_matches',
]

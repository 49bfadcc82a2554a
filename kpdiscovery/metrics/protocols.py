"""The table of evaluation protocols, and running those that a split allows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import numpy as np

from kpdiscovery.metrics.detectors import shape_detection
from kpdiscovery.metrics.landmarks.hits import (
    landmark_accuracy,
    landmark_oks,
    landmark_pck,
    landmark_points,
)
from kpdiscovery.metrics.landmarks.landmark_nme import landmark_nme
from kpdiscovery.metrics.landmarks.matching import landmark_matching
from kpdiscovery.metrics.landmarks.named_sets import LANDMARK_SETS
from kpdiscovery.metrics.landmarks.near_truth import keypoints_near_truth
from kpdiscovery.metrics.landmarks.object_frame import object_frame
from kpdiscovery.metrics.landmarks.slots import landmark_regression
from kpdiscovery.metrics.landmarks.steadiness import (
    landmark_repeatability,
    landmark_spread,
)
from kpdiscovery.metrics.landmarks.unordered import label_use, point_repeatability
from kpdiscovery.metrics.maps.weak_labels import (
    classification,
    localization,
    sparsity,
)
from kpdiscovery.metrics.objects.descriptors import descriptor_probes
from kpdiscovery.metrics.objects.prototypes import prototype_attributes
from kpdiscovery.metrics.objects.scenes import mnist_hard
from kpdiscovery.metrics.objects.segmentation import foreground_ari
from kpdiscovery.metrics.parts.detection import (
    part_box_detection,
    part_detection,
    part_landmarks,
)
from kpdiscovery.types import MetricProtocol, Split, Unmeasurable

_POINTS = ('keypoints', 'visible')
_OR = ' or '  # Between fields one of which is enough.
_SETS = ', '.join(LANDMARK_SETS)

PROTOCOLS: dict[str, MetricProtocol] = {
    'classification': MetricProtocol(
        classification, ('label',), prediction=('class_logits',)
    ),
    'feature_entropy': MetricProtocol(sparsity, (), prediction=('feature_entropy',)),
    'foreground_ari': MetricProtocol(
        foreground_ari, ('instances',), prediction=('instances',)
    ),
    'greedy_pck': MetricProtocol(keypoints_near_truth, _POINTS),
    'descriptor_probes': MetricProtocol(
        descriptor_probes,
        ('boxes', 'boxes_valid', 'attributes'),
        prediction=('descriptors',),
    ),
    'landmark_accuracy': MetricProtocol(landmark_accuracy, _POINTS, fits=True),
    'label_use': MetricProtocol(label_use, ()),
    'landmark_matching': MetricProtocol(landmark_matching, _POINTS, described=True),
    'landmark_nme': MetricProtocol(landmark_nme, _POINTS, fits=True),
    'landmark_oks': MetricProtocol(landmark_oks, _POINTS, fits=True, landmarks=True),
    'landmark_pck': MetricProtocol(landmark_pck, _POINTS, fits=True, landmarks=True),
    'landmark_points': MetricProtocol(landmark_points, ()),
    'landmark_regression': MetricProtocol(landmark_regression, _POINTS, fits=True),
    'landmark_repeatability': MetricProtocol(landmark_repeatability, (), warped=True),
    'landmark_spread': MetricProtocol(landmark_spread, ()),
    'localization': MetricProtocol(
        localization, ('boxes or mask',), prediction=('mask',)
    ),
    'mnist_hard': MetricProtocol(
        mnist_hard, ('boxes', 'boxes_valid', 'attributes'), attributes=('digit',)
    ),
    'object_frame': MetricProtocol(object_frame, _POINTS),
    'point_repeatability': MetricProtocol(point_repeatability, (), warped=True),
    'part_box_detection': MetricProtocol(
        part_box_detection, ('part_boxes', 'part_label'), fits=True
    ),
    'part_detection': MetricProtocol(part_detection, _POINTS, fits=True),
    'part_landmarks': MetricProtocol(part_landmarks, _POINTS, fits=True),
    'prototype_attributes': MetricProtocol(
        prototype_attributes, ('instances', 'attributes'), prediction=('alphas',)
    ),
    'shape_detection': MetricProtocol(shape_detection, ('keypoints', 'visible')),
}


def evaluate(
    names: Iterable[str], fit: Split | None, test: Split
) -> tuple[dict[str, float], dict[str, str]]:
    """Runs the protocols called `names`, as far as truth and prediction go.

    Args:
        names: keys of PROTOCOLS.
        fit: the split regressors are fitted on, None where there is none; the other
            protocols ignore it.
        test: the split that is measured.

    Returns:
        All figures by name, and the skipped protocols with the reason of each.

    Raises:
        ValueError: an unknown name, or fields that are there but do not fit together.
    """
    metrics: dict[str, float] = {}
    skipped: dict[str, str] = {}
    for name in names:
        protocol = _find(name)
        splits = (test, fit) if protocol.fits else (test,)
        if reasons := [r for s in splits if (r := _reason(protocol, s))]:
            skipped[name] = reasons[0]
            continue
        try:
            metrics |= protocol.function(test if fit is None else fit, test)
        except Unmeasurable as reason:
            skipped[name] = str(reason)
    return metrics, skipped


def _find(name: str) -> MetricProtocol:
    if name not in PROTOCOLS:
        near = difflib.get_close_matches(name, PROTOCOLS, n=1, cutoff=0)
        raise ValueError(f'no protocol {name!r}; did you mean {near[0]!r}?')
    return PROTOCOLS[name]


def _reason(protocol: MetricProtocol, split: Split | None) -> str:
    """Why the protocol cannot be run on a split; '' if it can."""
    if split is None:
        return 'needs pictures to fit on (config.evaluation.fit)'
    points = split.truth.get('keypoints') if 'keypoints' in protocol.truth else None
    if protocol.fits and points is not None and np.ndim(points) > 3:
        return 'needs points in a fixed order, the source has points of several objects'
    truth = _present(split.truth)
    attributes = _present(split.truth.get('attributes') or {})
    predicted = _present(vars(split.prediction))
    tables = (
        ('truth', protocol.truth, 'the source has', truth),
        ('attribute', protocol.attributes, 'the source has', attributes),
        ('prediction', protocol.prediction, 'the method gives', predicted),
    )
    for kind, needs, owner, there in tables:
        if absent := lacking(needs, there):
            wanted = ', '.join(map(repr, absent))
            return f'needs {kind} {wanted}, {owner} {", ".join(there) or "none"}'
    if protocol.landmarks and not split.landmarks:
        return f'needs the lengths of a named set: data.landmarks, one of {_SETS}'
    return ''


def lacking(needs: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """What of a protocol's `truth`, say, is not among the fields called `names`."""
    there = set(names)
    return tuple(need for need in needs if not there & set(need.split(_OR)))


def _present(fields: Mapping) -> list[str]:
    """Names of annotations: not the row number, None or an empty dict."""
    return [
        name
        for name, value in sorted(fields.items())
        if name != 'index' and value is not None and not _empty(value)
    ]


def _empty(value: object) -> bool:
    return isinstance(value, Mapping) and not value

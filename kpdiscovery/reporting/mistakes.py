"""One error a picture, so that the worst can be looked at first."""

from __future__ import annotations

import numpy as np

from kpdiscovery import metrics
from kpdiscovery.metrics.boxes import intersection_over_union
from kpdiscovery.metrics.landmarks.errors import mean_measured
from kpdiscovery.reporting import errors
from kpdiscovery.reporting.seen import Seen, annotated
from kpdiscovery.types import Split

# `[N]`, NaN where not measured, infinite where nothing was found, and their name.
Errors = tuple[np.ndarray | None, str]


def of_pictures(seen: Seen, fit: Split | None) -> Errors:
    """The first of these that the annotations allow; None and '' where none is.

    Landmarks: the forward error; objects: what foreground ARI lacks of 1; boxes: what
    their overlap lacks of 1; points: how far each annotated one is from a keypoint.
    """
    for measure in (_landmarks, _objects, _boxes, _points):
        found, name = measure(seen, fit)
        if found is not None and not np.isnan(found).all():
            return found, name
    return None, ''


def _landmarks(seen: Seen, fit: Split | None) -> Errors:
    if not seen.trained.method.ordered:
        return None, ''
    tables, _ = errors.measure(seen, fit)
    if not tables:
        return None, ''
    name, table = next(iter(tables.items()))
    return mean_measured(table.T), f'{name}, %'


def _objects(seen: Seen, fit: Split | None) -> Errors:
    del fit
    truth, found = seen.found.truth.get('instances'), seen.found.prediction.instances
    if truth is None or found is None:
        return None, ''
    truth = np.where(truth < 0, -1, truth)
    lacking = 100 * (1 - metrics.adjusted_rand_index(truth, found))
    there = (truth >= 0).any(axis=(1, 2))
    return np.where(there, lacking, np.nan), '1 - foreground ARI, %'


def _boxes(seen: Seen, fit: Split | None) -> Errors:
    del fit
    truth, found = seen.found.truth, seen.found.prediction
    if found.mask is None or found.boxes is None or 'boxes' not in truth:
        return None, ''
    overlap = intersection_over_union(found.boxes[:, :1], truth['boxes'])
    best = np.where(truth['boxes_valid'], overlap, 0).max(axis=1)
    there = truth['boxes_valid'].any(axis=1)
    return np.where(there, 100 * (1 - best), np.nan), '1 - overlap of the box, %'


def _points(seen: Seen, fit: Split | None) -> Errors:
    """The mean distance to the nearest keypoint, % of the longer side; infinite without one."""
    del fit
    if not annotated(seen):
        return None, ''
    xy, visible = (seen.found.truth[name] for name in ('keypoints', 'visible'))
    count = len(xy)
    xy, visible = xy.reshape(count, -1, 2), visible.reshape(count, -1)
    far = [_nearest(xy[i], seen.keypoints.xy[i][seen.keypoints.valid[i]])
           for i in range(count)]  # fmt: skip
    shares = 100 * np.where(visible, far, np.nan) / max(seen.images.shape[1:3])
    return mean_measured(shares.T), 'distance from annotated to keypoint, % of the side'


def _nearest(xy, keypoints):
    if not len(keypoints):
        return np.full(len(xy), np.inf)
    return np.linalg.norm(xy[:, None] - keypoints, axis=-1).min(axis=1)

"""Keypoints without an order: whether places and labels come back, and labels are used."""

from __future__ import annotations

import numpy as np

from kpdiscovery.metrics.landmarks.labelled import side
from kpdiscovery.types import Array, Split, Unmeasurable

_NEAR = 3  # % of the side: 2 pixels of 64.
_LIVE = 0.1  # Of the points a label would have if all had as many.


def point_repeatability(fit: Split, test: Split) -> dict[str, float]:
    """Whether keypoints of `test` are found again in warped copies; `fit` is not used.

    A keypoint comes back if one of the copy lies within 3 % of the side of where the warp
    takes it; only places inside the copy count.

    Returns:
        `repeatability@3`, the share that comes back, and `label_agreement`, that of these
        whose nearest one has the same label, in %.

    Raises:
        Unmeasurable: there are no predictions of warped copies, or no keypoint whose place
            is inside its copy.

    Source: repeatability of detectors, [schmid2000]; labels ours.
    """
    if test.warped is None:
        raise Unmeasurable(
            'the method reads more of these pictures than a warped copy has: config.data.features'
        )
    _, moved, found = test.warped
    place, again = (np.asarray(p.xy, np.float64) for p in (moved, found))
    size = np.array(test.size[::-1])
    inside = ((place >= -0.5) & (place <= size - 0.5)).all(axis=-1)
    counts = np.asarray(moved.valid, bool) & inside
    if not counts.any():
        raise Unmeasurable('no keypoint stays inside a warped copy')
    apart = np.linalg.norm(place[:, :, None] - again[:, None], axis=-1)
    apart = np.where(np.asarray(found.valid, bool)[:, None], apart, np.inf)
    back = counts & (apart.min(axis=-1) <= _NEAR / 100 * side(test))
    named = np.take_along_axis(np.asarray(found.label), apart.argmin(axis=-1), axis=1)
    same = named == np.asarray(moved.label)
    agreement = 100 * same[back].mean() if back.any() else 0.0
    return {
        f'repeatability@{_NEAR}': float(100 * back.sum() / counts.sum()),
        'label_agreement': float(agreement),
    }


def label_use(fit: Split, test: Split) -> dict[str, float]:
    """How many labels the keypoints of `test` share among them; `fit` is not used.

    Returns:
        `live_labels`: labels with at least a tenth of the keypoints that each would have
        if all had as many; `effective_labels`: exp of the entropy of their shares.

    Raises:
        Unmeasurable: no keypoint has a label.
    """
    share = _shares(test)
    used = share[share > 0]
    return {
        'live_labels': float((share >= _LIVE / len(share)).sum()),
        'effective_labels': float(np.exp(-(used * np.log(used)).sum())),
    }


def _shares(split: Split) -> Array:
    """Share of the keypoints that each label has, `[M]`."""
    keypoints = split.prediction.keypoints
    label = np.asarray(keypoints.label)
    label = label[np.asarray(keypoints.valid, bool) & (label >= 0)]
    if not len(label):
        raise Unmeasurable('no keypoint has a label')
    return np.bincount(label, minlength=split.num_labels) / len(label)

"""Greedy PCK as a protocol: keypoints in the order a method gives them, beside chance."""

from __future__ import annotations

import numpy as np

from kpdiscovery.metrics.landmarks.greedy_pck import (
    greedy_pck,
    random_greedy_pck,
    random_on_objects,
)
from kpdiscovery.types import Split, Unmeasurable

_SPACING = 3 / 14  # Of a side: three cells of the paper's 14, within which it erases.


def keypoints_near_truth(fit: Split, test: Split) -> dict[str, float]:
    """Greedy PCK of each keypoint and their mean, in %, and how many there are at all.

    Distances and shorter sides are those of the original pictures, where the source says
    how they were fitted (`frame`).

    Returns:
        For keypoints 1, 2 ... in the method's order `greedy_pck@0.1_kp1` ..., those not
        given counted as misses; `given_kp1` ..., the share of pictures that have one;
        `greedy_pck_given@0.1_kp1` ..., of these alone. Means over keypoints:
        `greedy_pck@0.1`, `greedy_pck@0.05`, `given`, `greedy_pck_given@0.1` (of all that
        are given) and `greedy_pck_unique@0.1`, each annotated point met by one keypoint at
        most. Levels of chance, of as many points: `greedy_pck_random@0.1`, drawn
        evenly in the first true box of the pictures that have one, and
        `greedy_pck_on_object@0.1`, on the true mask, 3/14 of the side apart.

    Raises:
        Unmeasurable: points of several objects, or none visible.

    Source: [guo2025], section 4.2.
    """
    del fit
    truth, found = test.truth, test.prediction.keypoints
    if np.ndim(truth['keypoints']) > 3:
        raise Unmeasurable('needs the points of one object a picture')
    seen = np.asarray(truth['visible'], bool)
    if not seen.any():
        raise Unmeasurable('no annotated point is visible')
    size, original = _frames(test)
    points, valid = original(truth['keypoints']), np.asarray(found.valid, bool)
    measure = lambda alpha, reading='any': greedy_pck(
        original(found.xy), points, size, valid, seen, alpha=alpha, reading=reading
    )
    figures = _given(measure(0.1), valid[seen.any(axis=1)])
    figures |= {
        'greedy_pck@0.05': measure(0.05).mean,
        'greedy_pck_unique@0.1': measure(0.1, 'one-to-one').mean,
    }
    return figures | _chance(test, original, points, seen, size, valid.shape[1])


def _given(each, valid) -> dict[str, float]:
    """By keypoint, over the pictures that count."""
    share = 100 * valid.mean(axis=0)
    figures = {'greedy_pck@0.1': each.mean, 'given': float(share.mean())}
    if valid.any():
        of_given = 100 * each.per_landmark.sum() / share.sum()
        figures['greedy_pck_given@0.1'] = float(of_given)
    for i, (met, given) in enumerate(zip(each.per_landmark, share, strict=True), 1):
        figures[f'greedy_pck@0.1_kp{i}'] = float(met)
        figures[f'given_kp{i}'] = float(given)
        if given:
            figures[f'greedy_pck_given@0.1_kp{i}'] = float(100 * met / given)
    return figures


def _chance(test, original, points, seen, size, count) -> dict[str, float]:
    truth, figures = test.truth, {}
    sizes = np.broadcast_to(size, (len(seen), 2))
    boxed = (
        truth['boxes_valid'][:, 0] if 'boxes' in truth else np.zeros(len(seen), bool)
    )
    if (boxed & seen.any(axis=1)).any():
        boxes = original(truth['boxes'])[:, 0]
        figures['greedy_pck_random@0.1'] = random_greedy_pck(
            points[boxed], boxes[boxed], sizes[boxed], seen[boxed], num_points=count
        ).mean
    if truth.get('mask') is not None and truth['mask'].any():
        spacing = _SPACING * min(test.size)
        drawn, valid = random_on_objects(
            truth['mask'], num_points=count, spacing=spacing
        )
        figures['greedy_pck_on_object@0.1'] = greedy_pck(
            original(drawn), points, size, valid, seen
        ).mean
    return figures


def _frames(test: Split):
    """(H, W) of the original pictures, `[N, 2]` or one, and the way there from ours.

    A frame is (scale, offset, original width and height): `data.resize.Frame`.
    """
    if test.truth.get('frame') is None:
        return np.array(test.size), lambda xy: np.asarray(xy, np.float64)
    scale, offset, original = np.split(
        np.asarray(test.truth['frame'], np.float64), 3, 1
    )

    def back(xy):  # Points, or the two of a box.
        pairs = np.reshape(np.asarray(xy, np.float64), (len(xy), -1, 2))
        return np.reshape((pairs - offset[:, None]) / scale[:, None], np.shape(xy))

    return original[:, ::-1], back

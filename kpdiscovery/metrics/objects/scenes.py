"""Scenes of several objects of known classes: MNIST-Hard.

Boxes are (x0, y0, x1, y1) in pixels; a tight box around pixels i..j is (i-.5, j+.5).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from kpdiscovery.metrics.boxes import boxes_around, intersection_over_union
from kpdiscovery.metrics.objects.prototypes import contingency
from kpdiscovery.types import Array, Split, Unmeasurable


def match_boxes(
    boxes: Array,
    boxes_valid: Array,
    xy: Array,
    valid: Array,
    *,
    box: float = 20.0,
    threshold: float = 0.5,
) -> Array:
    """The keypoint that finds each true box; a keypoint finds one box at most.

    Every keypoint is a square of side `box`. The true boxes choose in their order, each
    the remaining keypoint of highest intersection over union (the first of equals),
    and keep it if that exceeds `threshold`.

    Args:
        boxes: `[N, T, 4]` pixels, T true boxes a picture.
        boxes_valid: `[N, T]` bool.
        xy: `[N, K, 2]` pixels of the same pictures.
        valid: `[N, K]` bool, the keypoints that count.
        box: side of the predicted squares, pixels; > 0.

    Returns:
        `[N, T]` int64, index of the keypoint, -1 where the box was missed.

    Raises:
        ValueError: shapes do not fit, or `box` is not positive.

    Source: [jin2022], section 4.1, order and tie rule of the released evaluation.
    """
    boxes, boxes_valid = np.asarray(boxes), np.asarray(boxes_valid, bool)
    xy, valid = np.asarray(xy, np.float64), np.asarray(valid, bool)
    _check(boxes, boxes_valid, xy, valid, box)
    squares = boxes_around(xy, box)
    overlap = intersection_over_union(boxes[:, :, None], squares[:, None])  # [N, T, K]
    overlap[~(boxes_valid[:, :, None] & valid[:, None])] = -1
    found = np.full(boxes_valid.shape, -1)
    picture = np.arange(len(boxes))
    for t in range(boxes.shape[1]):
        best = overlap[:, t].argmax(axis=1)
        hit = overlap[picture, t, best] > threshold
        found[hit, t] = best[hit]
        overlap[picture[hit], :, best[hit]] = -1  # Taken.
    return found


def mnist_hard(fit: Split, test: Split) -> dict[str, float]:
    """Localisation and classification of digits by labelled keypoints.

    Truth: `boxes` `[N, T, 4]`, `boxes_valid` `[N, T]`, `attributes['digit']` `[N, T]`.
    Squares have side 20 px at a canvas of 80, scaled with the height. `fit` is unused.

    Returns:
        Shares in [0, 1]. `localization`: digits found. `both`: digits found by a
        keypoint whose prototype stands for their class; `classification` is both /
        localization. Prototypes stand for classes by one-to-one assignment (the
        paper); in `*_majority` each for its most frequent class (the released code); in
        `*_reversed` each class takes its most frequent prototype (for fewer prototypes
        than classes, paper table 5).

    Raises:
        ValueError: shapes do not fit.
        Unmeasurable: the truth holds no digit.

    Source: [jin2022], section 4.1, tables 1 and 4 to 6.
    """
    boxes_valid = np.asarray(test.truth['boxes_valid'], bool)
    if not boxes_valid.any():
        raise Unmeasurable('no picture has a true box')
    keypoints, side = test.prediction.keypoints, 20 * test.size[0] / 80
    found = match_boxes(
        test.truth['boxes'], boxes_valid, keypoints.xy, keypoints.valid, box=side
    )
    label = np.take_along_axis(np.asarray(keypoints.label), found, 1)
    pairs = contingency(
        np.where(found >= 0, label, -1), test.truth['attributes']['digit']
    )
    correct = {
        '': pairs[linear_sum_assignment(pairs, maximize=True)].sum(),
        '_majority': pairs.max(axis=1, initial=0).sum(),
        '_reversed': pairs.max(axis=0, initial=0).sum(),
    }
    return _shares(correct, int((found >= 0).sum()), int(boxes_valid.sum()))


def _shares(correct: dict[str, int], found: int, total: int) -> dict[str, float]:
    result = {'localization': found / total}
    for suffix, count in correct.items():
        result[f'classification{suffix}'] = float(count / max(found, 1))
        result[f'both{suffix}'] = float(count / total)
    return result


def _check(boxes: Array, boxes_valid: Array, xy: Array, valid: Array, box: float):
    if boxes.shape != (*boxes_valid.shape, 4) or xy.shape != (*valid.shape, 2):
        raise ValueError(
            'wanted boxes [N, T, 4] and [N, T], keypoints [N, K, 2] and [N, K], got '
            f'{boxes.shape}, {boxes_valid.shape}, {xy.shape}, {valid.shape}'
        )
    if len(boxes) != len(xy):
        raise ValueError(f'boxes of {len(boxes)} pictures, keypoints of {len(xy)}')
    if box <= 0:
        raise ValueError(f'box must be a side in pixels > 0, got {box}')

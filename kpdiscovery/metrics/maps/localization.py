"""Boxes of score maps against true boxes: GT-known, MaxBoxAcc (V1, V2) and top-1.

One number for many readings: the paper cuts its maps
at a fixed share of their maximum, the WSOL protocol takes the best share for the whole
set. In both a predicted box is one pixel too large to the right and below, overlaps are
inclusive, and true boxes are cut off to whole pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kpdiscovery.metrics.maps import contours, score_maps
from kpdiscovery.metrics.maps.boxes import inclusive_overlap, to_protocol
from kpdiscovery.types import Array

_OVERLAPS = {1: (0.5,), 2: (0.3, 0.5, 0.7)}  # By version.


class Localization(NamedTuple):
    """Pictures whose object was found."""

    mean: float  # %, the mean of `per_overlap`.
    per_overlap: Array  # [D] float64, %, at each overlap asked for.
    thresholds: (
        Array  # [D] float64, share of the maximum that gave it; first of equals.
    )
    correct: Array  # [N] bool, at an overlap of .5 (or the only one).
    counted: Array  # [N] bool, pictures that have a true box.


def ground_truth_known_localization(
    maps: Array,
    boxes: Array,
    valid: Array | None = None,
    *,
    fraction: float = 0.1,
    overlap: float = 0.5,
    size: int = 224,
    image_size: Array | None = None,
) -> Localization:
    """Pictures whose largest component overlaps the object, at a fixed threshold.

    Maps are taken as they are (no stretching to [0, 1], no levels); pixels of at least
    `fraction` of the maximum count.

    Args:
        maps: `[N, h, w]` scores >= 0; the first pixel is found where one has a NaN or
            nothing above 0.
        boxes: `[N, M, 4]` true boxes, pixels of the pictures.
        valid: `[N, M]` bool; None for all. Pictures without a box do not count.
        fraction: of the map's maximum, in (0, 1].
        overlap: intersection over union that counts as correct.
        size: side in pixels that maps and boxes are brought to.
        image_size: (H, W) of the pictures, or `[N, 2]`; None for that of the maps.

    Raises:
        ValueError: shapes do not fit, there is no true box, or bad `fraction`.

    Source: [shaharabany2021], equation 5.
    """
    maps, truth, there = _inputs(maps, boxes, valid, size, image_size)
    if not 0 < fraction <= 1:
        raise ValueError(f'fraction must be in (0, 1], got {fraction}')
    found = np.zeros((len(maps), 1))
    for row, score in enumerate(maps):
        score = score_maps.resize_cubic(score, size)
        peak = score.max()  # NaN is not above 0 either.
        mask = (score >= fraction * peak) & (peak > 0)
        box = contours.contours(mask).largest[None]
        found[row] = _overlap(box, truth[row][there[row]], size)
    return _summary(found, there, np.array([fraction]), (overlap,))


def max_box_accuracy(
    maps: Array,
    boxes: Array,
    valid: Array | None = None,
    *,
    version: int = 1,
    step: float = 0.001,
    size: int = 224,
    image_size: Array | None = None,
) -> Localization:
    """MaxBoxAcc: pictures whose object is found at the best threshold for the whole set.

    Arguments as in `ground_truth_known_localization`. Each map is stretched to [0, 1]
    (a constant one and one with NaN find nothing) and cut into 256 levels, so no more
    than 256 masks of a picture are looked at.

    Args:
        version: 1: box of the contour with the largest area, overlap .5; 2: any contour
            of components or holes, mean over overlaps .3, .5 and .7.
        step: of the thresholds 0, step ... below 1; .001, or .01 in the stand-alone
            evaluator.

    Raises:
        ValueError: shapes do not fit, there is no true box, or bad `version` or `step`.

    Source: [choe2020] and [choe2022], MaxBoxAcc and MaxBoxAccV2.
    """
    if version not in _OVERLAPS:
        raise ValueError(f'version must be 1 or 2, got {version}')
    both = max_box_accuracies(
        maps, boxes, valid, step=step, size=size, image_size=image_size
    )
    return both[version]


def max_box_accuracies(
    maps: Array,
    boxes: Array,
    valid: Array | None = None,
    *,
    step: float = 0.001,
    size: int = 224,
    image_size: Array | None = None,
) -> dict[int, Localization]:
    """`max_box_accuracy` of both versions `{1: ..., 2: ...}`, of contours found once.

    About 15 ms a picture with OpenCV and steps of .01, 200 without it.
    """
    maps, truth, there = _inputs(maps, boxes, valid, size, image_size)
    shares = score_maps.thresholds(step)
    found = {version: np.zeros((len(maps), len(shares))) for version in _OVERLAPS}
    for row in np.flatnonzero(there.any(axis=1)):
        score = score_maps.resize_stretched(maps[row], size)
        grey, mine = score_maps.levels(score), truth[row][there[row]]
        found[1][row], found[2][row] = _sweep(grey, shares, mine)
    return {version: _summary(found[version], there, shares, overlaps)
            for version, overlaps in _OVERLAPS.items()}  # fmt: skip


def top1_localization(
    located: Localization, class_logits: Array, label: Array
) -> float:
    """Pictures whose box and most likely class are both right, in %.

    Args:
        located: of either function above.
        class_logits: `[N, classes]`; of equals the first class counts.
        label: `[N]` integers, the true class.

    Raises:
        ValueError: shapes do not fit, or a label of a picture that counts is no class.
    """
    logits, label = np.asarray(class_logits), np.asarray(label)
    counted, n = located.counted, len(located.counted)
    if logits.ndim != 2 or len(logits) != n or label.shape != (n,):
        raise ValueError(
            f'wanted logits [{n}, classes] and labels [{n}], got {logits.shape} and '
            f'{label.shape}'
        )
    if ((label < 0) | (label >= logits.shape[1]))[counted].any():
        raise ValueError(
            f'wanted labels in 0..{logits.shape[1] - 1}, got {label[counted].min()}..'
            f'{label[counted].max()}'
        )
    both = located.correct & (logits.argmax(axis=1) == label)
    return float(100 * both[counted].mean())


def _inputs(maps, boxes, valid, size, image_size):
    maps = score_maps.check_maps(maps)
    image_size = maps.shape[1:] if image_size is None else image_size
    truth, there = to_protocol(boxes, valid, image_size, to=size)
    if len(truth) != len(maps):
        raise ValueError(f'maps of {len(maps)} pictures, boxes of {len(truth)}')
    return maps, truth, there


def _sweep(grey: Array, shares: Array, truth: Array) -> tuple[Array, Array]:
    """Best overlaps of a map `[S, S]` uint8 at each share of its maximum, `[T]`: of the
    box of the largest contour, and of those of all."""
    values = np.unique(grey)
    cuts = (shares * values[-1]).astype(int)
    first = np.searchsorted(values, cuts, side='right')  # The lowest value kept.
    best = np.zeros((2, len(values) + 1))
    for i in np.unique(first):
        mask = grey >= values[i] if i < len(values) else np.zeros_like(grey, bool)
        found = contours.contours(mask)
        for version, boxes in enumerate((found.largest[None], found.every)):
            best[version, i] = _overlap(boxes, truth, len(grey))
    return best[0, first], best[1, first]


def _overlap(boxes: Array, truth: Array, size: int) -> float:
    """Best overlap of boxes `[n, 4]`, ends beyond, with true ones; 0 without any."""
    if not len(truth):
        return 0.0
    # The protocol's box where there is no contour is the first pixel.
    boxes = boxes if len(boxes) else np.zeros((1, 4), np.int64)
    return inclusive_overlap(np.minimum(boxes, size - 1), truth).max()


def _summary(found: Array, there: Array, shares: Array, overlaps) -> Localization:
    """From the best overlap of every picture at every threshold, `[N, T]`."""
    counted = there.any(axis=1)
    hits = found[counted, :, None] >= np.array(overlaps)  # [n, T, D]
    rates = 100 * hits.mean(axis=0)
    best = rates.argmax(axis=0)
    middle = overlaps.index(0.5) if 0.5 in overlaps else 0
    correct = counted & (found[:, best[middle]] >= overlaps[middle])
    share = rates.max(axis=0)
    return Localization(float(share.mean()), share, shares[best], correct, counted)

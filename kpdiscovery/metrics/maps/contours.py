"""Boxes of the contours of a mask: as OpenCV finds them, and by it where it is installed.

Boxes are (x, y, x + w, y + h) in pixels, the last two one beyond. `ops.masks` has the
same on the device, and says why areas need no contour.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from kpdiscovery.types import Array

_AROUND = np.ones((3, 3), bool)  # Eight neighbours; scipy's own choice are four.


class Contours(NamedTuple):
    """Boxes of a mask's contours."""

    largest: Array  # [4] int64, `largest_contour_box`.
    every: Array  # [n, 4] int64, `contour_boxes`, in any order.


def contours(mask: Array) -> Contours:
    """Both kinds of boxes of a mask `[H, W]`."""
    cv2 = _opencv()
    if cv2 is None:
        return Contours(largest_contour_box(mask), contour_boxes(mask))
    found, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE
    )
    boxes = [cv2.boundingRect(one) for one in found]
    every = np.array(boxes, np.int64).reshape(-1, 4)
    every[:, 2:] += every[:, :2]
    if not boxes:
        return Contours(np.zeros(4, np.int64), every)
    return Contours(every[np.argmax([cv2.contourArea(one) for one in found])], every)


@functools.cache
def _opencv() -> Any:
    """Where it is installed (extra `vision`): twenty times as fast."""
    try:
        import cv2
    except ImportError:
        return None
    return cv2


def contour_boxes(mask: Array) -> Array:
    """Boxes of all contours of a mask `[H, W]`: `[n, 4]` int64.

    Those around the components and, as OpenCV's tree has them, those around their holes,
    which run over the pixels next to the hole.
    """
    outer = _boxes(ndimage.label(mask, _AROUND)[0])
    ground, outside = _ground(mask)
    holes = np.delete(_boxes(ground), outside - 1, axis=0)
    # The margin of one pixel is taken off, and the ring around the hole put on.
    holes += np.array([-2, -2, 0, 0])
    return np.concatenate([outer, holes])


def largest_contour_box(mask: Array) -> Array:
    """Box of the contour with the largest area: `[4]` int64, zeros for an empty mask.

    Of equals the one whose first pixel, row by row, comes last: OpenCV lists it first.
    """
    labels, count = ndimage.label(mask, _AROUND)
    if count == 0:
        return np.zeros(4, np.int64)
    if count == 1:
        return _boxes(labels)[0]
    ground, outside = _ground(mask)
    if ground.max() > 1:
        labels, count = ndimage.label(ground[1:-1, 1:-1] != outside, _AROUND)
    areas = _halves(labels, count)[1:]
    return _boxes(labels)[count - 1 - np.argmax(areas[::-1])]


def _ground(mask: Array) -> tuple[Array, int]:
    """Components of what is not in the mask, `[H + 2, W + 2]`, and the outer one's."""
    ground, _ = ndimage.label(np.pad(~mask, 1, constant_values=True))
    return ground, ground[0, 0]


def _halves(labels: Array, count: int) -> Array:
    """Twice the polygon's area of each label of a mask without holes, `[count + 1]`."""
    corners = labels[:-1, :-1], labels[:-1, 1:], labels[1:, :-1], labels[1:, 1:]
    owner = np.maximum.reduce(corners)  # Three of four always are one component.
    filled = sum((c > 0).astype(np.int8) for c in corners)
    cells = filled >= 3
    weights = filled[cells] - 2
    return np.bincount(owner[cells], weights=weights, minlength=count + 1)


def _boxes(labels: Array) -> Array:
    found = [
        (x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(labels)
    ]
    return np.array(found, np.int64).reshape(-1, 4)

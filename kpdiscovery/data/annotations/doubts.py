"""What of annotations does not fit its pictures, once their sizes are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kpdiscovery.types import UserError

_BEYOND = 1.0  # Pixels by which a box may be larger than its picture.


def find_doubts(
    fields: Mapping[str, np.ndarray], sizes: np.ndarray, files: Sequence[str]
) -> list[str]:
    """A line for each kind of annotation that can hardly be meant so.

    Args:
        fields: of `npz.Annotations`, at the pictures, in original pixels.
        sizes: `[n, 2]` (W0, H0) of the pictures.
        files: their names.

    Raises:
        UserError: no annotated point, or no box, lies in its picture.
    """
    lines: list[str] = []
    if 'keypoints' in fields:
        lines += _of_points(fields['keypoints'], fields['visible'], sizes, files)
    for name, valid in (('boxes', 'boxes_valid'), ('part_boxes', 'part_label')):
        if name in fields:
            there = fields[valid] if valid == 'boxes_valid' else fields[valid] >= 0
            lines += _of_boxes(name, fields[name], there, sizes, files)
    return lines


def _of_points(xy, visible, sizes, files):
    seen = visible & np.isfinite(xy).all(axis=-1)
    if not seen.any():
        return ['keypoints: none is annotated (all are NaN or not visible)']
    edges = _per_picture(sizes, xy) - 0.5
    outside = seen & ~((xy >= -0.5) & (xy <= edges)).all(axis=-1)
    if outside.any():
        first = tuple(np.argwhere(outside)[0])
        w, h = sizes[first[0]].astype(int)
        where = f'{_text(xy[first])} in {files[first[0]]} of {w} x {h} pixels, say'
        if (outside == seen).all():
            raise UserError(f'keypoints: none lies in its picture: {where}')
        count = f'{outside.sum()} of {seen.sum()}'
        return [
            f'keypoints: {count} lie outside their pictures and do not count: {where}'
        ]
    return _fractions('keypoints', xy[seen], sizes)


def _of_boxes(name, boxes, there, sizes, files):
    if not there.any():
        return []
    edges = np.tile(_per_picture(sizes, boxes), 2) - 0.5
    cut = np.clip(boxes, -0.5, edges)
    empty = there & (cut[..., 2:] <= cut[..., :2]).any(axis=-1)
    beyond = np.abs(cut - boxes).max(axis=-1) > _BEYOND
    wrong = empty | (there & beyond)
    if not wrong.any():
        return _fractions(name, boxes[there], sizes)
    first = tuple(np.argwhere(wrong)[0])
    w, h = sizes[first[0]].astype(int)
    given = _text(boxes[first] + 0.5)
    where = f'{given} in {files[first[0]]} of {w} x {h} pixels, say'
    if (empty == there).all():
        raise UserError(f'{name}: none covers a part of its picture: {where}')
    counts = f'{wrong.sum()} of {there.sum()}'
    return [f'{name}: {counts} are empty or reach beyond their pictures: {where}']


def _fractions(name, values, sizes):
    if sizes.max() > 2 and values.min() >= -0.5 and values.max() <= 1:
        return [f'{name}: all lie in the first pixel; are they fractions of the sides?']
    return []


def _per_picture(sizes, values):
    """`[n, 2]` beside `[n, ..., d]`."""
    return sizes.reshape(len(sizes), *[1] * (np.ndim(values) - 2), 2).astype(np.float64)


def _text(values: Any) -> str:
    return f'({", ".join(f"{value:g}" for value in np.asarray(values))})'

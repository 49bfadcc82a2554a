"""Predictions as files that other tools read: COCO keypoints and CSV."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kpdiscovery.types import Keypoints


class Found(NamedTuple):
    """What was found in one picture, in pixels of the original; leaves numpy."""

    file: str  # Below the directory that all pictures share.
    size: tuple[int, int]  # (H, W)
    keypoints: Keypoints  # [K]
    instances: np.ndarray | None = None  # [H, W]
    certainty: np.ndarray | None = None  # [H, W] of them, 0 to 1.


def coco(found: Sequence[Found]) -> dict[str, Any]:
    """COCO keypoint format; `labels` and `keypoint_scores` are ours.

    Points that do not count are (0, 0, 0), as COCO has it; otherwise (0, 0) is the
    centre of the first pixel.
    """
    most = max(len(one.keypoints.label) for one in found)
    category = {
        'id': 1,
        'name': 'object',
        'keypoints': [f'keypoint_{k}' for k in range(most)],
        'skeleton': [],
    }
    images = [
        {'id': i, 'file_name': one.file, 'height': one.size[0], 'width': one.size[1]}
        for i, one in enumerate(found, 1)
    ]
    notes = [_annotation(i, one) for i, one in enumerate(found, 1)]
    return {'images': images, 'annotations': notes, 'categories': [category]}


def write_csv(path: pathlib.Path, found: Sequence[Found]) -> None:
    """One line a keypoint, those that do not count included."""
    # Names that are no Unicode keep their bytes.
    with open(
        path, 'w', newline='', encoding='utf-8', errors='surrogateescape'
    ) as file:
        writer = csv.writer(file)
        writer.writerow(('file', 'keypoint', 'x', 'y', 'score', 'label', 'valid'))
        for one in found:
            for k, (x, y, score, label, valid) in enumerate(_points(one.keypoints)):
                writer.writerow((one.file, k, x, y, score, label, int(valid)))


def _points(keypoints):
    """(x, y, score, label, valid) of each keypoint, as written everywhere."""
    for xy, score, label, valid in zip(
        keypoints.xy, keypoints.score, keypoints.label, keypoints.valid, strict=True
    ):
        x, y, score = (round(float(value), 4) for value in (*xy, score))
        yield x, y, score, int(label), bool(valid)


def _annotation(number, one):
    points = list(_points(one.keypoints))
    kept = [point for point in points if point[4]]
    left, top = (min((p[axis] for p in kept), default=0) for axis in (0, 1))
    right, bottom = (max((p[axis] for p in kept), default=0) for axis in (0, 1))
    width, height = round(right - left, 4), round(bottom - top, 4)
    triples = [(x, y, 2) if valid else (0, 0, 0) for x, y, *_, valid in points]
    return {
        'id': number,
        'image_id': number,
        'category_id': 1,
        'keypoints': [value for triple in triples for value in triple],
        'num_keypoints': len(kept),
        'score': round(sum(point[2] for point in kept) / max(len(kept), 1), 4),
        'bbox': [left, top, width, height],
        'area': round(width * height, 4),
        'iscrowd': 0,
        'keypoint_scores': [point[2] for point in points],
        'labels': [point[3] for point in points],
    }

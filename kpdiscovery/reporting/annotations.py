"""Predictions as files that other tools read: COCO, CSV and DeepLabCut's CSV."""

from __future__ import annotations

import pathlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from kpdiscovery import paths
from kpdiscovery.data.files import outputs
from kpdiscovery.data.formats import deeplabcut
from kpdiscovery.types import Keypoints


class Found(NamedTuple):
    """What was found in one picture, in pixels of the original; leaves numpy."""

    file: str  # Below the directory that all pictures share.
    size: tuple[int, int]  # (H, W)
    keypoints: Keypoints  # [K]
    instances: np.ndarray | None = None  # [h, w], of the picture or of it shrunk.
    certainty: np.ndarray | None = None  # [h, w] of them, 0 to 1.
    mask: np.ndarray | None = None  # [H, W] float32, 0 to 1.
    boxes: np.ndarray | None = None  # [N, 4], those that count.
    label: int = -1  # The most likely class; -1 without.
    confidence: float = 0.0  # Its probability.


def coco(
    found: Sequence[Found], names: Sequence[str] = (), point_names: Sequence[str] = ()
) -> dict[str, Any]:
    """COCO keypoint format; `labels` and `keypoint_scores` are ours.

    Points that do not count are (0, 0, 0), as COCO has it; otherwise (0, 0) is the
    centre of the first pixel. The bbox is that of the points, or the first box found,
    which begins at the edge of a pixel. With classes, category c + 1 is class c of
    `names`, and the score its probability. Several objects of a picture are as many
    annotations of one image.
    """
    most = len(point_names) or max(len(one.keypoints.label) for one in found)
    classes = max(len(names), 1 + max(one.label for one in found))
    called = [name_of(c, names) for c in range(classes)] or ['object']
    categories = [
        {
            'id': i,
            'name': name,
            'keypoints': list(point_names) or [f'keypoint_{k}' for k in range(most)],
            'skeleton': [],
        }
        for i, name in enumerate(called, 1)
    ]
    sizes = {one.file: one.size for one in found}
    images = [
        {'id': i, 'file_name': file, 'height': height, 'width': width}
        for i, (file, (height, width)) in enumerate(sizes.items(), 1)
    ]
    image = {one['file_name']: one['id'] for one in images}
    notes = [
        _annotation(i, image[one.file], one, most) for i, one in enumerate(found, 1)
    ]
    return {'images': images, 'annotations': notes, 'categories': categories}


def name_of(label: int, names: Sequence[str]) -> str:
    """A class's name, or its number where names are not known."""
    return names[label] if label < len(names) else f'class_{label}'


def write_csv(path: pathlib.Path, found: Sequence[Found]) -> None:
    """One line a keypoint, those that do not count included."""
    rows = lambda one: (
        (one.file, k, x, y, score, label, int(valid))
        for k, (x, y, score, label, valid) in enumerate(_points(one.keypoints))
    )
    write_table(path, outputs.HEAD, found, rows)


def write_deeplabcut(path: pathlib.Path, found: Sequence[Found]) -> None:
    """Labels of DeepLabCut, a body part a keypoint; empty where one does not count."""
    most = max(len(one.keypoints.valid) for one in found)
    xy = np.full((len(found), most, 2), np.nan)
    score = np.full((len(found), most), np.nan)
    for place, one in enumerate(found):
        valid = np.flatnonzero(np.asarray(one.keypoints.valid))
        xy[place, valid] = np.asarray(one.keypoints.xy)[valid]
        score[place, valid] = np.asarray(one.keypoints.score)[valid]
    deeplabcut.write(path, [one.file for one in found], xy, score)


def write_boxes(
    path: pathlib.Path, found: Sequence[Found], names: Sequence[str]
) -> None:
    """One line a box: corners as everywhere here, pixel i..j being (i - .5, j + .5)."""
    head = ('file', 'x0', 'y0', 'x1', 'y1', 'class', 'name', 'confidence')
    rows = lambda one: (
        (one.file, *(round(float(v), 2) for v in box), *_class(one, names))
        for box in (() if one.boxes is None else one.boxes)
    )
    write_table(path, head, found, rows)


def write_table(
    path: pathlib.Path,
    head: Sequence[str],
    found: Sequence[Found],
    rows: Callable[[Found], Iterable[Sequence[Any]]],
) -> None:
    """A CSV of the `rows` of each; where pictures have several objects a last column
    `object` numbers them."""
    seen, numbers = Counter[str](), list[int]()
    for one in found:
        numbers.append(seen[one.file])
        seen[one.file] += 1
    with_number = lambda row, number: (*row, number) if any(numbers) else row
    lines = [
        with_number(row, number)
        for one, number in zip(found, numbers, strict=True)
        for row in rows(one)
    ]
    paths.write_csv(path, [with_number(head, 'object'), *lines])


def _class(one, names):
    if one.label < 0:
        return '', '', ''
    return one.label, name_of(one.label, names), round(one.confidence, 4)


def _points(keypoints):
    """(x, y, score, label, valid) of each keypoint, as written everywhere."""
    for xy, score, label, valid in zip(
        keypoints.xy, keypoints.score, keypoints.label, keypoints.valid, strict=True
    ):
        x, y, score = (round(float(value), 4) for value in (*xy, score))
        yield x, y, score, int(label), bool(valid)


def _annotation(number, image, one, most):
    points = list(_points(one.keypoints))
    kept = [point for point in points if point[4]]
    left, top, right, bottom = _bounds(one, kept)
    width, height = round(right - left, 4), round(bottom - top, 4)
    score = sum(point[2] for point in kept) / max(len(kept), 1)
    points += [(0.0, 0.0, 0.0, -1, False)] * (
        most - len(points)
    )  # The category's number.
    triples = [(x, y, 2) if valid else (0, 0, 0) for x, y, *_, valid in points]
    return {
        'id': number,
        'image_id': image,
        'category_id': max(one.label, 0) + 1,
        'keypoints': [value for triple in triples for value in triple],
        'num_keypoints': len(kept),
        'score': round(score if one.label < 0 else one.confidence, 4),
        'bbox': [left, top, width, height],
        'area': round(width * height, 4),
        'iscrowd': 0,
        'keypoint_scores': [point[2] for point in points],
        'labels': [point[3] for point in points],
    }


def _bounds(one, kept):
    """(x0, y0, x1, y1) of the first box, from the picture's edge, or of the points."""
    if one.boxes is not None and len(one.boxes):
        return [round(float(value) + 0.5, 4) for value in one.boxes[0]]
    low = [min((point[axis] for point in kept), default=0) for axis in (0, 1)]
    return low + [max((point[axis] for point in kept), default=0) for axis in (0, 1)]

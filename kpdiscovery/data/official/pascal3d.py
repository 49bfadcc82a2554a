"""PASCAL3D+ vehicles, for VehiclePart's six categories. Not tried on the official files.

PASCAL3D+ brings pictures, splits, boxes of objects and their anchors (points that can be
seen from outside); the boxes of semantic parts are VehiclePart's, a set of its own by
other owners, whose layout we do not know: give them with
`--config.data.options.truth=FILE.npz` (`official.with_truth`).
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from kpdiscovery.data.official.release import (
    Part,
    Release,
    Table,
    listed,
    mat,
    need,
    words,
)
from kpdiscovery.types import UserError

_FOLDER = 'PASCAL3D+_release1.1'
CATEGORIES = ('aeroplane', 'bicycle', 'bus', 'car', 'motorbike', 'train')
_SPLITS = {'train': 'train', 'val': 'test'}
_SEEN = 1  # An anchor's status: visible.


def table(root: Path, *, category: str) -> Table:
    """Pictures of ImageNet with the largest object of one category in each."""
    rows = [row for text, split in _SPLITS.items()
            for row in _objects(root, category, text, split)]  # fmt: skip
    if not rows:
        raise UserError(f'{root}: no {category} in its lists of pictures')
    files, boxes, anchors, split = zip(*rows, strict=True)
    names = sorted({name for one in anchors for name in one})
    none = (np.nan, np.nan)
    found: Table = {
        'files': np.array(files),
        'boxes': np.array(boxes, float) - [1, 1, 0, 0],  # From 1 and inclusive.
        'split': np.array(split),
    }
    if names:
        points = [[one.get(name, none) for name in names] for one in anchors]
        found['keypoints'] = np.array(points, float) - 1
        found['keypoint_names'] = np.array(names)
    return found


def _objects(root, category, text, split):
    place = f'{category}_imagenet'
    for line in words(need(root, f'Image_sets/{place}_{text}.txt', _FOLDER)):
        notes = need(root, f'Annotations/{place}/{line[0]}.mat', _FOLDER)
        picture = need(root, f'Images/{place}/{line[0]}.JPEG', _FOLDER)
        objects = listed(mat(notes)['record']['objects'])
        if mine := [one for one in objects if str(one['class']) == category]:
            one = max(mine, key=_area)
            name = picture.relative_to(root).as_posix()
            yield name, one['bbox'], _anchors(one), split


def _area(one):
    x0, y0, x1, y1 = map(float, one['bbox'])
    return (x1 - x0) * (y1 - y0)


def _anchors(one):
    """(x, y) of the anchors that are seen, by their names."""
    anchors = one.get('anchors')
    if not isinstance(anchors, dict):
        return {}
    return {
        name: tuple(np.ravel(anchor['location']))
        for name, anchor in anchors.items()
        if isinstance(anchor, dict)
        and anchor.get('status') == _SEEN
        and np.size(anchor.get('location', ())) == 2
    }


def _release(category) -> Release:
    place = f'{category}_imagenet'
    return Release(
        name=f'pascal3d_{category}',
        title=f'PASCAL3D+, {category}, for the semantic parts of VehiclePart',
        origin='PASCAL3D+ page of the Computational Vision and Geometry Lab, Stanford; '
        "VehiclePart's part boxes from its own authors (Johns Hopkins University)",
        licence='research only; pictures have the terms of ImageNet',
        parts=(
            Part(f'Images/{place}', 'pictures'),
            Part(f'Annotations/{place}', 'objects, a file a picture'),
            Part(f'Image_sets/{place}_train.txt', 'pictures to train on'),
            Part(f'Image_sets/{place}_val.txt', 'pictures to test on'),
        ),
        derived=(
            'of several objects of the category in a picture the largest counts',
            'test: the official validation part',
            'the boxes of semantic parts are another set: bring a file of them',
        ),
        table=functools.partial(table, category=category),
        folder=_FOLDER,
    )


RELEASES = tuple(map(_release, CATEGORIES))

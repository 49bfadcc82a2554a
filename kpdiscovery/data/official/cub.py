"""CUB-200-2011: birds with 15 parts, boxes, classes. Not tried on the official files."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import numpy as np

from kpdiscovery.data.official.release import (
    Part,
    Release,
    Table,
    find,
    need,
    sizes,
    words,
)

_FOLDER = 'CUB_200_2011'
_PAIRS = ((6, 10), (7, 11), (8, 12))  # Left and right eye, leg, wing; from 0.
_LEFT_EYE, _RIGHT_EYE = _PAIRS[0]
# Own reading of "sea birds removed", by the names of classes.
_SEA = re.compile(
    'Albatross|Auklet|Cormorant|Frigatebird|Fulmar|Guillemot|Gull|Jaeger|Kittiwake|'
    'Pelican|Puffin|Tern$'
)


def table(root: Path, *, landmarks: bool = False) -> Table:
    """All birds, in the order of images.txt.

    Coordinates are taken from the centre of the first pixel; a part that is not visible
    is NaN.

    Args:
        landmarks: without sea birds, and mirrored where the right eye is seen and the
            left is not, so that the eye that is seen is the left one.
    """
    named = dict(_lines(root, 'images.txt'))
    one = lambda text: {n: rest for n, *rest in _lines(root, text)}
    label, train = one('image_class_labels.txt'), one('train_test_split.txt')
    corners = one('bounding_boxes.txt')
    boxes = np.array([corners[n] for n in named], float)
    place = need(root, 'images', _FOLDER).relative_to(root).as_posix()
    found: Table = {
        'files': np.array([f'{place}/{name}' for name in named.values()]),
        'label': np.array([int(label[n][0]) - 1 for n in named], np.int32),
        'boxes': np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
        'split': np.where([train[n][0] == '1' for n in named], 'train', 'test'),
        'keypoints': _parts(root, list(named)),
    }
    names = np.array([name for _, name in _lines(root, 'classes.txt')])
    if masks := find(root, 'segmentations', _FOLDER):
        found['masks'] = np.array(
            [f'{masks}/{name.rsplit(".", 1)[0]}.png' for name in named.values()]
        )
    if landmarks:
        found = _mirrored(root, _without_sea_birds(found, names))
    return {**found, 'class_names': names, 'keypoint_names': _part_names(root)}


def _lines(root, name):
    return words(need(root, name, _FOLDER))


def _parts(root, numbers):
    row = {number: place for place, number in enumerate(numbers)}
    points = np.full((len(numbers), 15, 2), np.nan)
    for number, part, x, y, visible in _lines(root, 'parts/part_locs.txt'):
        if visible == '1':
            points[row[number], int(part) - 1] = float(x), float(y)
    return points


def _part_names(root):
    return np.array([' '.join(name) for _, *name in _lines(root, 'parts/parts.txt')])


def _without_sea_birds(found, names):
    sea = np.array([bool(_SEA.search(name)) for name in names])
    kept = ~sea[found['label']]
    return {name: values[kept] for name, values in found.items()}


def _mirrored(root, found):
    """Points and boxes of the mirrored picture, left and right parts changed over."""
    seen = np.isfinite(found['keypoints'][..., 0])
    turned = seen[:, _RIGHT_EYE] & ~seen[:, _LEFT_EYE]
    width = np.zeros(len(turned))
    width[turned] = sizes(root, found['files'][turned])[:, 0]
    points, boxes = found['keypoints'].copy(), found['boxes'].copy()
    points[turned, :, 0] = width[turned, None] - 1 - points[turned, :, 0]
    boxes[turned] = np.stack(
        [width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1
    )[turned]
    for left, right in _PAIRS:
        points[turned, left], points[turned, right] = (
            points[turned, right],
            points[turned, left],
        )
    return {**found, 'keypoints': points, 'boxes': boxes, 'mirrored': turned}


def _release(name, title, derived, counts, **options) -> Release:
    return Release(
        name=name,
        title=title,
        origin='Caltech-UCSD Birds-200-2011 page of the Computational Vision Group, '
        'Caltech (CaltechDATA)',
        licence='non-commercial research and education only; pictures belong to their '
        'photographers',
        parts=(
            Part('images', 'pictures, a folder a class'),
            Part('images.txt', 'names of pictures'),
            Part('classes.txt', 'names of classes'),
            Part('image_class_labels.txt', 'classes'),
            Part('train_test_split.txt', 'split'),
            Part('bounding_boxes.txt', 'boxes'),
            Part('parts/parts.txt', 'names of parts'),
            Part('parts/part_locs.txt', 'places of parts'),
            Part('segmentations', 'masks (segmentations.tgz)', needed=False),
        ),
        derived=derived,
        table=functools.partial(table, **options),
        folder=_FOLDER,
        counts=counts,
    )


RELEASES = (
    _release(
        'cub', 'CUB-200-2011: 200 kinds of birds, 15 parts, boxes', (),
        {'train': 5_994, 'test': 5_794},
    ),
    _release(
        'cub_landmarks', 'CUB-200-2011 without sea birds, all looking to one side',
        ('sea birds are left out by the names of classes (own list)',
         'pictures that show the right eye alone are mirrored, and left and right parts '
         'change over'),
        {}, landmarks=True,
    ),
)  # fmt: skip

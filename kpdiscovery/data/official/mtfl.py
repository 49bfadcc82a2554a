"""MTFL, the multi-task facial landmark set. Not tried on the official files.

A line of its lists: the picture (folders divided by a backslash), x of left eye, right
eye, nose, left and right corner of the mouth, their y, and four attributes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kpdiscovery.data.official.release import Part, Release, Table, extent, need, words

_FOLDER = 'MTFL'
_LISTS = {'train': 'training.txt', 'test': 'testing.txt'}


def table(root: Path) -> Table:
    """Both lists: 10,000 faces to train on, AFLW's 2,995 to test on."""
    files, points, split = [], [], []
    for name, text in _LISTS.items():
        path = need(root, text, _FOLDER)
        place = path.parent.relative_to(root).as_posix()
        for picture, *rest in words(path):
            files.append(f'{place}/{picture}'.replace('\\', '/').removeprefix('./'))
            points.append(np.array(rest[:10], float).reshape(2, 5).T)
            split.append(name)
    xy = np.array(points)
    return {
        'files': np.array(files),
        'keypoints': xy,
        'boxes': _faces(xy),
        'split': np.array(split),
    }


def _faces(xy):
    """The extent of the five points, and as much as its longer side on every side."""
    boxes = extent(xy, np.ones(xy.shape[:2], bool))
    longer = (boxes[..., 2:] - boxes[..., :2]).max(axis=-1, keepdims=True)
    return boxes + longer * np.array([-1, -1, 1, 1])


RELEASES = (
    Release(
        name='mtfl',
        title='MTFL, five points a face',
        origin='page of TCDCN (facial landmark detection by deep multi-task learning) of '
        'the Multimedia Laboratory, CUHK',
        licence='for research; the pictures are those of LFW, the web and AFLW, with '
        'terms of their own',
        parts=(
            Part('training.txt', 'faces to train on'),
            Part('testing.txt', 'faces to test on'),
            Part('lfw_5590', 'pictures'),
            Part('net_7876', 'pictures'),
            Part('AFLW', 'pictures to test on'),
        ),
        derived=('boxes: three times the extent of the five points (own choice)',),
        table=table,
        resize='box',
        folder=_FOLDER,
        counts={'train': 10_000, 'test': 2_995},
    ),
)

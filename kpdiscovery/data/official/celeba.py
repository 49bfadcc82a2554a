"""CelebA, aligned and in the wild, with MAFL's lists. Not tried on the official files.

Five points a face, in the owners' order: left and right eye (as the person has them
named in the files), nose, left and right corner of the mouth; whole pixels, taken from
the centre of the first.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from kpdiscovery.data.official.release import (
    Part,
    Release,
    Table,
    named_numbers,
    need,
    sizes,
    words,
)

_SHARE = 0.3  # [jin2022] keeps faces whose box covers more of the picture.
_ALIGNED, _WILD = 'Img/img_align_celeba', 'Img/img_celeba'
_POINTS = {
    _ALIGNED: 'Anno/list_landmarks_align_celeba.txt',
    _WILD: 'Anno/list_landmarks_celeba.txt',
}
_BOXES, _PARTITION = 'Anno/list_bbox_celeba.txt', 'Eval/list_eval_partition.txt'
_MAFL = {split: f'MAFL/{split}ing.txt' for split in ('train', 'test')}
_SPLITS = {0: 'train', 1: 'validation', 2: 'other'}  # MAFL has the test part.


def table(root: Path, *, pictures: str, mafl: bool = False, filtered: bool = False):
    """Faces in one of the folders of pictures.

    Args:
        mafl: MAFL's training part alone to train on, else partition 0 without its test
            part, and partition 1 for validation.
        filtered: faces of more than 30 % of their picture only.
    """
    points = named_numbers(need(root, _POINTS[pictures]), skip=2)
    split = _mafl_split(root, points) if mafl else _split(root, points)
    chosen = [name for name in points if name in split]
    found: Table = {
        'files': np.array([f'{pictures}/{name}' for name in chosen]),
        'keypoints': np.array([points[name] for name in chosen]).reshape(-1, 5, 2),
        'split': np.array([split[name] for name in chosen]),
    }
    if pictures == _WILD:
        found['boxes'] = _boxes(root, chosen)
    if filtered:
        large = _large(root, found)
        found = {name: values[large] for name, values in found.items()}
    return found


def _mafl_split(root, known):
    return {
        name: split for split in _MAFL for name in _listed(root, split) if name in known
    }


def _split(root, known):
    parts = {n: _SPLITS[int(v[0])] for n, v in _numbers(root, _PARTITION).items()}
    parts |= dict.fromkeys(_listed(root, 'test'), 'test')
    return {name: split for name, split in parts.items() if name in known}


def _listed(root, split):
    return [line[0] for line in words(need(root, _MAFL[split]))]


def _numbers(root, name, skip=0):
    return named_numbers(need(root, name), skip=skip)


def _boxes(root, names):
    """(x, y, width, height) of the file as corners."""
    given = _numbers(root, _BOXES, skip=2)
    boxes = np.array([given[name] for name in names]).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _large(root, found):
    boxes, area = found['boxes'], sizes(root, found['files']).prod(axis=1)
    return (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) > _SHARE * area


def _release(name, title, pictures, derived, counts, **options) -> Release:
    boxes = [Part(_BOXES, 'boxes of the faces')] if pictures == _WILD else []
    split = Part(_PARTITION, "CelebA's partition", not options.get('mafl'))
    train = Part(_MAFL['train'], "MAFL's list to train on", options.get('mafl', False))
    return Release(
        name=name,
        title=title,
        origin='Large-scale CelebFaces Attributes page of the Multimedia Laboratory, '
        "CUHK; MAFL's lists from the page of TCDCN (facial landmark detection by deep "
        'multi-task learning) of the same laboratory',
        licence='non-commercial research only; pictures must not be passed on',
        parts=(
            Part(pictures, 'pictures'),
            Part(_POINTS[pictures], 'five points a face'),
            *boxes,
            split,
            train,
            Part(_MAFL['test'], "MAFL's list to test on"),
        ),
        derived=derived,
        table=functools.partial(table, pictures=pictures, **options),
        counts=counts,
    )


_REST = 'train: partition 0 without the pictures of MAFL/testing.txt'
_TEST = 'test: the pictures of MAFL/testing.txt'
RELEASES = (
    _release(
        'celeba', 'CelebA, aligned faces, measured on MAFL', _ALIGNED, (_REST, _TEST),
        {'train': 161_962, 'test': 1_000},
    ),
    _release(
        'mafl', 'MAFL, aligned faces', _ALIGNED,
        ('train and test: the two lists of MAFL',), {'train': 19_000, 'test': 1_000},
        mafl=True,
    ),
    _release(
        'celeba_wild', 'CelebA in the wild, large faces, measured on MAFL', _WILD,
        (_REST, _TEST, 'faces whose box covers 30 % of the picture or less are left out'),
        {}, filtered=True,
    ),
    _release(
        'celeba_unaligned', 'CelebA in the wild, with boxes, measured on MAFL', _WILD,
        (_REST, _TEST), {'train': 161_962, 'test': 1_000},
    ),
)  # fmt: skip

"""Tiny-ImageNet: 200 classes, 64 px, boxes. Not tried on the official files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kpdiscovery.data.official.release import Part, Release, Table, need, words

_FOLDER = 'tiny-imagenet-200'


def table(root: Path) -> Table:
    """The training part, and the validation part for testing: the test part has no truth."""
    base = need(root, 'wnids.txt', _FOLDER).parent
    classes = [line[0] for line in words(base / 'wnids.txt')]
    rows = [row for wnid in classes for row in _trained(base, wnid)]
    rows += [_tested(line) for line in words(base / 'val/val_annotations.txt')]
    files, wnids, boxes, split = zip(*rows, strict=True)
    place = base.relative_to(root).as_posix()
    label = {wnid: number for number, wnid in enumerate(classes)}
    return {
        'files': np.array([f'{place}/{name}'.removeprefix('./') for name in files]),
        'label': np.array([label[wnid] for wnid in wnids], np.int32),
        'boxes': np.array(boxes, float) + [0, 0, 1, 1],  # Inclusive, from 0.
        'split': np.array(split),
        'class_names': np.array(_names(base, classes)),
    }


def _trained(base, wnid):
    for name, *box in words(base / f'train/{wnid}/{wnid}_boxes.txt'):
        yield f'train/{wnid}/images/{name}', wnid, box, 'train'


def _tested(line):
    name, wnid, *box = line
    return f'val/images/{name}', wnid, box, 'test'


def _names(base, classes):
    """The words for each class, or its number where words.txt is not there."""
    path = base / 'words.txt'
    known = (
        {wnid: ' '.join(rest) for wnid, *rest in words(path)} if path.is_file() else {}
    )
    return [known.get(wnid, wnid) for wnid in classes]


RELEASES = (
    Release(
        name='tiny_imagenet',
        title='Tiny-ImageNet: 200 classes, 64 px, boxes',
        origin='CS231N course of Stanford University (tiny-imagenet-200.zip)',
        licence='non-commercial research and education only, the terms of ImageNet',
        parts=(
            Part('wnids.txt', 'the classes'),
            Part('words.txt', 'their names', needed=False),
            Part('train', 'pictures and boxes, a folder a class'),
            Part('val/images', 'pictures to test on'),
            Part('val/val_annotations.txt', 'their classes and boxes'),
        ),
        derived=('test: the validation part, since the test part has no truth',),
        table=table,
        folder=_FOLDER,
        counts={'train': 100_000, 'test': 10_000},
    ),
)

"""Stanford Cars: 196 models, boxes. Not tried on the official files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kpdiscovery.data.official.release import (
    Part,
    Release,
    Table,
    find,
    listed,
    mat,
    need,
)

_FOLDER = 'stanford_cars'
_LABELLED = 'cars_test_annos_withlabels.mat'
_NOTES = {'train': 'devkit/cars_train_annos.mat', 'test': f'devkit/{_LABELLED}'}


def table(root: Path) -> Table:
    """Both parts, with boxes and classes."""
    rows = [
        (split, place, car)
        for split in _NOTES
        for place, cars in [_part(root, split)]
        for car in cars
    ]
    boxes = [
        [car[f'bbox_{edge}'] for edge in ('x1', 'y1', 'x2', 'y2')] for *_, car in rows
    ]
    names = mat(need(root, 'devkit/cars_meta.mat', _FOLDER))['class_names']
    return {
        'files': np.array([f'{place}/{car["fname"]}' for _, place, car in rows]),
        'split': np.array([split for split, *_ in rows]),
        'label': np.array([int(car['class']) - 1 for *_, car in rows], np.int32),
        'boxes': np.array(boxes, float) - [1, 1, 0, 0],  # From 1 and inclusive.
        'class_names': np.array([str(name) for name in listed(names)]),
    }


def _part(root, split):
    """The folder of the pictures of a split, and what is known of each."""
    name = _NOTES[split]
    path = find(root, name, _FOLDER) or find(root, Path(name).name, _FOLDER)
    cars = mat(root / path if path else need(root, name, _FOLDER))['annotations']
    place = need(root, f'cars_{split}', _FOLDER).relative_to(root).as_posix()
    return place, listed(cars)


RELEASES = (
    Release(
        name='cars',
        title='Stanford Cars: 196 models, boxes',
        origin='Cars page of Jonathan Krause, Stanford University',
        licence='non-commercial research only, the terms of ImageNet',
        parts=(
            Part('cars_train', 'pictures to train on'),
            Part('cars_test', 'pictures to test on'),
            Part('devkit/cars_meta.mat', 'names of classes'),
            Part('devkit/cars_train_annos.mat', 'classes and boxes'),
            Part(f'**/{_LABELLED}', 'the same of the test part: a file of its own'),
        ),
        derived=(),
        table=table,
        folder=_FOLDER,
        counts={'train': 8_144, 'test': 8_041},
    ),
)

"""COCO's keypoint annotations, as tools for labelling export them.

Source: the data format page of COCO (cocodataset.org). A keypoint is (x, y, v): v 0 not
labelled, 1 labelled but hidden, 2 visible; (0, 0) is taken for the centre of the first
pixel. A bbox is (x, y, width, height) from the picture's edge.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kpdiscovery.types import UserError

_log = logging.getLogger(__name__)
_WRONG = (KeyError, TypeError, ValueError, IndexError, AttributeError)
_START = 4096  # Characters.
Table = dict[str, np.ndarray]


def begins(path: Path) -> bool:
    """Whether a file begins as one of COCO does; it is not read to its end."""
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            start = file.read(_START)
    except OSError:
        return False
    return any(f'"{name}"' in start for name in ('images', 'annotations', 'categories'))


def read(path: Path) -> tuple[Path, Table]:
    """The folder of the pictures, found near the file, and a row for each of them.

    Pictures with one animal at most give `keypoints` `[N, T, 2]`, others `[N, animals, T,
    2]`; NaN where nothing is annotated. `label` if every picture has one category of
    several. Crowds are left out.

    Raises:
        UserError: not such a file, or its pictures are nowhere near it.
    """
    try:
        given = json.loads(path.read_text(encoding='utf-8'))
        images, notes = given['images'], given.get('annotations', [])
        names = [str(image['file_name']) for image in images]
    except RecursionError:
        raise UserError(f'{path}: nested too deeply for COCO') from None
    except (OSError, *_WRONG) as error:
        raise UserError(f'{path}: not COCO annotations ({error!r})') from error
    if not names:
        raise UserError(f'{path}: names no pictures')
    root = _where(path, names)
    try:
        table = _table(images, notes, given.get('categories', []))
    except _WRONG as error:
        raise UserError(f'{path}: not COCO annotations ({error!r})') from error
    return root, {'files': np.array(names), **table}


def _where(path, names):
    """The folder below which the pictures are: of several the one called as the file is."""
    for root in (path.parent, path.resolve().parent.parent):
        inner = sorted(one for one in root.iterdir() if one.is_dir())
        found = [one for one in (root, *inner) if os.path.isfile(one / names[0])]
        if len(found) > 1:
            here = lambda place: all(os.path.isfile(place / name) for name in names)
            found = [one for one in found if here(one)] or found
        if len(found) > 1:
            found = [one for one in found if one.name in path.stem]
            if len(found) != 1:
                raise UserError(
                    f'{path}: {names[0]} is in several folders beside it: name the file as '
                    'the folder of its pictures, or put it there'
                )
        if found:
            return found[0]
    raise UserError(
        f'{path}: {names[0]} is in none of the folders beside it: put the file next to '
        'the folder of its pictures'
    )


def _table(images, notes, categories) -> Table:
    row = {image['id']: place for place, image in enumerate(images)}
    groups: list[list[Mapping[str, Any]]] = [[] for _ in images]
    for note in notes:
        if not note.get('iscrowd'):
            groups[row[note['image_id']]].append(note)
    return {
        **_points(groups, categories),
        **_boxes(groups),
        **_labels(groups, categories),
    }


def _points(groups, categories) -> Table:
    places, names = _columns(categories)
    given = [
        len(n['keypoints']) // 3
        for group in groups
        for n in group
        if n.get('keypoints')
    ]
    if not given:
        return {}
    groups = [[note for note in group if note.get('keypoints')] for group in groups]
    most, count = max(1, *map(len, groups)), max(len(names), *given)
    if names and len(names) != count:
        _log.warning('%d names of keypoints for %d: left away', len(names), count)
    values = np.zeros((len(groups), most, count, 3))
    for place, group in enumerate(groups):
        for animal, note in enumerate(group):
            points = np.array(note['keypoints'], float).reshape(-1, 3)
            at = places.get(note.get('category_id'), ())
            at = at if len(at) == len(points) else range(len(points))
            values[place, animal, list(at)] = points
    xy = np.where(values[..., 2:] > 0, values[..., :2], np.nan)
    seen = values[..., 2] > (values[..., 2] > 1).any()  # Some tools know no 2.
    if most == 1:
        xy, seen = xy[:, 0], seen[:, 0]
    called = {'keypoint_names': np.array(names)} if len(names) == count else {}
    return {'keypoints': xy, 'visible': seen, **called}


def _columns(categories):
    """The columns of the points of each category, and the names of all: what is called alike
    in two is one."""
    named = {one['id']: list(map(str, one.get('keypoints', ()))) for one in categories}
    every = dict.fromkeys(itertools.chain.from_iterable(named.values()))
    column = {name: i for i, name in enumerate(every)}
    return {kind: [column[n] for n in ns] for kind, ns in named.items()}, list(column)


def _boxes(groups) -> Table:
    found = [(place, note['bbox']) for place, group in enumerate(groups)
             for note in group if note.get('bbox')]  # fmt: skip
    if not found:
        return {}
    rows, given = zip(*found, strict=True)
    boxes = np.array(given, float).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return {'boxes': boxes, 'box_image': np.array(rows)}


def _labels(groups, categories) -> Table:
    kinds = [{note.get('category_id') for note in group} for group in groups]
    known = [one['id'] for one in categories]
    if len(known) < 2 or any(len(kind) != 1 for kind in kinds):
        return {}
    label = np.array([known.index(*kind) for kind in kinds], np.int32)
    names = np.array([str(one.get('name', one['id'])) for one in categories])
    return {'label': label, 'class_names': names}

"""Data sets of the papers, read as their owners distribute them: `RELEASES` by name."""

from __future__ import annotations

import difflib
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kpdiscovery.data.annotations.npz import load, normal_name
from kpdiscovery.data.official import (
    aflw,
    bbc_pose,
    cars,
    cat_heads,
    celeba,
    cub,
    deepfashion,
    flowers,
    h36m,
    ls3d,
    mtfl,
    pascal3d,
    penn_action,
    tiny_imagenet,
)
from kpdiscovery.data.official.release import Part, Release, Table, find, lacking
from kpdiscovery.types import UserError

_MODULES = (
    aflw, bbc_pose, cars, cat_heads, celeba, cub, deepfashion, flowers, h36m, ls3d, mtfl,
    pascal3d, penn_action, tiny_imagenet,
)  # fmt: skip
RELEASES: Mapping[str, Release] = {
    release.name: release for module in _MODULES for release in module.RELEASES
}
_WRONG = (
    ValueError, IndexError, KeyError, TypeError, AttributeError, OSError, sqlite3.Error,
)  # fmt: skip
_POINTS = ('keypoints', 'visible', 'part_boxes', 'part_label', 'part_image')


def named(name: str) -> Release:
    """The release of that name; UserError if there is none."""
    if name not in RELEASES:
        near = difflib.get_close_matches(name, RELEASES, 1, 0.5)
        hint = f', did you mean {near[0]}?' if near else ''
        raise UserError(
            f'no data set {name!r}{hint}; there are: {", ".join(sorted(RELEASES))}'
        )
    return RELEASES[name]


def is_there(name: str, root: str | os.PathLike) -> bool:
    """Whether a folder is the release, however much is missing.

    It has all needed parts, or one of a name that nobody gives by chance: 'images.txt' or
    'S1/Videos' rather than 'images'.
    """
    release = named(name)
    missing = lacking(release, Path(root))
    there = [part for part in release.parts if part.needed and part not in missing]
    return not missing or any('.' in part.name or '/' in part.name for part in there)


def read(name: str, root: str | os.PathLike, *, truth: str = '') -> Table:
    """What `annotations.npz` of the release would have.

    Args:
        root: the folder of the unpacked files.
        truth: a file of points or boxes of parts beside it, see `with_truth`.

    Raises:
        UserError: a part is missing, or is not as the owners describe it.
    """
    release, root = named(name), Path(root)
    mend = f'kpd doctor --data={name} --root={root}'
    if missing := lacking(release, root):
        names = ', '.join(part.name for part in missing)
        raise UserError(f'{release.title}: {root} lacks {names}; {mend} says more')
    try:
        table = release.table(root)
    except _WRONG as error:
        kind = type(error).__name__
        raise UserError(
            f'{release.title}: a file is not as its owners describe it ({kind}: {error})'
        ) from error
    return with_truth(table, truth) if truth else table


def with_truth(table: Table, path: str | os.PathLike) -> Table:
    """The table with what another file knows of its pictures, matched by name.

    The .npz has `files` and `keypoints` (and `visible`), of a face-alignment network or a
    pose detector say, or `part_boxes`, `part_label` and `part_image`. Pictures it does not
    name have none. Where the data set has several rows a picture it has their `object` too.

    Raises:
        UserError: not such a file, or of none of the pictures.
    """
    arrays = load(path)
    where = _rows_of(path, arrays, table)
    if (where < 0).all():
        raise UserError(f"{path}: its 'files' names none of the data set's pictures")
    kept = {name: v for name, v in table.items() if name not in _POINTS}
    kept.pop('keypoint_names', None)
    if 'part_boxes' in arrays:
        return {**kept, **_parts(path, arrays, where)}
    if 'keypoints' not in arrays:
        raise UserError(f"{path}: neither 'keypoints' nor 'part_boxes' in it")
    points = np.asarray(arrays['keypoints'], float)[where]
    points[where < 0] = np.nan
    seen = {'visible': arrays['visible'][where]} if 'visible' in arrays else {}
    return {**kept, 'keypoints': points, **seen}


def _rows_of(path, arrays, table):
    """The row of the file for each of the table, -1 without."""
    own, given = _names(table), _names(arrays)
    lengths = {
        len(arrays[n]) for n in ('keypoints', 'visible', 'object') if n in arrays
    }
    if lengths - {len(given)} or len({*given}) < len(given):
        raise UserError(
            f"{path}: wanted a row of 'keypoints' for each of 'files', every picture (and "
            "'object') once"
        )
    if 'object' in table and 'object' not in arrays:
        raise UserError(
            f"{path}: pictures of the data set show several, so it needs their 'object'"
        )
    alone = 'object' not in table
    rows = {(name if alone else (name, one)): i for i, (name, one) in enumerate(given)}
    return np.array([rows.get(name if alone else (name, one), -1) for name, one in own])


def _names(table):
    """Picture and object of each row."""
    count = len(table['files'])
    objects = np.asarray(table.get('object', np.zeros(count, int))).tolist()
    return [
        (normal_name(str(n)), one)
        for n, one in zip(table['files'], objects, strict=True)
    ]


def _parts(path, arrays, where):
    """Boxes of parts, with the rows of the table in place of the file's."""
    image = np.asarray(arrays.get('part_image', ()), int)
    if len(image) != len(arrays['part_boxes']) or 'part_label' not in arrays:
        raise UserError(f"{path}: 'part_boxes' needs 'part_label' and 'part_image'")
    pairs = [(box, row) for row, given in enumerate(where.tolist()) if given >= 0
             for box in np.flatnonzero(image == given).tolist()]  # fmt: skip
    boxes, rows = np.array(pairs, int).reshape(-1, 2).T
    return {
        'part_boxes': np.asarray(arrays['part_boxes'])[boxes],
        'part_label': np.asarray(arrays['part_label'])[boxes],
        'part_image': rows,
    }


__all__ = [
    'RELEASES',
    'Part',
    'Release',
    'find',
    'is_there',
    'lacking',
    'named',
    'read',
]

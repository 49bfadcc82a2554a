"""Labels of DeepLabCut: a project's folder, or one of its CSV files, read and written.

A project has config.yaml and labeled-data/VIDEO/CollectedData_SCORER.csv beside the
labelled frames. The head of a CSV has lines scorer, (individuals,) bodyparts, coords; a
line's first one or three columns name the picture. The .h5 beside holds the same as a
pickle of pandas in part, and is not read.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from kpdiscovery import paths
from kpdiscovery.types import UserError

_LABELS = 'labeled-data'
_HEAD = ('scorer', 'individuals', 'bodyparts', 'coords')
Table = dict[str, np.ndarray]
Points = dict[tuple[str, str], tuple[float, float]]  # By animal and body part.


def is_project(folder: Path) -> bool:
    """Whether a folder is a project of DeepLabCut."""
    return (folder / 'config.yaml').is_file() and (folder / _LABELS).is_dir()


def read(path: Path) -> tuple[Path, Table]:
    """The folder of the pictures, and the labels of a project or of one CSV.

    `keypoints` `[N, T, 2]`, or `[N, animals, T, 2]` with individuals; NaN where a point is
    not labelled. `video` numbers the folders of frames.

    Raises:
        UserError: no labels, or not such a file.
    """
    files = (
        sorted(path.glob(f'{_LABELS}/*/CollectedData_*.csv'))
        if path.is_dir()
        else [path]
    )
    if not files:
        raise UserError(f'{path}: no {_LABELS}/VIDEO/CollectedData_SCORER.csv in it')
    root = path if path.is_dir() else _root(path)
    found: dict[str, Points] = {}
    for file in files:
        for name, points in _rows(file):
            found[_placed(root, file, name)] = points
    if not found:
        raise UserError(f'{path}: no labelled pictures')
    return root, _table(found)


def write(
    path: Path, names: Sequence[str], points: np.ndarray, score: np.ndarray
) -> None:
    """Points as a CSV of DeepLabCut: scorer kpdiscovery, body parts point0, point1 ...

    Args:
        names: of the pictures, `[N]`.
        points: `[N, K, 2]`, NaN for those that do not count.
        score: `[N, K]`, the column `likelihood`, which ends at 0 and 1.
    """
    columns = [(f'point{k}', axis) for k in range(points.shape[1])
               for axis in ('x', 'y', 'likelihood')]  # fmt: skip
    head = [
        ['scorer', *['kpdiscovery'] * len(columns)],
        ['bodyparts', *(part for part, _ in columns)],
        ['coords', *(axis for _, axis in columns)],
    ]
    values = np.concatenate([points, np.clip(score, 0, 1)[..., None]], -1).reshape(
        len(names), -1
    )
    rows = [[name, *('' if np.isnan(v) else round(float(v), 4) for v in row)]
            for name, row in zip(names, values, strict=True)]  # fmt: skip
    paths.write_csv(path, [*head, *rows])


def _root(path):
    """What names of a CSV begin below: the project, or the folder of the file."""
    inside = path.resolve().parents
    return inside[2] if len(inside) > 2 and inside[1].name == _LABELS else path.parent


def _placed(root, file, name):
    """A picture's name below the root, whether the CSV names it from the project's
    folder or by its own name alone."""
    name = name.replace('\\', '/')
    if (root / name).is_file():
        return name
    beside = file.resolve().parent / name.rsplit('/', 1)[-1]
    return beside.relative_to(root.resolve()).as_posix() if beside.is_file() else name


def _rows(file) -> Iterator[tuple[str, Points]]:
    lines = _lines(file)
    head = {}
    while lines and (name := lines[0][0].strip().lower()) in _HEAD:
        head[name] = lines.pop(0)
    if 'bodyparts' not in head or 'coords' not in head:
        raise UserError(
            f'{file}: not labels of DeepLabCut: its head needs lines bodyparts and coords'
        )
    coords = [one.strip().lower() for one in head['coords']]
    first = next((i for i, one in enumerate(coords) if one in ('x', 'y')), len(coords))
    animals = head.get('individuals', [''] * len(coords))
    columns = list(zip(animals, head['bodyparts'], coords, strict=False))[first:]
    for line in lines:
        name = '/'.join(part for part in line[:first] if part)
        yield name, _points(file, columns, line[first:])


def _lines(file):
    try:
        # Tables that went through a spreadsheet have its mark, and perhaps semicolons.
        with open(file, newline='', encoding='utf-8-sig', errors='replace') as text:
            head = text.readline()
            text.seek(0)
            apart = ';' if head.count(';') > head.count(',') else ','
            return [line for line in csv.reader(text, delimiter=apart) if any(line)]
    except (OSError, csv.Error) as error:
        raise UserError(f'{file}: cannot be read ({error})') from error


def _points(file, columns, values) -> Points:
    """Those that are labelled; unlabelled ones are NaN, so that their names are known."""
    found: dict[tuple[str, str], list[float]] = {}
    for (animal, part, axis), value in zip(columns, values, strict=False):
        if axis in ('x', 'y'):
            point = found.setdefault((animal, part), [np.nan, np.nan])
            try:
                point[axis == 'y'] = float(value) if value.strip() else np.nan
            except ValueError:
                raise UserError(f'{file}: {value!r} is no number') from None
    return {key: (x, y) for key, (x, y) in found.items()}


def _table(found) -> Table:
    keys = dict.fromkeys(key for points in found.values() for key in points)
    animals = list(dict.fromkeys(animal for animal, _ in keys))
    parts = list(dict.fromkeys(part for _, part in keys))
    none = (np.nan, np.nan)
    xy = np.array([[[points.get((animal, part), none) for part in parts]
                    for animal in animals] for points in found.values()])  # fmt: skip
    folders = [name.rpartition('/')[0] for name in found]
    return {
        'files': np.array(list(found)),
        'keypoints': xy[:, 0] if len(animals) == 1 else xy,
        'keypoint_names': np.array(parts),
        'video': np.unique(folders, return_inverse=True)[1],
    }

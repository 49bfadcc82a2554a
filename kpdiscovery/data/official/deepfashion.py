"""DeepFashion, in-shop clothes: whole bodies. Not tried on the official files.

The 14 body points of the papers are a pose detector's and no part of the release: give a
file with `--config.data.options.truth=FILE.npz` (`official.with_truth`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kpdiscovery.data.official.release import Part, Release, Table, find, need, words
from kpdiscovery.types import UserError

_PARTITION, _BOXES = 'list_eval_partition.txt', 'list_bbox_inshop.txt'
_TESTED = 500
_BODY = 'full'  # ..._full.jpg; others are front, side, back, additional, flat.


def table(root: Path) -> Table:
    """Pictures of whole bodies; the last 500 or so for testing, no item in both."""
    lines = [w for w in words(_at(root, _PARTITION), skip=2) if _is_body(w[0])]
    if not lines:
        raise UserError(f'{root}: {_PARTITION} names no pictures that end in _full.jpg')
    lines.sort(key=lambda line: (line[1], line[0]))
    items = np.array([line[1] for line in lines])
    first = items[max(0, len(items) - _TESTED)]
    found: Table = {
        'files': np.array([_picture(root, line[0]) for line in lines]),
        'split': np.where(items > first, 'test', 'train'),
    }
    place = find(root, f'Anno/{_BOXES}') or find(root, _BOXES)
    if place:
        found['boxes'] = _boxes(root / place, [line[0] for line in lines])
    return found


def _at(root, name):
    return root / (find(root, f'Eval/{name}') or find(root, name) or need(root, name))


def _is_body(name):
    return Path(name).stem.endswith(_BODY)


def _picture(root, name):
    """Lists begin with img/, the archive unpacks to Img/img/ or img/."""
    return f'Img/{name}' if (root / 'Img').is_dir() else name


def _boxes(path, names):
    """Corners, whole pixels from 1; NaN where a picture has none."""
    given = {name: np.array(rest[-4:], float) for name, *rest in words(path, skip=2)}
    none = np.full(4, np.nan)
    boxes = np.array([given.get(name, none) for name in names]) - [1, 1, 0, 0]
    return boxes[:, None]  # One a picture, or none.


RELEASES = (
    Release(
        name='deepfashion',
        title='DeepFashion: whole bodies of in-shop clothes retrieval',
        origin='DeepFashion page (in-shop clothes retrieval benchmark) of the Multimedia '
        'Laboratory, CUHK; on request',
        licence='non-commercial research only, by agreement',
        parts=(
            Part('[Ii]mg', 'pictures (Img/img or img)'),
            Part('**/list_eval_partition.txt', 'names of pictures and their items'),
            Part('**/list_bbox_inshop.txt', 'boxes of clothes', needed=False),
        ),
        derived=(
            'pictures whose name ends in _full.jpg only',
            'test: the last items of at most 500 pictures, train: the others (own choice)',
            'the 14 points are no annotation: bring a file of a pose detector',
        ),
        table=table,
        counts={'train': 12_416, 'test': 500},
    ),
)

"""Cat Heads (the cat data set of Zhang, Sun and Tang). Not tried on the official files.

Beside CAT_00/00000001_000.jpg lies 00000001_000.jpg.cat: the number of points, nine, and
x and y of each: eyes, mouth, three of each ear.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kpdiscovery.data.official.release import Part, Release, Table, extent, natural
from kpdiscovery.types import UserError

_POINTS = 9
_KEPT = (0, 1, 2, 3, 5, 6, 8)  # Without the tips of the ears.
_EVERY = 7  # About the papers' 1,257 of 9,004.


def table(root: Path) -> Table:
    """Heads with seven points, and boxes about all nine; every seventh is for testing."""
    paths = sorted(root.glob('**/*.jpg.cat'), key=lambda path: natural(str(path)))
    if not paths:
        raise UserError(f'{root}: no files .jpg.cat')
    points = np.stack([_points(path) for path in paths])
    files = [path.relative_to(root).as_posix().removesuffix('.cat') for path in paths]
    tested = np.arange(len(files)) % _EVERY == _EVERY - 1
    return {
        'files': np.array(files),
        'keypoints': points[:, _KEPT],
        'boxes': extent(points, np.ones(points.shape[:2], bool)),
        'split': np.where(tested, 'test', 'train'),
    }


def _points(path):
    count, *numbers = map(float, path.read_text().split())
    if count != _POINTS or len(numbers) < 2 * _POINTS:
        raise UserError(f'{path}: wanted 9 points, got {len(numbers) // 2}')
    return np.array(numbers[: 2 * _POINTS]).reshape(_POINTS, 2)


RELEASES = (
    Release(
        name='cat_heads',
        title='Cat Heads: nine points, seven of them used',
        origin='cat annotation data set of Weiwei Zhang, Jian Sun and Xiaoou Tang '
        '(Microsoft Research Asia), kept by the Internet Archive',
        licence='none stated that we know of: ask its owners',
        parts=(Part('**/*.jpg.cat', 'nine points, a file beside each picture'),),
        derived=(
            'the two tips of the ears are left out of the points',
            'boxes: the extent of all nine points, to which pictures are cut',
            "test: every seventh picture (the papers' lists of 7,747 and 1,257 are in "
            'no file)',
        ),
        table=table,
        counts={},
    ),
)

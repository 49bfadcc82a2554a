"""LS3D-W: faces in any pose with 68 points. Not tried on the official files.

Beside every picture lies a file of Torch 7 of the same name with a 68 x 2 tensor (of
68 x 3 the depth is left out), pixels counted from 1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kpdiscovery.data.official.release import Part, Release, Table, extent
from kpdiscovery.data.official.torch7 import read_tensor
from kpdiscovery.types import UserError

_ENDS = ('.jpg', '.png', '.jpeg')
_POINTS = 68
_BROW = 1 / 3  # Of the height of the points: boxes reach so far above them.


def table(root: Path) -> Table:
    """Every picture with points; what lies in a folder called '...balanced...' is test."""
    pairs = [pair for path in sorted(root.rglob('*.t7')) if (pair := _pair(root, path))]
    if not pairs:
        raise UserError(f'{root}: no .t7 file has a picture of its name beside it')
    points = np.stack([_points(root / notes) for notes, _ in pairs])
    files = np.array([picture for _, picture in pairs])
    boxes = extent(points, np.isfinite(points).all(-1))
    boxes[..., 1] -= _BROW * (boxes[..., 3] - boxes[..., 1])
    tested = ['balanced' in name.rpartition('/')[0].lower() for name in files]
    return {
        'files': files,
        'keypoints': points,
        'boxes': boxes,
        'split': np.where(tested, 'test', 'train'),
    }


def _pair(root, path):
    """Names of the points and of their picture, None without a picture."""
    beside = (path.with_suffix(end) for end in _ENDS)
    picture = next((one for one in beside if one.is_file()), None)
    if picture is None:
        return None
    return path.relative_to(root), picture.relative_to(root).as_posix()


def _points(path):
    values = read_tensor(path)
    if values.shape not in ((_POINTS, 2), (_POINTS, 3)):
        raise UserError(f'{path}: wanted 68 points, got a tensor of {values.shape}')
    return values[:, :2] - 1


RELEASES = (
    Release(
        name='ls3d',
        title='LS3D-W: 68 points of faces up to profile',
        origin='page of the Computer Vision Laboratory, University of Nottingham (Adrian '
        'Bulat); on request',
        licence='research only; pictures have the terms of 300-W, 300-VW, AFLW, Menpo '
        'and FDDB, from where they come',
        parts=(
            Part('**/*.t7', 'points, one file a picture beside it'),
            Part('*alanced*', 'LS3D-W balanced: the test part', needed=False),
        ),
        derived=(
            'test: whatever lies in a folder whose name has "balanced", train: the rest',
            'boxes: the extent of the 68 points and a third of its height above, to which '
            'pictures are cut',
        ),
        table=table,
        folder='LS3D-W',
        counts={'test': 7_200},
    ),
)

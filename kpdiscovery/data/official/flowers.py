"""Oxford Flowers-102: classes and masks. Not tried on the official files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kpdiscovery.data.official.release import Part, Release, Table, find, mat, need

_FOLDER = '102flowers'
_SPLITS = {'trnid': 'train', 'valid': 'validation', 'tstid': 'test'}
_BLUE = (0, 0, 254)  # The ground of the segmented pictures.


def table(root: Path) -> Table:
    """All flowers with the official split: 1,020 to train on, as many for validation."""
    label = np.atleast_1d(mat(need(root, 'imagelabels.mat', _FOLDER))['labels'])
    numbers = np.arange(1, len(label) + 1)
    split = np.full(len(label), 'other', 'U10')
    parts = mat(need(root, 'setid.mat', _FOLDER))
    for field, name in _SPLITS.items():
        split[np.atleast_1d(parts[field]).astype(int) - 1] = name
    place = need(root, 'jpg', _FOLDER).relative_to(root).as_posix()
    found: Table = {
        'files': np.array([f'{place}/image_{number:05}.jpg' for number in numbers]),
        'label': label.astype(np.int32) - 1,
        'split': split,
    }
    if masks := find(root, 'segmim', _FOLDER):
        found['masks'] = np.array([f'{masks}/segmim_{n:05}.jpg' for n in numbers])
        found['mask_ground'] = np.array(_BLUE, np.uint8)
    return found


RELEASES = (
    Release(
        name='flowers',
        title='Oxford Flowers-102: 102 kinds of flowers, masks',
        origin='102 Category Flower Dataset page of the Visual Geometry Group, Oxford',
        licence='none stated that we know of: ask its owners',
        parts=(
            Part('jpg', 'pictures (102flowers.tgz)'),
            Part('imagelabels.mat', 'classes'),
            Part('setid.mat', 'split'),
            Part('segmim', 'segmented pictures (102segmentations.tgz)', needed=False),
        ),
        derived=('masks: what is not the blue of the segmented pictures',),
        table=table,
        folder=_FOLDER,
        counts={'train': 1_020, 'validation': 1_020, 'test': 6_149},
    ),
)

"""BBC Pose: sign-language interpreters, seven points. Not tried on the official files.

The pictures are in one folder a video, 1 to 20; `bbcpose.mat` has a struct of as many
entries, with the numbers of the annotated `frames`, `locs` `[2, 7, frames]` in pixels
counted from 1, and a `type`: training, validation or testing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kpdiscovery.data.official.release import (
    Part,
    Release,
    Table,
    extent,
    find,
    listed,
    mat,
    natural,
    need,
    pictures,
)
from kpdiscovery.types import UserError

_FOLDER, _NOTES = 'bbcpose', 'bbcpose.mat'
_NAMES = {  # Own reading: what the fields of the struct may be called.
    'frames': ('frames', 'frame'),
    'locs': ('locs', 'joints'),
    'type': ('type', 'split'),
}
_STEP = 10  # The papers train on every tenth frame.
_PARTS = (
    'head', 'right wrist', 'left wrist', 'right elbow', 'left elbow', 'right shoulder',
    'left shoulder',
)  # fmt: skip


def table(root: Path) -> Table:
    """Every tenth frame of the videos to train on, every annotated one of the others."""
    known = mat(need(root, _NOTES, _FOLDER)).get('bbcpose')
    if known is None:
        raise UserError(f'{root}: {_NOTES} has no struct called bbcpose')
    rows = [_video(root, i + 1, video) for i, video in enumerate(listed(known))]
    files = np.array([name for names, *_ in rows for name in names])
    points = np.concatenate([xy for _, xy, _ in rows])
    counts = [len(names) for names, *_ in rows]
    return {
        'files': files,
        'keypoints': points,
        'keypoint_names': np.array(_PARTS),
        'boxes': extent(points, np.isfinite(points).all(-1)),
        'split': np.repeat([split for *_, split in rows], counts),
        'video': np.repeat(np.arange(1, len(rows) + 1), counts),
    }


def _video(root, number, video):
    """Pictures of one video, their points `[n, 7, 2]` and its split."""
    if not (place := find(root, str(number), _FOLDER)):
        raise UserError(f'{root}: no folder {number} of frames')
    there = {Path(name).stem.lstrip('0') or '0': name for name in
             sorted(pictures(root / place, root), key=natural)}  # fmt: skip
    split = _split(_field(video, 'type'))
    frames = np.atleast_1d(_field(video, 'frames')).astype(int)
    points = np.asarray(_field(video, 'locs'), float).reshape(2, 7, -1).T  # [n, 7, 2]
    xy = dict(zip(map(str, frames.tolist()), points - 1, strict=True))
    if split == 'train':
        chosen = list(there)[::_STEP]
    else:
        chosen = [frame for frame in xy if frame in there]
    none = np.full((7, 2), np.nan)
    found = np.array([xy.get(frame, none) for frame in chosen]).reshape(-1, 7, 2)
    return [there[frame] for frame in chosen], found, split


def _field(video, name):
    for known in _NAMES[name]:
        if known in video:
            return video[known]
    raise UserError(f'{_NOTES}: no field {name}, only {", ".join(video)}')


def _split(text):
    for begin, split in (('tr', 'train'), ('val', 'validation'), ('te', 'test')):
        if str(text).lower().startswith(begin):
            return split
    raise UserError(f'{_NOTES}: a video of type {text!r}')


RELEASES = (
    Release(
        name='bbc_pose',
        title='BBC Pose: seven points of people who sign',
        origin='BBC Pose page of the Visual Geometry Group, Oxford',
        licence='non-commercial research only; the footage is of the BBC',
        parts=(
            Part(_NOTES, 'points, frames and parts of the videos'),
            Part('1', 'pictures, a folder a video (1 to 20)'),
        ),
        derived=(
            'train: every tenth frame, annotated or not; points stay unknown where none '
            'are given',
            'test: the annotated frames of the test videos',
            'boxes: the extent of the points, to which pictures are cut; whole pictures '
            'where there are none',
        ),
        table=table,
        folder=_FOLDER,
        counts={'train': 60_885, 'test': 1_000},
    ),
)

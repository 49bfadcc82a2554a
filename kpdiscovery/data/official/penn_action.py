"""PennAction: frames of sports, 13 points. Not tried on the official files.

`frames/0001/000001.jpg`, and `labels/0001.mat` with `action`, `x`, `y`, `visibility`
`[frames, 13]` and `bbox` `[frames, 4]`, corners; pixels counted from 1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kpdiscovery.data.official.release import Part, Release, Table, mat, need, pictures
from kpdiscovery.types import UserError

_FOLDER = 'Penn_Action'
_ACTIONS = (
    'tennis_serve', 'tennis_forehand', 'baseball_pitch', 'baseball_swing',
    'jumping_jacks', 'golf_swing',
)  # fmt: skip
_TESTED = 5  # The first videos of each action.
_JOINTS = ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
_SIDED = [f'{side} {joint}' for joint in _JOINTS for side in ('left', 'right')]
_NAMES = ('head', *_SIDED)


def table(root: Path) -> Table:
    """The frames of six actions; the first five videos of each are for testing."""
    seen = dict.fromkeys(_ACTIONS, 0)
    rows = []
    for path in sorted(need(root, 'labels', _FOLDER).glob('*.mat')):
        notes = mat(path)
        action = _action(notes.get('action', ''))
        if action not in seen:
            continue
        seen[action] += 1
        split = 'test' if seen[action] <= _TESTED else 'train'
        rows.append((*_frames(root, path.stem, notes), split, int(path.stem)))
    if not rows:
        raise UserError(f'{root}: no video of {", ".join(_ACTIONS)} in labels')
    files, points, visible, boxes, splits, video = zip(*rows, strict=True)
    counts = [len(names) for names in files]
    return {
        'files': np.concatenate(files),
        'keypoints': np.concatenate(points),
        'visible': np.concatenate(visible),
        'boxes': np.concatenate(boxes),
        'split': np.repeat(splits, counts),
        'video': np.repeat(video, counts),
        'keypoint_names': np.array(_NAMES),
    }


def _action(value):
    """One name for 'tennis_serve', 'tennis serve' and 'golf_swing'."""
    return str(value).strip().replace(' ', '_')


def _frames(root, name, notes):
    """Of one video: names, points `[n, 13, 2]`, which are visible, boxes `[n, 4]`."""
    names = list(pictures(need(root, f'frames/{name}', _FOLDER), root))
    xy = np.stack([np.atleast_2d(notes[axis]) for axis in 'xy'], axis=-1) - 1.0
    visible = np.atleast_2d(notes['visibility']).astype(bool)
    corners = np.atleast_2d(notes['bbox']).astype(float)
    count = min(len(names), len(xy), len(visible), len(corners))
    # From 1 and inclusive: edges are one less and as given.
    boxes = corners[:count] - [1, 1, 0, 0]
    return np.array(names[:count]), xy[:count], visible[:count], boxes


RELEASES = (
    Release(
        name='penn_action',
        title='PennAction: six sports, 13 points',
        origin='Penn Action page of Weiyu Zhang, University of Pennsylvania',
        licence='none stated on the page that we know of: ask its owners',
        parts=(
            Part('frames', 'pictures, a folder a video'),
            Part('labels', 'points, boxes and actions, a file a video'),
        ),
        derived=(
            f'six actions only: {", ".join(_ACTIONS)}',
            'test: the first five videos of each action, train: the others',
            'pictures are cut to the boxes; frames beyond the annotated ones are left out',
        ),
        table=table,
        folder=_FOLDER,
        counts={'train': 51_661, 'test': 1_776},
    ),
)

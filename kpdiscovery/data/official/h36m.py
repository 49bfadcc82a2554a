"""Human3.6M: bodies in a room, 32 joints. Not tried on the official files.

Per subject: `S1/Videos/Directions 1.54138969.mp4`, joints in pixels in
`S1/MyPoseFeatures/D2_Positions/Directions 1.54138969.cdf` (variable Pose `[1, frames,
64]`), silhouettes in `S1/MySegmentsMat/ground_truth_bs/Directions 1.54138969.mat` (HDF5,
a cell Masks of `[W, H]` a frame). `kpd convert` cuts the videos into pictures.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kpdiscovery.data.official.release import (
    Clip,
    Part,
    Release,
    Table,
    every,
    extent,
    need,
)
from kpdiscovery.types import UserError

_TRAINED, _TESTED = ('S1', 'S5', 'S6', 'S7', 'S8', 'S9'), ('S11',)
_ACTIVITIES = ('Directions', 'Discussion', 'Posing', 'Waiting', 'Greeting', 'Walking')
_STEPS = {'train': 50, 'test': 100}  # Every so many frames.
_JOINTS = 32
# (left, right) joints: hips and arms change sides together, and so do the legs.
_UPPER = ((6, 1), *zip(range(16, 24), range(24, 32), strict=True))
_LEGS = tuple(zip(range(7, 11), range(2, 6), strict=True))
_MARGIN = 20  # Pixels around the joints that still show the person; own choice.


def table(root: Path, *, white: bool = False) -> Table:
    """Frames of all videos as `clips` names them, with joints in their pixels.

    Unless `white`, whose protocol does so when it measures, left and right are as
    [mallis-thesis] has them (`sided`).
    """
    rows = [(clip, split, _joints(path)) for path, split in _videos(root)
            for clip in [_clip(root, path, split, white)]]  # fmt: skip
    if not rows:
        raise UserError(f'{root}: no joints of the six activities')
    points = np.concatenate([xy[list(clip.frames)] for clip, _, xy in rows])
    points = points if white else sided(points)
    counts = [len(clip.frames) for clip, *_ in rows]
    grown = np.array([-_MARGIN, -_MARGIN, _MARGIN, _MARGIN])
    return {
        'files': np.array([name for clip, *_ in rows for name in clip.names]),
        'keypoints': points,
        'boxes': extent(points, np.isfinite(points).all(-1)) + grown,
        'split': np.repeat([split for _, split, _ in rows], counts),
        'video': np.repeat(np.arange(len(rows)), counts),
    }


def sided(points: np.ndarray) -> np.ndarray:
    """Joints `[N, 32, 2]` of which left and right change over where a person is turned.

    Hips and arms where the right hip is right of the left one in the picture, legs where
    the right knee is right of the left one.
    """
    found = points.copy()
    for pairs, (left, right) in ((_UPPER, _UPPER[0]), (_LEGS, _LEGS[0])):
        turned = points[:, right, 0] > points[:, left, 0]
        one, two = (np.array(side) for side in zip(*pairs, strict=True))
        found[np.ix_(turned, one)] = points[np.ix_(turned, two)]
        found[np.ix_(turned, two)] = points[np.ix_(turned, one)]
    return found


def clips(root: Path, *, white: bool = False) -> list[Clip]:
    """The frames that are to be cut out."""
    return [_clip(root, path, split, white) for path, split in _videos(root)]


def silhouettes(path: Path, frames: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Where the person is, bool `[H, W]`, in the given frames.

    Raises:
        UserError: no such file, h5py is not installed, or it is another file.
    """
    try:
        import h5py
    except ImportError:
        raise UserError(
            "silhouettes are HDF5 files: pip install 'kpdiscovery[formats]'"
        ) from None
    try:
        with h5py.File(path) as file:
            masks: Any = file['Masks']
            for frame in frames:
                yield np.asarray(file[np.ravel(masks)[frame]], bool).T
    except (OSError, KeyError, IndexError, ValueError, TypeError) as error:
        raise UserError(f'{path}: cannot be read as silhouettes ({error})') from error


def _videos(root) -> Iterator[tuple[Path, str]]:
    """The files of joints of the six activities, and the split of each."""
    for subjects, split in ((_TRAINED, 'train'), (_TESTED, 'test')):
        for subject in subjects:
            place = need(root, f'{subject}/MyPoseFeatures/D2_Positions')
            for path in sorted(place.glob('*.cdf')):
                if path.name.split('.')[0].split(' ')[0] in _ACTIVITIES:
                    yield path, split


def _clip(root, path, split, white):
    subject, name = path.parents[2], path.stem
    frames = every(len(_joints(path)), _STEPS[split])
    return Clip(
        subject / 'Videos' / f'{name}.mp4',
        frames,
        tuple(f'{subject.name}/{name}/{frame:06}.jpg' for frame in frames),
        subject / 'MySegmentsMat/ground_truth_bs' / f'{name}.mat' if white else None,
    )


@functools.lru_cache(16)
def _joints(path) -> np.ndarray:
    """Places of the joints, `[frames, 32, 2]`."""
    try:
        import cdflib
    except ImportError:
        raise UserError(
            "joints are CDF files: pip install 'kpdiscovery[formats]'"
        ) from None
    try:
        values = np.asarray(cdflib.CDF(str(path)).varget('Pose'), float)
    except Exception as error:  # A damaged file raises any type at all.
        raise UserError(f'{path}: cannot be read as CDF ({error})') from error
    return values.reshape(-1, _JOINTS, 2)


def _release(name, title, white) -> Release:
    one = _TRAINED[0]
    silhouettes_part = Part(
        f'{one}/MySegmentsMat/ground_truth_bs', 'silhouettes, the same', white
    )
    return Release(
        name=name,
        title=title,
        origin='Human3.6M page of the Institute of Mathematics, Romanian Academy; on '
        'request',
        licence='academic use only, by agreement; pictures must not be passed on',
        parts=(
            *(Part(f'{s}/MyPoseFeatures/D2_Positions', 'joints, a .cdf a video')
              for s in (*_TRAINED, *_TESTED)),
            *(Part(f'{s}/Videos', 'videos') for s in (*_TRAINED, *_TESTED)),
            silhouettes_part,
        ),
        derived=(
            f'six activities: {", ".join(_ACTIVITIES)}',
            'train: every 50th frame of six subjects, test: every 100th of S11',
            'boxes: the extent of the 32 joints and 20 pixels around',
            'the ground becomes white by the silhouettes' if white else
            'left and right joints change over where a person is turned',
        ),
        table=functools.partial(table, white=white),
        counts={'train': 48_240, 'test': 2_760},
        clips=functools.partial(clips, white=white),
    )  # fmt: skip


RELEASES = (
    _release('h36m', 'Human3.6M: 32 joints, the room left in', False),
    _release('h36m_white', 'Human3.6M: 32 joints, on white', True),
)

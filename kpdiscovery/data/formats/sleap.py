"""Analysis files of SLEAP (.h5): tracked points of a video, read with h5py.

Source: the documentation of SLEAP. `tracks` `[tracks, 2, nodes, frames]`, NaN where
nothing was found, `node_names` `[nodes]`, `video_path`.
"""

from __future__ import annotations

import os
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from kpdiscovery.data.files import videos
from kpdiscovery.data.formats import frames
from kpdiscovery.types import UserError

Table = dict[str, np.ndarray]


def read(path: Path) -> tuple[Path, Table]:
    """A folder of the frames that have points, cut from the video, and the points.

    `keypoints` `[N, nodes, 2]` of one track, else `[N, tracks, nodes, 2]`.

    Raises:
        UserError: no h5py, not such a file, or its video is neither where it says nor
            beside it; a .slp, with the command that exports it.
    """
    if path.suffix.lower() == '.slp':
        raise UserError(
            f'{path}: of SLEAP the analysis file is read: export it there (File > Export '
            'Analysis HDF5), or with `pip install sleap-io` in an environment of its own '
            f'and `sio convert {path} -o {path.with_suffix(".analysis.h5")} '
            '--to analysis_h5`'
        )
    tracks, names, video = _arrays(path)
    xy = tracks.transpose(3, 0, 2, 1)  # [frames, tracks, nodes, 2]
    numbers = np.flatnonzero(np.isfinite(xy).all(axis=-1).any(axis=(1, 2)))
    if not len(numbers):
        raise UserError(f'{path}: no frame has points')
    root, files = frames.cut_numbers(_video(path, video), numbers.tolist())
    found = xy[numbers]
    return root, {
        'files': np.array(files),
        'keypoints': found[:, 0] if found.shape[1] == 1 else found,
        'keypoint_names': np.array(names),
        'video': np.zeros(len(files), int),
    }


def _arrays(path):
    try:
        import h5py
    except ImportError:
        raise UserError(
            f"{path}: .h5 files are read with h5py: pip install 'kpdiscovery[formats]'"
        ) from None
    try:
        with h5py.File(path) as file:
            if 'df_with_missing' in file:
                raise UserError(
                    f'{path}: tables of pandas hold pickles and are not read: '
                    'give the .csv that DeepLabCut writes beside it'
                )
            tracks: Any = file['tracks']
            values = np.asarray(tracks, float)
            names = [_text(name) for name in np.asarray(file['node_names']).ravel()]
            video = _text(np.asarray(file['video_path'])[()])
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise UserError(f'{path}: not an analysis file of SLEAP ({error})') from error
    if values.ndim != 4 or values.shape[1:3] != (2, len(names)):
        raise UserError(
            f'{path}: tracks must be [tracks, 2, {len(names)}, frames], got {values.shape}'
        )
    return values, names, video


def _text(value):
    return value.decode('utf-8', 'replace') if isinstance(value, bytes) else str(value)


def _video(path, told):
    """The video: where the file says, seen from there, or beside it."""
    name = PureWindowsPath(told).name  # Splits at / and \\ alike.
    for place in (path.parent / told, path.parent / name):
        if os.path.isfile(place) and videos.is_video(place):
            return place
    raise UserError(
        f'{path}: its video {told or "(none named)"} is not there or beside it'
    )

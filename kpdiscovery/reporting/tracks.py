"""Landmarks of the frames of a video, smoothed in time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from kpdiscovery.data.files.pictures import by_value
from kpdiscovery.reporting.annotations import Found


def by_folder(found: Sequence[Found]) -> dict[str, list[int]]:
    """Places in `found` of the pictures of each folder: the frames of one video, in the
    order of the numbers in their names."""
    groups: dict[str, list[int]] = {}
    for place, one in enumerate(found):
        groups.setdefault(one.file.rpartition('/')[0], []).append(place)
    in_time = lambda place: by_value(found[place].file)
    return {name: sorted(places, key=in_time) for name, places in groups.items()}


def smooth(found: Sequence[Found], frames: int) -> list[Found]:
    """Every landmark at the median of its places in `frames` frames around each frame.

    The pictures of a folder, by the numbers in their names, are the frames of one video, and
    keypoint k is the same landmark in all of them. A landmark that does not count in a
    frame stays as it is there and has no part in the medians of others; near the ends of
    a video fewer frames are taken.

    Args:
        frames: odd, at least 1 (nothing changes).

    Raises:
        ValueError: `frames` is even or below 1.
    """
    if frames < 1 or frames % 2 == 0:
        raise ValueError(f'frames must be odd and at least 1, got {frames}')
    changed = list(found)
    for places in by_folder(found).values():
        points = [found[place].keypoints for place in places]
        xy = np.stack([np.asarray(one.xy, np.float32) for one in points])
        valid = np.stack([np.asarray(one.valid) for one in points])
        moved = _median(xy, valid & np.isfinite(xy).all(-1), frames)
        for place, one, own in zip(places, points, moved, strict=True):
            keypoints = dataclasses.replace(one, xy=own)
            changed[place] = found[place]._replace(keypoints=keypoints)
    return changed


def _median(xy, there, frames):
    """`[F, K, 2]` with the medians of windows where `there` `[F, K]` is True."""
    known = np.where(there[..., None], xy, np.nan)
    ends = [(frames // 2, frames // 2), (0, 0), (0, 0)]
    padded = np.pad(known, ends, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, frames, axis=0)
    moved = xy.copy()
    moved[there] = np.nanmedian(windows[there], axis=-1)
    return moved

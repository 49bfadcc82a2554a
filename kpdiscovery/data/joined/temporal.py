"""Temporal pairs of video frames: each row with a later frame and the flow to it."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Any

import numpy as np

from kpdiscovery.data.files import pictures
from kpdiscovery.data.joined.classical import opencv
from kpdiscovery.types import Row, Source, UserError

_NEEDED_BY = 'optical flow (data.temporal_gap)'


class Temporal:
    """The rows of a source, each with a later one and where its pixels went.

    Rows gain `later` uint8 `[H, W, 3]` and `flow` float32 `[H, W, 2]`: what is at pixel
    p of `image` is at p + flow[p] of `later`. A row that is its own later one does not
    move. The flow is found anew each time a row is read: it would fill the memory.

    Args:
        source: N rows.
        later: `[N]` the row that comes later.

    Attributes:
        truth: the source's.
    """

    def __init__(self, source: Source, later: np.ndarray):
        self.source, self.later, self.truth = source, later, source.truth

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Row:
        row, there = self.source[index], int(self.later[index])
        image = row['image']
        if there == index:
            still = np.zeros((*image.shape[:2], 2), np.float32)
            return {**row, 'later': image, 'flow': still}
        later = self.source[there]['image']
        return {**row, 'later': later, 'flow': farneback(image, later)}


def prepare(source: Source, data: Any) -> Source | Temporal:
    """The training split with the temporal pairs that a config's `data` section asks for.

    `data.temporal_gap` is how many frames later the later one is, counted among the
    pictures of the split; 0: the source as it is. A sequence is what has one number in
    `video` of the annotations, without that what is in one directory.

    Raises:
        UserError: a negative gap, no folder of pictures, one without any pair, or
            OpenCV is needed and missing.
    """
    gap = data.get('temporal_gap', 0)
    if not gap:
        return source
    folder: Any = source  # The one that has files, whatever is joined or left out.
    if gap < 0 or not hasattr(folder, 'files'):
        raise UserError(
            'data.temporal_gap is a number of frames in a folder of video frames: got '
            f'{gap} of source {data["source"]!r}'
        )
    opencv(_NEEDED_BY)  # Now, not in the first batch.
    later = later_rows(folder.files, folder.videos, gap)
    if (later == np.arange(len(later))).all():
        raise UserError(f'data.temporal_gap: no video has {gap + 1} frames or more')
    return Temporal(source, later)


def later_rows(files: Sequence[str], videos: np.ndarray | None, gap: int) -> np.ndarray:
    """The row `gap` frames later in the same video, else the row itself: `[N]`.

    Args:
        files: relative names; within a video they order the frames, numbers in them by
            value, so that `frame10` comes after `frame9`.
        videos: `[N]` which video each is of; None: its directory.
    """
    of = list(map(posixpath.dirname, files)) if videos is None else videos.tolist()
    order = sorted(
        range(len(files)), key=lambda row: (of[row], pictures.by_value(files[row]))
    )
    later = np.arange(len(files))
    for here, there in zip(order, order[gap:], strict=False):
        if of[here] == of[there]:
            later[here] = there
    return later


def farneback(image: np.ndarray, later: np.ndarray) -> np.ndarray:
    """Dense flow float32 `[H, W, 2]` in pixels between uint8 `[H, W, 3]` pictures.

    OpenCV's usual settings ([mallis-thesis] states none). Source: [farneback2003].

    Raises:
        UserError: OpenCV is not installed.
    """
    cv2 = opencv(_NEEDED_BY)
    gray = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (image, later)]
    return cv2.calcOpticalFlowFarneback(
        *gray,
        None,
        pyr_scale=0.5,
        levels=3,
        winsize=15,
        iterations=3,
        poly_n=5,
        poly_sigma=1.2,
        flags=0,
    )

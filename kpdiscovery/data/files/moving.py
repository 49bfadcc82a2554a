"""Boxes of what moves before fixed cameras, `data.resize='moving:0.1'`.

The ground is the median of a camera's pictures, and the box is that of the largest
component that differs from it. So a thing that rests in more than half of them is ground,
and of several things one is found.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

from kpdiscovery.data.annotations.npz import Annotations
from kpdiscovery.data.files.fitted import in_threads
from kpdiscovery.data.files.reading import Picture
from kpdiscovery.types import UserError

SIDE = (
    320  # Pixels of the longer side in which pictures are compared, if they have them.
)
_MOST, _LEAST = 100, 5  # Pictures of a camera that tell its ground.
_BLUR = 2 / SIDE  # Of the longer side: noise of single pixels is no movement.
_CLOSE = 3 / SIDE  # Parts so near to one another are one thing.
_NOISES, _DARK = 6, 12  # Differs: by so many typical differences, and so much of 255.
_log = logging.getLogger(__name__)
Read = Callable[[int], Picture]


def cameras(notes: Annotations) -> list[str]:
    """Of which camera each picture is: of its video, or else of its directory."""
    places = [os.path.dirname(name) for name in notes.files]
    if notes.videos is not None:
        places = [f'video {number}' for number in notes.videos]
    if notes.mirrored is None:
        return places
    return [f'{place} mirrored' if mirrored else place
            for place, mirrored in zip(places, notes.mirrored, strict=True)]  # fmt: skip


def boxes(
    read: Read, cameras: Sequence[str], rows: Sequence[int]
) -> dict[int, np.ndarray]:
    """Box `[4]` (x0, y0, x1, y1) of each row, original pixels, edges at halves.

    Rows in which nothing moves, or that cannot be read, have none.

    Args:
        read: the picture of a row.
        cameras: of which one each of all pictures is, those of other splits too.
        rows: those that are wanted.

    Raises:
        UserError: a camera has too few pictures to tell its ground.
    """
    found: dict[int, np.ndarray] = {}
    for camera in dict.fromkeys(cameras[row] for row in rows):
        mine = [row for row, other in enumerate(cameras) if other == camera]
        wanted = [row for row in rows if cameras[row] == camera]
        found |= _of_camera(read, camera, mine, wanted)
    if still := len(rows) - len(found):
        _log.warning('nothing moves in %d of %d pictures: kept whole', still, len(rows))
    return found


def _of_camera(read, camera, mine, wanted):
    """Pictures of another size than most have no box: their ground is not known."""
    places = np.linspace(0, len(mine) - 1, min(len(mine), _MOST)).round().astype(int)
    seen = [one for one in in_threads(_small(read), [mine[i] for i in places])
            if one is not None]  # fmt: skip
    shapes = [one.shape for one in seen]
    shape = max(shapes, key=shapes.count, default=None)
    seen = [one for one in seen if one.shape == shape]
    if len(seen) < _LEAST:
        raise UserError(
            f"data.resize='moving': {camera or 'the folder'} has {len(seen)} pictures of "
            f'one size: give at least {_LEAST} frames of a camera, or pad them'
        )
    ground = np.median(seen, axis=0)
    noise = np.median([_difference(one, ground) for one in seen])
    least = max(_DARK, _NOISES * noise)

    def look(row):
        picture = _attempt(read, row)
        small = None if picture is None else _shrunk(picture)
        if small is None or small.shape != shape:
            return None
        edges = largest(_difference(small, ground), least)
        size = np.array(picture.original) / small.shape[1::-1]
        return None if edges is None else edges * np.tile(size, 2) - 0.5

    pairs = zip(wanted, in_threads(look, wanted), strict=True)
    return {row: box for row, box in pairs if box is not None}


def largest(difference: np.ndarray, least: float) -> np.ndarray | None:
    """Edges (x0, y0, x1, y1) of the component with most difference; None if there is none.

    Args:
        difference: `[h, w]` from the ground.
        least: pixels below it are ground.
    """
    near = max(1, round(_CLOSE * max(difference.shape)))
    moves = ndimage.binary_closing(difference > least, iterations=near)
    parts, count = ndimage.label(moves)
    if not count:
        return None
    weights = ndimage.sum_labels(difference, parts, np.arange(1, count + 1))
    y, x = ndimage.find_objects(parts)[int(weights.argmax())]
    return np.array([x.start, y.start, x.stop, y.stop], np.float64)


def _difference(image, ground):
    apart = np.abs(image - ground).max(axis=-1)
    return ndimage.gaussian_filter(apart, _BLUR * max(apart.shape))


def _small(read):
    def look(row):
        picture = _attempt(read, row)
        return None if picture is None else _shrunk(picture)

    return look


def _attempt(read, row):
    try:
        return read(row)
    except UserError:  # Told with all that cannot be read.
        return None


def _shrunk(picture: Picture) -> np.ndarray:
    image = picture.image
    scale = min(1, SIDE / max(picture.original))
    width, height = (max(1, round(side * scale)) for side in picture.original)
    if image.size != (width, height):
        image = image.resize(
            (width, height), Image.Resampling.BILINEAR, reducing_gap=2.0
        )
    return np.asarray(image, np.float32)

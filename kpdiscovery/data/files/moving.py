"""Boxes of what moves before fixed cameras, `data.resize='moving:0.1'`.

The ground is the median of a camera's pictures, and the box is that of the component that
differs most from it. So a thing that rests in more than half of them is ground, and of
several things one is found. What flickers in one place, as a clock does, counts little.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

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
_STILL = 0.5  # Of their longer side: boxes that wander less are of no animal.
_log = logging.getLogger(__name__)
Read = Callable[[int], Picture]


class Ground(NamedTuple):
    """What a camera sees where nothing moves."""

    image: np.ndarray  # [h, w, 3] of 255.
    least: float  # Differences below are none.
    rare: (
        np.ndarray
    )  # [h, w] in 0..1: 1 where hardly a picture differs, 0 where half do.


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

    Rows that cannot be read, in which nothing moves, or whose camera has too few pictures
    of their size to tell its ground have none; the last two are told.

    Args:
        read: the picture of a row.
        cameras: of which one each of all pictures is, those of other splits too.
        rows: those that are wanted.

    Raises:
        UserError: no camera has enough pictures.
    """
    found: dict[int, np.ndarray] = {}
    still: list[int] = []
    unknown: list[int] = []
    for camera in dict.fromkeys(cameras[row] for row in rows):
        mine = [row for row, other in enumerate(cameras) if other == camera]
        ground = ground_of(read, mine)
        for row, box in _seen(read, ground, [r for r in rows if cameras[r] == camera]):
            if isinstance(box, np.ndarray):
                found[row] = box
            elif box:
                (still if box == 'still' else unknown).append(row)
    if unknown and not found and not still:
        raise UserError(
            f"data.resize='moving': no camera has {_LEAST} pictures of one size, which tell "
            'what stays: give more of its frames, or keep whole pictures '
            '(--config.data.resize=pad)'
        )
    _tell(found, still, unknown, len(rows))
    return found


def ground_of(read: Read, rows: Sequence[int]) -> Ground | None:
    """Of one camera's pictures, those of the most frequent size; None of too few."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), _MOST)).round().astype(int)
    small = lambda one: None if one is None else _shrunk(one)  # Large ones at once: no.
    found = in_threads(
        lambda row: small(_attempt(read, row)), [rows[i] for i in places]
    )
    seen = [one for one in found if one is not None]
    shapes = [one.shape for one in seen]
    shape = max(shapes, key=shapes.count, default=None)
    seen = [one for one in seen if one.shape == shape]
    if len(seen) < _LEAST:
        return None
    image = np.median(seen, axis=0)
    apart = [_difference(one, image) for one in seen]
    least = max(_DARK, _NOISES * np.median(apart))
    often = np.mean([one > least for one in apart], axis=0)
    return Ground(image, float(least), np.clip(1 - 2 * often, 0, 1) ** 2)


def largest(
    difference: np.ndarray, least: float, rare: np.ndarray | float = 1.0
) -> np.ndarray | None:
    """Edges (x0, y0, x1, y1) of the component with most difference; None if there is none.

    Args:
        difference: `[h, w]` from the ground.
        least: pixels below it are ground.
        rare: what the difference of each pixel counts.
    """
    near = max(1, round(_CLOSE * max(difference.shape)))
    there = np.pad(difference > least, near, mode='edge')  # Closing eats at borders.
    moves = ndimage.binary_closing(there, iterations=near)[near:-near, near:-near]
    parts, count = ndimage.label(moves)
    if not count:
        return None
    weights = ndimage.sum_labels(difference * rare, parts, np.arange(1, count + 1))
    y, x = ndimage.find_objects(parts)[int(weights.argmax())]
    return np.array([x.start, y.start, x.stop, y.stop], np.float64)


def _seen(read, ground, rows):
    """(row, its box or, in a word, why there is none; '' of what cannot be read)."""

    def look(row):
        if (picture := _attempt(read, row)) is None:
            return ''
        small = _shrunk(picture)
        if ground is None or small.shape != ground.image.shape:
            return 'unknown'
        apart = _difference(small, ground.image)
        edges = largest(apart, ground.least, ground.rare)
        size = np.array(picture.original) / small.shape[1::-1]
        return 'still' if edges is None else edges * np.tile(size, 2) - 0.5

    return zip(rows, in_threads(look, rows), strict=True)


def _tell(found, still, unknown, count):
    """One line each of what has no box, and of boxes that are always in one place."""
    if still:
        _log.warning(
            'nothing moves in %d of %d pictures: kept whole', len(still), count
        )
    if unknown:
        _log.warning(
            '%d of %d pictures are kept whole: fewer than %d of their camera and size, so '
            'that what stays is not known', len(unknown), count, _LEAST,
        )  # fmt: skip
    if len(found) < _LEAST:
        return
    every = np.stack(list(found.values()))
    middle = (every[:, :2] + every[:, 2:]) / 2
    wander = np.quantile(np.abs(middle - np.median(middle, axis=0)), 0.9)
    if wander < _STILL * np.median((every[:, 2:] - every[:, :2]).max(axis=1)):
        _log.warning(
            'what moves is always in one place, about (%.0f, %.0f): is it a clock or a '
            'lamp? Black it out, or cut pictures to boxes of your own (data.resize=box)',
            *np.median(middle, axis=0),
        )


def _difference(image, ground):
    apart = np.abs(image - ground).max(axis=-1)
    return ndimage.gaussian_filter(apart, _BLUR * max(apart.shape))


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

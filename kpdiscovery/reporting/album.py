"""Pictures of all splits with their points, as small as one file must be to be sent.

A page's scripts (`web/`) draw them: what they read is one JSON text.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from kpdiscovery.reporting import drawing
from kpdiscovery.reporting.seen import MANY, Seen, annotated, row_of
from kpdiscovery.types import Keypoints

PICTURE_BYTES = 18_000_000  # Of all pictures, as text.
ALBUM_BYTES = 24_000_000  # With their points and names.
_POINTS = 150_000  # Of all pictures.
_SIDES = (320, 256, 192, 160, 128, 96, 64)  # Pixels of an embedded one's longer side.
_CRISP = 64  # Pixels: up to this every single one can be seen.
_QUALITY = 78
_PATCH = 0.25  # The side of a patch, of the picture's longer one.
_SAMPLE = 16  # Pictures that the size of all is guessed from.

Shot = dict[str, Any]  # A picture and its points, as the scripts read it.


class Limits(NamedTuple):
    """What one picture may take."""

    side: int  # Pixels, the longer one.
    points: int
    exact: bool = False  # Every pixel as it is.


class Album(NamedTuple):
    """All that is drawn.

    `word` says what a label is (landmark, prototype, part), `error` which error the
    pictures have, '' if none could be measured.
    """

    word: str
    error: str
    shots: Sequence[Shot]
    left_out: int = 0  # Pictures that found no room.

    @property
    def annotated(self) -> bool:
        return any('truth' in shot for shot in self.shots)

    @property
    def crowded(self) -> bool:
        """Whether a picture has more than a dozen points."""
        return any(len(shot['points']) > 4 * MANY for shot in self.shots)

    @property
    def splits(self) -> list[str]:
        return list(dict.fromkeys(shot['split'] for shot in self.shots))


def limits(images: np.ndarray, total: int) -> Limits:
    """The best at which `total` pictures such as these fit.

    Small ones stay as they are, if all of them can; then the largest side counts.
    """
    sample = images[_spread(len(images), _SAMPLE)]
    points = max(MANY, _POINTS // max(total, 1))
    ways = [Limits(side, points) for side in _SIDES]
    if max(images.shape[1:3]) <= _CRISP:
        ways.insert(0, Limits(_CRISP, points, exact=True))
    size = lambda way: np.mean([len(thumbnail(image, way)) for image in sample])
    fit = (way for way in ways if size(way) * total <= PICTURE_BYTES)
    return next(fit, ways[-1])


def shots(seen: Seen, errors: np.ndarray | None, most: Limits) -> list[Shot]:
    """Pictures as the scripts read them; points surest first, in pixels of the picture.

    Args:
        errors: `[N]`, NaN where one was not measured, infinite where nothing was found.
    """
    return [_shot(seen, index, errors, most) for index in range(len(seen.images))]


def fitted(word: str, error: str, found: Sequence[Shot]) -> Album:
    """An album of as many pictures as there is room for, evenly chosen."""
    size = sum(len(json.dumps(shot)) for shot in found)
    room = int(len(found) * min(1, ALBUM_BYTES / max(size, 1)))
    chosen = [found[i] for i in _spread(len(found), room)]
    return Album(word, error, chosen, len(found) - room)


def text(album: Album) -> str:
    """JSON that is safe inside a script element."""
    content = {
        'word': album.word,
        'error': album.error,
        'patch': _PATCH,
        'dozen': MANY,
        'colors': [drawing.css(label) for label in range(len(drawing.palette()))],
        'shots': album.shots,
    }
    return json.dumps(content, separators=(',', ':')).replace('<', '\\u003c')


def thumbnail(image: np.ndarray, way: Limits) -> str:
    """A picture as a WebP URI, shrunk to its side."""
    canvas, out = Image.fromarray(drawing.as_uint8(image)), io.BytesIO()
    canvas.thumbnail((way.side, way.side))
    canvas.save(out, 'WEBP', quality=_QUALITY, lossless=way.exact)
    return drawing.data_uri(out.getvalue(), 'image/webp')


def _spread(length: int, count: int) -> np.ndarray:
    """`count` of so many numbers, first and last included, evenly spaced."""
    return np.linspace(0, length - 1, count).round().astype(int)


def _shot(seen, index, errors, most) -> Shot:
    image = seen.images[index]
    shot = {
        'split': seen.split,
        'name': seen.names[index],
        'width': image.shape[1],
        'height': image.shape[0],
        'uri': thumbnail(image, most),
        'points': _points(row_of(seen.keypoints, index), most.points),
    }
    if annotated(seen):
        shot['truth'] = _annotated(seen.found.truth, index)
    if errors is not None and not np.isnan(errors[index]):
        error = float(errors[index])
        shot['error'] = round(error, 2) if np.isfinite(error) else None  # For JSON.
    return shot


def _points(one: Keypoints, most: int) -> list[float]:
    """x, y, label, score of each, one after the other."""
    there = one.valid & np.isfinite(one.xy).all(-1)
    order = np.argsort(-np.where(there, one.score, -np.inf), kind='stable')
    return _flat((*one.xy[k], int(one.label[k]), one.score[k])
                 for k in order[: min(there.sum(), most)])  # fmt: skip


def _annotated(truth, index) -> list[float]:
    """x, y of each visible annotated point."""
    xy = truth['keypoints'][index][truth['visible'][index]]
    return _flat(xy[np.isfinite(xy).all(-1)])


def _flat(rows: Iterable[Iterable[float]]) -> list[float]:
    """Numbers of all rows, to a hundredth of a pixel; short where they are whole."""
    rounded = (round(float(value), 2) for row in rows for value in row)
    return [int(value) if value == int(value) else value for value in rounded]

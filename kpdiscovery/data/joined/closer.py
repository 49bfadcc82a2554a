"""Pictures of a source in a size of their own: detectors want more than networks do."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from kpdiscovery.data import resize
from kpdiscovery.data.generated import Generated
from kpdiscovery.data.joined import plain
from kpdiscovery.data.subset import Subset
from kpdiscovery.ops import coordinates
from kpdiscovery.ops import images as image_ops
from kpdiscovery.types import Source

Points = np.ndarray  # [B, P, 2] pixels.


class Seen(NamedTuple):
    """A batch of pictures, and the way back from their pixels to the source's."""

    images: np.ndarray  # uint8 [B, H, W, 3]
    valid: np.ndarray | None  # [B, H, W] bool, where they were padded.
    back: Callable[[Points], Points]


def look(source: Source, side: int) -> Callable[[np.ndarray], Seen]:
    """A function of row numbers `[B]` that gives the pictures in another size.

    Sources that read files read them again, so that a detector sees all the pixels they
    have; pictures of others, drawn ones say, are interpolated.

    Args:
        side: pixels of the shorter side; 0: as the source has them.
    """
    if not side:
        return functools.partial(_as_they_are, source)
    size = source[0]['image'].shape[:2]
    scale = side / min(size)
    wanted = (round(size[0] * scale), round(size[1] * scale))
    again = refitted(source, wanted)
    if again is None:
        return functools.partial(_interpolated, source, wanted)
    return functools.partial(_read_again, source, again)


def refitted(source: Source, size: tuple[int, int]) -> Source | None:
    """The same rows fitted to (H, W) `size`; None of a source that cannot.

    A source can that has a method `resized(size)`.
    """
    base = plain(source)
    if isinstance(base, Subset):
        inner = refitted(base.source, size)
        return None if inner is None else Subset(inner, base.rows)
    own = getattr(base, 'resized', None)
    return None if own is None else own(size)


def _as_they_are(source, rows) -> Seen:
    fields = _fields(source, rows)
    return Seen(fields['image'], fields.get('pixels_valid'), lambda xy: xy)


def _interpolated(source, wanted, rows) -> Seen:
    fields = _fields(source, rows)
    size = fields['image'].shape[1:3]
    images = np.asarray(_resize(fields['image'], wanted))
    valid = fields.get('pixels_valid')
    if valid is not None:
        valid = np.asarray(_resize(255 * valid[..., None].astype(np.uint8), wanted))
        valid = valid[..., 0] > 127
    back = lambda xy: np.asarray(coordinates.resize_points(xy, wanted, size))
    return Seen(images, valid, back)


def _read_again(source, again, rows) -> Seen:
    """Frames say how both were fitted: bars of 'pad' are whole pixels in each."""
    fields = _fields(again, rows)
    here, there = (
        resize.Frame.from_vector(frame[:, None])
        for frame in (fields['frame'], _fields(source, rows)['frame'])
    )
    back = lambda xy: resize.to_fitted(there, resize.to_original(here, xy))
    return Seen(fields['image'], fields.get('pixels_valid'), back)


def _fields(source, rows) -> dict[str, Any]:
    """Stacked, those that are needed of pictures of files."""
    if isinstance(source, Generated):
        return {'image': np.asarray(source.batch(rows)['image'])}
    read = [source[int(row)] for row in rows]
    names = {'image', 'pixels_valid', 'frame'} & set(read[0])
    return {name: np.stack([row[name] for row in read]) for name in names}


@functools.partial(jax.jit, static_argnums=1)
def _resize(images, size):
    larger = image_ops.resize(images.astype('float32'), size)
    return larger.round().clip(0, 255).astype('uint8')

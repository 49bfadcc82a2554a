"""Masks in picture files: light on dark, or numbers of classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kpdiscovery.data.files import reading

IGNORED = 255  # Among numbers: nobody says what the pixel is.
_NEAR = 64  # Of 255: what JPEG may make of the ground's colour.
_MOST = 50  # Numbers of classes above are greys: the least vote of 5 is 51.


class Mask(NamedTuple):
    """Where the object is, and of which pixels nothing is known, `[H0, W0]` bool."""

    object: np.ndarray
    ignored: np.ndarray
    numbers: bool  # It holds numbers of classes.
    dark: bool  # It is read as light on dark, is not black, and has nothing light.


def read_mask(
    path: str | os.PathLike,
    *,
    megapixels: float = reading.MEGAPIXELS,
    ground: Sequence[int] = (),
) -> Mask:
    """The mask in a picture file, upright.

    Light on dark, the object is what `foreground` says; colours count by how light
    they are, transparency is ignored. Numbers of classes (VOC's palettes, greys of at
    most 50 beside 255) make all but 0 the object, and 255 is ignored. With a `ground`
    (R, G, B) the object is what is not of that colour, whatever its own.

    Raises:
        UserError: it cannot be read; names the file.
    """
    if ground:
        return _on_ground(path, np.array(ground), megapixels)
    (values, certain), *_ = reading.decode(path, 'a mask', _values, megapixels)
    others = values[values != IGNORED]
    if certain or 0 < others.max(initial=0) <= _MOST:
        ignored = values == IGNORED
        numbers = bool(others.max(initial=0) > 1 or ignored.any())
        return Mask((values > 0) & ~ignored, ignored, numbers, False)
    light = foreground(values)
    return Mask(
        light, np.zeros_like(light), False, bool(values.any() and not light.any())
    )


def _on_ground(path, ground, megapixels):
    read = lambda image: np.asarray(image.convert('RGB'), np.int32)
    colours, *_ = reading.decode(path, 'a mask', read, megapixels)
    found = np.abs(colours - ground).max(axis=-1) > _NEAR
    return Mask(found, np.zeros_like(found), False, False)


def foreground(grey: np.ndarray) -> np.ndarray:
    """Where uint8 values are above half of full scale: 255, or 1 where none exceeds it."""
    return grey > (127 if grey.max(initial=0) > 1 else 0)


def _values(image):
    """uint8 `[H0, W0]`, and whether these are surely numbers."""
    if image.mode == 'P' and _is_coloured(image):
        return np.asarray(image), True
    return np.asarray(reading.eight_bits(image).convert('L')), False


def _is_coloured(image):
    """Whether the palette begins with black and has colours among the used entries."""
    table = np.array(image.getpalette('RGB'), np.uint8).reshape(-1, 3)
    used = table[np.unique(np.asarray(image)).clip(0, len(table) - 1)]
    return not table[0].any() and (used != used[:, :1]).any()

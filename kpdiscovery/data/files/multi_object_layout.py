"""What Multi-Object Datasets ([kabra2019]) have in each scene, and how to read it.

The first entity of a scene is its ground, the others are objects; `visibility` says which
of them exist. Masks are 0 or 255. Codes of attributes start with 1, since 0 is no object;
Tetrominoes have colours in place of their codes. Which code means which shape or material
is not published. Tetrominoes have 19 shapes, in an order of their own.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from kpdiscovery.data import resize as resize_lib
from kpdiscovery.data.files import tfrecords
from kpdiscovery.data.generated.tetrominoes import RGB
from kpdiscovery.types import UserError


class Layout(NamedTuple):
    """Of a published file; the arrays of a scene are flat in it."""

    image: tuple[int, int]  # (H0, W0) pixels.
    objects: int  # At most, the ground left out.
    scenes: int  # That TUSK reads, the first of them ([jin2022]).
    attributes: Mapping[str, int]  # How many numbers each is.


LAYOUTS = {
    'clevr_with_masks': Layout(
        (240, 320), 10, 70_000, {'shape': 1, 'color': 1, 'size': 1, 'material': 1}
    ),
    'tetrominoes': Layout((35, 35), 3, 60_000, {'shape': 1, 'color': 3}),
}


class Scene(NamedTuple):
    """One, fitted into (H, W), of at most N objects."""

    picture: np.ndarray  # uint8 [H, W, 4]: red, green, blue, object, 0 for the ground.
    present: int  # Objects, whether or not they are in the picture.
    attributes: dict[str, np.ndarray]  # int8 [N] from 0; -1 where there is no object.


def decoded(
    path: str | os.PathLike, name: str, size: tuple[int, int], resize: str, length: int
) -> Iterator[Scene]:
    """The first `length` scenes of a file of this `name`, by nearest pixels.

    Raises:
        UserError: not such a file, or damaged.
    """
    layout = LAYOUTS[name]
    pixels = _pixels(layout.image, size, resize)
    contents = itertools.islice(tfrecords.records(path), length)
    options = {'desc': 'reading scenes', 'unit': 'scene', 'disable': None}
    number = -1
    for number, content in enumerate(tqdm(contents, total=length, **options)):
        try:
            scene = _scene(tfrecords.example(content), layout, pixels)
        except UserError as error:
            told = f'{path}, scene {number}, read as {name}: {error}'
            raise UserError(told) from None
        yield scene
    if number < 0:
        raise UserError(f'{path} has no scenes')


def _pixels(image, size, resize) -> np.ndarray:
    """`[H, W]` number of the original pixel that each fitted one is, -1 on bars."""
    numbers = np.arange(math.prod(image)).reshape(image)
    frame = resize_lib.fit_frame(image, size, resize)
    return resize_lib.take_labels(numbers, frame, size, fill=-1)


def _scene(features, layout, pixels) -> Scene:
    entities, area = layout.objects + 1, math.prod(layout.image)
    image = _feature(features, 'image', (area, 3))
    mask = _feature(features, 'mask', (entities, area))
    there = _feature(features, 'visibility', (entities,)) > 0.5
    objects = 1 + np.flatnonzero(there[1:])
    owner = _owner(mask, objects, pixels)
    picture = np.concatenate([image[pixels], owner[..., None]], axis=-1, dtype=np.uint8)
    picture[pixels < 0] = 0
    attributes = {
        name: _codes(_feature(features, name, (entities, width)), objects)
        for name, width in layout.attributes.items()
    }
    return Scene(picture, len(objects), attributes)


def _feature(features, name, shape) -> np.ndarray:
    """A feature as an array of numbers of this shape."""
    found = features.get(name, np.zeros(0))
    if found.dtype == object or found.size != math.prod(shape):
        raise UserError(
            f"wanted {math.prod(shape)} numbers of '{name}', got {found.size}"
        )
    return found.reshape(shape)


def _owner(mask, objects, pixels) -> np.ndarray:
    """uint8 `[H, W]`: which of the objects has the pixel, counted from 1; 0: none."""
    mine = mask[np.append(0, objects)[:, None, None], pixels] > 127
    mine[0] = False  # The ground is what no object has.
    return mine.argmax(axis=0).astype(np.uint8)


def _codes(values, objects) -> np.ndarray:
    """int8 `[N]` of the objects; -1: none, or a colour that Tetrominoes do not have."""
    if values.shape[1] == 1:
        codes = np.clip(np.nan_to_num(values[:, 0]), 0, 127).astype(int) - 1
    else:
        same = ((values > 0.5)[:, None] == RGB.astype(bool)).all(axis=-1)  # [N + 1, 6]
        codes = np.where(same.any(axis=1), same.argmax(axis=1), -1)
    found = np.full(len(codes) - 1, -1, np.int8)
    found[: len(objects)] = codes[objects]
    return found

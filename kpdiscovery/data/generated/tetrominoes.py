"""Multi-object Tetrominoes: three coloured tetrominoes on a black 35x35 canvas.

A generator with the statistics of the published set ([kabra2019], multi-object
datasets): blocks of 5 px, six saturated colours, objects that neither overlap nor leave
the picture. [jin2022] (section 4.2) counts 19 shapes, the fixed one-sided tetrominoes with
their rotations.
"""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery.data.generated import Generated
from kpdiscovery.types import Row

COLORS = ('red', 'green', 'blue', 'yellow', 'magenta', 'cyan')
RGB = np.array(
    [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1)], np.uint8
)
SHAPES = ('I', 'I90', 'O', 'T', 'T90', 'T180', 'T270', 'S', 'S90', 'Z', 'Z90',
          'L', 'L90', 'L180', 'L270', 'J', 'J90', 'J180', 'J270')  # fmt: skip
_LETTERS = {
    'I': ['####'],
    'O': ['##', '##'],
    'T': ['###', '.#.'],
    'S': ['.##', '##.'],
    'Z': ['##.', '.##'],
    'L': ['#.', '#.', '##'],
    'J': ['.#', '.#', '##'],
}
# Layouts clash in up to 9 of 10 tries: 64 would leave one overlap in 10,000 scenes.
_SIZE, _BLOCK, _OBJECTS, _TRIES = 35, 5, 3, 256


def _blocks(name: str) -> np.ndarray:
    """Block offsets (x, y) of a shape, in blocks from its top left corner, `[4, 2]`."""
    picture = np.array([list(row) for row in _LETTERS[name[0]]]) == '#'
    turned = np.rot90(picture, k=-int(name[1:] or 0) // 90)
    y, x = np.nonzero(turned)
    return np.stack([x, y], axis=-1)


BLOCKS = np.stack([_blocks(name) for name in SHAPES])  # [19, 4, 2]
# The published card counts 17 shapes without saying which two are missing: an arbitrary
# choice leaves out the turned I and S.
SEVENTEEN = np.array([i for i, name in enumerate(SHAPES) if name not in ('I90', 'S90')])


def draw(tables, key: jax.Array, *, size: int = 35) -> Row:
    """One scene; `tables['shapes']` lists the shapes that may appear.

    Returns:
        `image` uint8 `[size, size, 3]` (35 px scaled by nearest neighbour), `instances`
        int32 `[size, size]`, `attributes` shape (0..18) and color (0..5) `[3]`,
        `boxes` `[3, 4]` and `boxes_valid`.
    """
    shape_key, color_key, place_key = jax.random.split(key, 3)
    choice = jax.random.randint(shape_key, (_OBJECTS,), 0, tables['shapes'].shape[0])
    shape = tables['shapes'][choice]
    color = jax.random.randint(color_key, (_OBJECTS,), 0, len(COLORS))
    corners = _place(place_key, jnp.asarray(BLOCKS)[shape])  # [3, 4, 2]
    instances = _paint(corners, size)
    palette = jnp.concatenate(
        [jnp.zeros((1, 3), jnp.uint8), 255 * jnp.asarray(RGB)[color]]
    )
    boxes = _boxes(corners, size)
    return {
        'image': palette[instances + 1],
        'instances': instances,
        'attributes': {'shape': shape, 'color': color},
        'boxes': boxes,
        'boxes_valid': jnp.ones(_OBJECTS, bool),
    }


def tetrominoes(
    *, split: str, size: int = 35, shapes: int = 19, length: int | None = None
) -> Generated:
    """The data set: TUSK's split of 50,000 train and 10,000 test scenes."""
    if shapes not in (17, 19):
        raise ValueError(f'shapes must be 17 or 19, got {shapes}')
    seed, default = {
        'train': (0, 50_000),
        'validation': (1, 1_000),
        'test': (2, 10_000),
    }[split]
    allowed = SEVENTEEN if shapes == 17 else np.arange(19)
    tables = {'shapes': jnp.asarray(allowed, jnp.int32)}
    return Generated(_sized(size), tables, seed=seed, length=length or default)


@functools.cache  # One function a size, so that equal sources share one executable.
def _sized(size: int):
    return functools.partial(draw, size=size)


def _place(key, blocks):
    """Top left pixels `[3, 4, 2]` of every block: uniform over overlap-free layouts."""
    extent = _BLOCK * (blocks.max(axis=1) + 1)  # [3, 2]
    u = jax.random.uniform(key, (_TRIES, _OBJECTS, 2))
    origin = jnp.floor(u * (_SIZE - extent + 1)[None]).astype(jnp.int32)
    corners = origin[:, :, None] + _BLOCK * blocks[None]  # [tries, 3, 4, 2]
    clash = jnp.zeros(_TRIES, bool)
    for i, j in itertools.combinations(range(_OBJECTS), 2):
        gap = jnp.abs(corners[:, i, :, None] - corners[:, j, None])  # [tries, 4, 4, 2]
        clash |= (gap < _BLOCK).all(-1).any((-1, -2))
    return corners[jnp.argmin(clash)]  # The first layout without a clash.


def _paint(corners, size):
    """Object number of every pixel, -1 on the ground."""
    centre = jnp.floor((jnp.arange(size) + 0.5) * _SIZE / size).astype(jnp.int32)
    inside = [
        (centre[None, None] >= corners[..., axis, None])
        & (centre[None, None] < corners[..., axis, None] + _BLOCK)
        for axis in (0, 1)
    ]  # Each [3, 4, size]
    cover = (inside[1][..., :, None] & inside[0][..., None, :]).any(axis=1)
    return jnp.where(cover.any(0), jnp.argmax(cover, axis=0), -1).astype(jnp.int32)


def _boxes(corners, size):
    low, high = corners.min(axis=1), corners.max(axis=1) + _BLOCK
    edges = jnp.concatenate([low, high], axis=-1).astype(jnp.float32)
    return edges * (size / _SIZE) - 0.5

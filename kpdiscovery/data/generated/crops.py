"""Drawn pictures cut to their object, as methods that are given boxes see real ones."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from kpdiscovery.data.generated import Generated
from kpdiscovery.ops import coordinates, heatmaps, warps
from kpdiscovery.types import Row, Tree

_LABELS = ('mask', 'parts', 'instances')  # Maps whose values are not to be mixed.
_LOOK = 1.5  # Pictures are drawn this much larger, so that cropping seldom enlarges.


def drawn_size(size: int) -> int:
    """The side to draw at for crops of `size` pixels."""
    return round(_LOOK * size)


def crop_to_object(source: Generated, *, size: int, margin: float) -> Generated:
    """The rows of a generated source, each a square crop around its one object.

    Args:
        source: rows with `boxes` `[1, 4]` and `boxes_valid` `[1]`.
        size: side of the crops in pixels.
        margin: free space on either side of the box, in parts of its longer side.
    """
    draw = _bound(source.draw, size, margin)
    return Generated(draw, source.tables, seed=source.seed, length=len(source))


def crop_row(row: Row, *, size: int, margin: float) -> Row:
    """A row cut to its object; an object that cannot be seen leaves the whole picture.

    `image`, maps, `keypoints`, `visible`, `boxes` and `part_boxes` follow, other fields
    stay. Beyond the border the nearest pixel is repeated; points there are not visible.
    """
    old = row['image'].shape[0]
    box = row['boxes'][0]
    center = (box[:2] + box[2:]) / 2
    side = (box[2:] - box[:2]).max() * (1 + 2 * margin)
    seen = row['boxes_valid'][0]
    center = jnp.where(seen, center, (old - 1) / 2)
    scale = jnp.where(seen, side, old) / size  # Old pixels a new one.
    to_new = lambda xy: (xy - center[None]) / scale + (size - 1) / 2
    grid = coordinates.pixel_grid(size, size).reshape(-1, 2)
    at = (grid - (size - 1) / 2) * scale + center[None]
    new = {'image': _read(row['image'].astype(jnp.float32), at, size)}
    new['image'] = jnp.round(new['image']).astype(jnp.uint8)
    cells = jnp.clip(jnp.round(at), 0, old - 1).astype(jnp.int32)
    for name in set(_LABELS) & set(row):
        new[name] = row[name][cells[:, 1], cells[:, 0]].reshape(size, size)
    new['keypoints'] = to_new(row['keypoints'])
    inside = warps.within(new['keypoints'], (size, size))
    new['visible'] = row['visible'] & inside
    boxes = {'boxes': row['boxes_valid']}
    if 'part_boxes' in row:
        boxes['part_boxes'] = row['part_label'] >= 0
    for name, there in boxes.items():
        corners = to_new(row[name].reshape(-1, 2)).reshape(-1, 4)
        new[name] = jnp.where(there[:, None], corners, -1)
    return {**row, **new}


@functools.cache  # Splits share one `draw`, hence one compilation.
def _bound(draw, size, margin):
    return functools.partial(_draw, draw, size, margin)


def _draw(draw, size: int, margin: float, tables: Tree, key: jax.Array) -> Row:
    return crop_row(draw(tables, key), size=size, margin=margin)


def _read(image, at, size):
    colors = heatmaps.sample_bilinear(image, at)
    return colors.reshape(size, size, -1)

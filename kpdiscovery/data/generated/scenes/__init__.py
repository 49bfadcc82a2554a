"""Scenes: coloured solids on a softly lit grey ground, in the manner of CLEVR6.

CLEVR's factors (three shapes, eight colours, two sizes, two materials; 3 to 6 objects,
or 7 to 10), drawn instead of path-traced, hence drawn anew for every row. A pinhole
camera looks down on the ground; each solid is the exact orthographic picture of itself
at its own distance and angle, anti-aliased by its signed distance, painted from far to
near. Shadows fall on the ground, not on other objects.

Objects keep a gap on the ground, stay inside the picture, and no centre is hidden: a
nearer object's circumscribed circle stays 2.5 px (at 112) away from every centre behind
it. So `keypoints` are always seen, and occlusion goes up to about half an object.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from kpdiscovery.data.generated import Generated, tight_boxes
from kpdiscovery.data.generated.scenes.camera import see
from kpdiscovery.data.generated.scenes.objects import (
    COLORS,
    LATTICE,
    MATERIALS,
    RGB,
    SHAPES,
    SIZES,
    chance,
    draw_objects,
)
from kpdiscovery.data.generated.scenes.painting import paint
from kpdiscovery.data.generated.scenes.placement import place
from kpdiscovery.types import Row, Tree, UserError

__all__ = ['COLORS', 'MATERIALS', 'RGB', 'SHAPES', 'SIZES', 'draw', 'scenes']

_SPLITS = {'train': 50_000, 'validation': 1_000, 'test': 10_000}  # Rows by default.
_SEED = 60_112  # Keeps the streams apart from other sources of the same seed.


def scenes(
    *,
    split: str,
    size: int = 112,
    min_objects: int = 3,
    max_objects: int = 6,
    length: int | None = None,
    seed: int = 0,
) -> Generated:
    """The split's rows; with 7 to 10 objects the counterpart of CLEVR10."""
    if split not in _SPLITS:
        raise UserError(f'scenes have the splits {list(_SPLITS)}, not {split!r}')
    seed = _SEED + 3 * seed + list(_SPLITS).index(split)
    length = _SPLITS[split] if length is None else length
    bound = _bound(size, min_objects, max_objects)
    return Generated(bound, {}, seed=seed, length=length)


@functools.cache  # Splits share one `draw`, hence one compilation.
def _bound(size, min_objects, max_objects):
    options = {'size': size, 'min_objects': min_objects, 'max_objects': max_objects}
    return functools.partial(draw, **options)


def draw(
    tables: Tree,
    key: jax.Array,
    *,
    size: int = 112,
    min_objects: int = 3,
    max_objects: int = 6,
) -> Row:
    """One scene of `min_objects` to `max_objects` = N objects, large first.

    Args:
        tables: not used.
        key: chooses everything.
        size: side of the picture.
        min_objects: fewest objects, at least 1.
        max_objects: most objects, at most 12; fields are padded to it.

    Returns:
        `image` uint8 `[size, size, 3]`, `instances [size, size]`, `boxes [N, 4]` tight
        around the visible pixels, `boxes_valid`, `keypoints [N, 1, 2]` (the centres, all
        seen), `visible`, `attributes` {'shape', 'color', 'size', 'material'}.

    Raises:
        ValueError: numbers of objects out of range.
    """
    if not 1 <= min_objects <= max_objects <= len(LATTICE):
        wanted = f'1 <= min_objects <= max_objects <= {len(LATTICE)}'
        raise ValueError(f'wanted {wanted}, got {min_objects} and {max_objects}')
    luck = chance(key, max_objects)
    objects = place(luck, draw_objects(luck, min_objects))
    image, instances = paint(luck.light, objects, size)
    return {'image': image, 'instances': instances, **_truth(objects, instances)}


def _truth(objects, instances):
    exists, view = objects.exists, see(objects, len(instances))
    xy = jnp.stack([view.px, view.py], axis=-1)
    names = ('shape', 'color', 'size', 'material')
    factors = {name: jnp.where(exists, getattr(objects, name), -1) for name in names}
    return {
        'boxes': tight_boxes(instances, len(exists))[0],
        'boxes_valid': exists,
        'keypoints': jnp.where(exists[:, None], xy, -1)[:, None],
        'visible': exists[:, None],
        'attributes': factors,
    }

"""Synthetic shapes: gray drawings whose corners, ends and crossings are known.

Nine kinds, as in SuperPoint's first training stage:
lines, a polygon, several polygons, ellipses, a star, a checkerboard, stripes, a box and
noise; ellipses and noise have no points. Lengths are shares of the picture's side, so
that a row shows the same drawing at any size; corners flatter than 130 degrees have no
label. Drawn at the size they are used at, with smooth edges, and then blurred a little.
A core of a shared CPU draws 1,000 pictures of 64 px a second (RESULTS.md).
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from kpdiscovery.data.generated import Generated
from kpdiscovery.data.generated.shapes import figures, painting
from kpdiscovery.data.generated.shapes.figures import KINDS, MOST_POINTS, SHARES
from kpdiscovery.types import Row, Tree, UserError

__all__ = ['KINDS', 'MOST_POINTS', 'SHARES', 'draw', 'shapes']

_SPLITS = {'train': 66_000, 'validation': 1_000, 'test': 2_000}  # Rows by default.


def shapes(
    *,
    split: str,
    size: int = 64,
    length: int | None = None,
    kinds: tuple[str, ...] = KINDS,
) -> Generated:
    """The split's rows.

    Args:
        split: 'train' (seed 0), 'validation' (1) or 'test' (2).
        size: side of the pictures.
        length: number of rows; by default 66,000, 1,000 and 2,000.
        kinds: those to draw, in the proportions of SHARES.

    Raises:
        UserError: there is no such split or kind.
    """
    if split not in _SPLITS:
        raise UserError(f'shapes have the splits {list(_SPLITS)}, not {split!r}')
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown or not kinds:
        raise UserError(f'shapes have the kinds {list(KINDS)}, not {unknown or kinds}')
    length = _SPLITS[split] if length is None else length
    bound = _bound(size, tuple(kinds))
    return Generated(bound, {}, seed=list(_SPLITS).index(split), length=length)


@functools.cache  # Splits share one `draw`, hence one compilation.
def _bound(size, kinds):
    return functools.partial(draw, size=size, kinds=kinds)


def draw(
    tables: Tree, key: jax.Array, *, size: int = 64, kinds: tuple[str, ...] = KINDS
) -> Row:
    """One picture.

    Args:
        tables: not used.
        key: chooses everything.
        size: side of the picture.
        kinds: to choose from.

    Returns:
        `image` uint8 `[size, size, 3]`, gray; `keypoints` `[MOST_POINTS, 2]` pixels and
        `visible` `[MOST_POINTS]`, False on places not needed and on points outside;
        `label` int32, index in KINDS.
    """
    del tables
    luck = figures.chance(key, size)
    odds = jnp.array([share * (kind in kinds) for kind, share in SHARES.items()])
    label = jnp.searchsorted(jnp.cumsum(odds) / odds.sum(), luck.kind[0], side='right')
    label = jnp.minimum(label, len(KINDS) - 1).astype(jnp.int32)
    drawing = figures.draw_figures(luck, label)
    gray = painting.paint(drawing, luck, label == KINDS.index('noise'), size)
    level = jnp.round(255 * jnp.clip(gray, 0, 1)).astype(jnp.uint8)
    xy = drawing.points * size - 0.5
    inside = ((drawing.points >= 0) & (drawing.points < 1)).all(axis=-1)
    return {
        'image': jnp.repeat(level[..., None], 3, axis=-1),
        'keypoints': jnp.where(inside[:, None], xy, 0.0),
        'visible': drawing.there & inside,
        'label': label,
    }

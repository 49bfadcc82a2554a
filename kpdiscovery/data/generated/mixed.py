"""Pictures of all our drawn worlds in turn: animals in clutter, solids, flat shapes.

What a generic detector learns from where there are no photographs; without truth but
which world a picture is of.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from kpdiscovery.data.generated import Generated, critters, scenes, shapes
from kpdiscovery.types import Row, Tree, UserError

_SPLITS = {'train': 60_000, 'validation': 1_000, 'test': 2_000}  # Rows by default.
_SEED = 71_993  # Keeps the streams apart from other sources of the same seed.


def mixed(*, split: str, size: int = 96, length: int | None = None) -> Generated:
    """The split's rows.

    Raises:
        UserError: there is no such split.
    """
    if split not in _SPLITS:
        raise UserError(f'mixed has the splits {list(_SPLITS)}, not {split!r}')
    seed = _SEED + list(_SPLITS).index(split)
    length = _SPLITS[split] if length is None else length
    return Generated(_bound(size), {}, seed=seed, length=length)


@functools.cache  # Splits share one `draw`, hence one compilation.
def _bound(size):
    return functools.partial(draw, size=size)


def draw(tables: Tree, key: jax.Array, *, size: int = 96) -> Row:
    """`image` uint8 `[size, size, 3]` and `label`: 0 critters, 1 scenes, 2 shapes."""
    keys = jax.random.split(key, 4)
    worlds = (
        critters.draw(tables, keys[0], size=size, level='hard')['image'],
        scenes.draw(tables, keys[1], size=size, max_objects=8)['image'],
        shapes.draw(tables, keys[2], size=size)['image'],
    )
    label = jax.random.randint(keys[3], (), 0, len(worlds))
    return {'image': jnp.stack(worlds)[label], 'label': label}

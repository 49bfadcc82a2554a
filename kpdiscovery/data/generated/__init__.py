"""Sources that are drawn instead of read: row i is a pure function of the seed and i."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery.types import Batch, Row, Tree


class Generated:
    """`length` rows of `draw(tables, fold_in(key(seed), row))`, made on the device.

    Args:
        draw: pure function `(tables, key) -> dict of arrays` with at least `image`
            uint8 `[H, W, 3]`; every field has a static shape.
        tables: arrays the drawing needs (digits, say): an argument, not a constant, so
            that they are neither copied into the executable nor drawn again.
        seed: splits are seeds.
        length: number of rows.

    Attributes:
        truth: names of the annotation fields of a row.
    """

    def __init__(
        self,
        draw: Callable[[Tree, jax.Array], Row],
        tables: Tree,
        *,
        seed: int,
        length: int,
    ):
        self.length, self.draw, self.seed = length, draw, seed
        self.tables = jax.tree.map(jnp.asarray, tables)
        self.key = jax.random.key(seed)
        self.draw_rows = functools.partial(_draw_rows, draw)
        row = jax.eval_shape(draw, self.tables, self.key)
        self.truth = tuple(sorted(set(row) - {'image'}))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Row:
        rows = jax.tree.map(lambda leaf: np.asarray(leaf[0]), self.batch([index]))
        rows.pop('index')
        return rows

    def batch(self, indices: Any) -> Batch:
        """The named rows as one batch on the device, `index` among its fields."""
        return self.draw_rows(self.tables, self.key, jnp.asarray(indices, jnp.int32))


@functools.partial(jax.jit, static_argnums=0)
def _draw_rows(draw, tables, key, indices):
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, indices)
    return {**jax.vmap(draw, (None, 0))(tables, keys), 'index': indices}


def draw_uniform(key: jax.Array, shapes: Any) -> Any:
    """Uniform numbers in [0, 1) for a NamedTuple of shapes, like it.

    Drawn at once: each draw of its own costs compilation.
    """
    sizes = [math.prod(shape) for shape in shapes]
    parts = jnp.split(jax.random.uniform(key, (sum(sizes),)), np.cumsum(sizes)[:-1])
    return type(shapes)(*(p.reshape(s) for p, s in zip(parts, shapes, strict=True)))


def tight_boxes(owner: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
    """Boxes around the pixels of the labels 0..n-1 in an integer map `[H, W]`.

    Returns `[n, 4]` float32, -1 where a label has no pixel, and `[n]` bool: it has.
    """
    mine = owner[None] == jnp.arange(n)[:, None, None]
    spans = []
    for axis in (1, 2):  # Over rows: columns that hold the label; then over columns.
        hit = mine.any(axis=axis)
        low = jnp.argmax(hit, axis=-1)
        high = hit.shape[-1] - jnp.argmax(hit[:, ::-1], axis=-1)
        spans.append((low - 0.5, high - 0.5))
    (x0, x1), (y0, y1) = spans
    boxes = jnp.stack([x0, y0, x1, y1], axis=-1).astype(jnp.float32)
    seen = mine.any(axis=(1, 2))
    return jnp.where(seen[:, None], boxes, -1), seen

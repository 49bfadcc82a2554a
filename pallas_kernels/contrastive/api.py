"""The contrastive loss of all pairs of descriptors, over devices too."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from pallas_kernels.contrastive import reference, tiles


class PairSums(NamedTuple):
    """`[3]` float32 each: one landmark in one picture, two in one, two in two pictures."""

    loss: jax.Array
    count: jax.Array


def contrastive(
    x: jax.Array,
    label: jax.Array,
    picture: jax.Array,
    *,
    margin: float = 0.8,
    form: str = 'distance',
    axis_name: str | None = None,
) -> PairSums:
    """Sums over all ordered pairs of points, without storing a number a pair.

    Points of one landmark and picture are pulled together (d^2), points of two landmarks
    pushed apart: max(0, margin - d)^2 or, `form='squared'`, max(0, margin - d^2). One
    landmark in two pictures is no pair.

    Args:
        x: `[N, D]` descriptors, float32 or bfloat16; sums are float32.
        label: `[N]` int32, the landmark of each, -1 for points that do not count.
        picture: `[N]` int32.
        axis_name: of devices that hold rows each, under `jax.shard_map`; sums are of all
            of them. Each device meets its own rows with everyone's.

    Raises:
        ValueError: shapes or form.
    """
    if x.ndim != 2 or label.shape != x.shape[:1] or picture.shape != x.shape[:1]:
        raise ValueError(
            'contrastive needs x [N, D], label [N] and picture [N], got '
            f'{x.shape}, {label.shape} and {picture.shape}'
        )
    if form not in tiles.FORMS:
        raise ValueError(f'form must be one of {sorted(tiles.FORMS)}, got {form!r}')
    number = jnp.arange(len(x))
    if axis_name is not None:
        number += len(x) * jax.lax.axis_index(axis_name)
    ids = jnp.stack([label, picture, number]).astype(jnp.int32)
    columns, column_ids = jax.lax.stop_gradient(x), ids
    if axis_name is not None:
        columns = jax.lax.all_gather(columns, axis_name, tiled=True)
        column_ids = jax.lax.all_gather(ids, axis_name, axis=1, tiled=True)
    found = _sums((margin, form), x, ids, columns, column_ids)
    return PairSums(*(found if axis_name is None else jax.lax.psum(found, axis_name)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _sums(options, rows, row_ids, columns, column_ids):
    margin, form = options
    return reference.sums(rows, row_ids, columns, column_ids, margin=margin, form=form)


def _forward(options, *args):
    return _sums(options, *args), args


def _backward(options, args, cotangents):
    """To the rows goes what pairs give them as columns too: nothing comes back from there."""
    margin, form = options
    weights, _ = cotangents
    return (
        reference.gradient(*args, weights, margin=margin, form=form),
        None,
        None,
        None,
    )


_sums.defvjp(_forward, _backward)

"""Features to part maps, and the dictionary of parts that they start from.

C channels: the parts, and the background as the last one. P cells of h x w.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from kpdiscovery.ops import parallel, precision, vectors, vmf


def part_maps(
    directions: jax.Array, features: jax.Array, valid: jax.Array, *, kappa: float
) -> jax.Array:
    """Probabilities `[..., C]` of the channels, a softmax over kappa cos.

    Args:
        directions: `[C, D]` of any length.
        features: `[..., D]` of unit length.
        valid: `[...]` bool; cells that do not count are background.

    Source: [guo2020], section 3.1; the concentration of [kortylewski2020].
    """
    cosines = jnp.einsum(
        '...d,cd->...c',
        precision.full(features),
        vectors.normalize(directions),
        precision='highest',
    )
    maps = jax.nn.softmax(kappa * cosines, axis=-1)
    return jnp.where(valid[..., None], maps, background(directions, maps.ndim))


def background(directions: jax.Array, ndim: int) -> jax.Array:
    """What a cell of nothing but background shows: `[1, ..., C]`."""
    last = jnp.arange(len(directions)) == len(directions) - 1
    return last.astype(jnp.float32).reshape((1,) * (ndim - 1) + (-1,))


def learn_dictionary(method, table: Any, key: jax.Array, *, axis_name: str | None):
    """Directions of the parts, from cells of all pictures.

    Args:
        method: `num_keypoints`, `kappa`, `iterations`, `per_image`, `border`.
        table: this device's rows: `features` `[N, h, w, D]`, `valid` `[N, h, w]` and
            `row_valid` `[N]`.

    Returns:
        Directions `[C, D]`, the background's being the mean of all features, and the
        health line; `rare_parts` have less than a tenth of an even share.

    Source: [guo2020], section 3.1; sampling as in [kortylewski2020].
    """
    total = functools.partial(parallel.total, axis_name=axis_name)
    of_rows, of_fit = jax.random.split(key)
    valid = table['valid'] & table['row_valid'][:, None, None]
    rows, counts = sample_cells(
        of_rows, table['features'], inner(valid, method.border), method.per_image,
        axis_name=axis_name,
    )  # fmt: skip
    found = vmf.fit_vmf(
        of_fit, rows, method.num_keypoints, kappa=method.kappa, weights=counts,
        iterations=method.iterations, axis_name=axis_name,
    )  # fmt: skip
    ground = total(jnp.einsum(
        'nhwd,nhw->d', precision.full(table['features']), valid.astype(jnp.float32)
    ))  # fmt: skip
    rare = (found.mixture < 0.1 / method.num_keypoints).sum()
    scalars = {
        'likelihood': found.log_likelihood, 'iterations': found.iterations,
        'features': total(counts.sum()), 'rare_parts': rare,
    }  # fmt: skip
    return jnp.concatenate([found.directions, vectors.normalize(ground)[None]]), scalars


def inner(valid: jax.Array, border: float) -> jax.Array:
    """Cells `[N, h, w]` that count and are not at the border of the map.

    Args:
        border: share of the shorter side, in [0, .5); of cells the whole ones.

    Raises:
        ValueError: the border leaves none.
    """
    h, w = valid.shape[1:]
    edge = int(border * min(h, w))
    if min(h, w) <= 2 * edge:
        raise ValueError(
            f'border={border} of the sides leaves nothing of maps of {h} x {w} cells'
        )
    rows = (jnp.arange(h) >= edge) & (jnp.arange(h) < h - edge)
    columns = (jnp.arange(w) >= edge) & (jnp.arange(w) < w - edge)
    return valid & (rows[:, None] & columns[None])[None]


def sample_cells(key, features, allowed, count: int, *, axis_name: str | None):
    """`count` different random cells of each picture that has so many, else all.

    Args:
        features: `[N, h, w, D]`.
        allowed: `[N, h, w]` bool.

    Returns:
        Rows `[N * count, D]` and `[N * count]` float32, 1 for those that count.
    """
    n, h, w, d = features.shape
    count = min(count, h * w)
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * n
    keys = parallel.example_keys(key, first + jnp.arange(n))
    luck = jax.vmap(lambda k: jax.random.uniform(k, (h * w,)))(keys)
    luck = jnp.where(allowed.reshape(n, h * w), 1 + luck, 0)
    luck, cells = jax.lax.top_k(luck, count)
    rows = jnp.take_along_axis(features.reshape(n, h * w, d), cells[..., None], axis=1)
    return rows.reshape(n * count, d), (luck > 0).astype(jnp.float32).reshape(-1)

"""Where the clusters are in a picture: by looks alone, then beside one another too."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.ops import constellations, coordinates
from kpdiscovery.ops.constellations import Constellation

TEMPERATURE = 0.02  # Of the softmax over the cells' cosines.
# In sides of the picture:
FLOOR = 0.02  # No landmark is known better.
_NARROW, _WIDE = 0.04, 0.25  # Between these the prior's deviation stays ...
_SLACK = 1.5  # ... which is so many spreads.
_ROUNDS = 2


class Located(NamedTuple):
    """M clusters in each of B pictures, in sides of the picture, its middle being 0."""

    xy: jax.Array  # [B, M, 2]
    score: jax.Array  # [B, M] cosine of the best cell, whatever its place.
    expected: jax.Array  # [B, M, 2] where all together put each.


def locate(
    maps: jax.Array, valid: jax.Array, centroids: jax.Array, known: Constellation
) -> Located:
    """Clusters by soft arg-max over the cells, around where the constellation has them.

    Args:
        maps: `[B, h, w, D]` of unit length.
        valid: `[B, h, w]` bool, cells that show the picture.
        centroids: `[M, D]` of unit length.
        known: in sides; of infinite spreads where nothing is known yet.
    """
    batch, h, w, _ = maps.shape
    cosine = jnp.einsum('bhwd,md->bmhw', maps, centroids, precision='highest')
    cosine = cosine.reshape(batch, len(centroids), h * w)
    cosine = jnp.where(valid.reshape(batch, 1, h * w), cosine, -2)
    grid = coordinates.to_unit(coordinates.pixel_grid(h, w), (h, w)).reshape(-1, 2) / 2
    xy = expected = _mean(cosine / TEMPERATURE, grid)
    informed = jnp.isfinite(known.spread)
    deviation = jnp.clip(_SLACK * known.spread, _NARROW, _WIDE)
    strength = jnp.where(informed, 0.5 / deviation**2, 0)
    known = known._replace(spread=jnp.where(informed, known.spread, 1.0))
    for _ in range(_ROUNDS):
        expected = constellations.place(known, xy, floor=FLOOR)
        apart = jnp.sum((grid[None, None] - expected[:, :, None]) ** 2, axis=-1)
        xy = _mean(cosine / TEMPERATURE - strength[None, :, None] * apart, grid)
    return Located(xy, cosine.max(axis=-1), expected)


def to_pixels(xy: jax.Array, size: tuple[int, ...]) -> jax.Array:
    """Sides from the middle to pixels of (H, W)."""
    return coordinates.from_unit(2 * xy, size)


def _mean(logits, grid):
    share = jax.nn.softmax(logits)
    return jnp.einsum('bmn,nd->bmd', share, grid, precision='highest')

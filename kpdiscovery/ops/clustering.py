"""From the places where filters fire to a few keypoints: algorithm 1 of [guo2025]."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kpdiscovery.ops import coordinates, precision
from kpdiscovery.types import Keypoints


def strongest_filters(maps: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """The channels of one picture with the highest cells, highest first.

    Args:
        maps: `[h, w, C]`.
        count: channels to keep; all are kept where there are no more.

    Returns:
        The maps `[h, w, S]` and their channels, int32 `[S]`.

    Source: [guo2025], section 3.2.
    """
    strength = maps.max(axis=(0, 1))
    _, channels = jax.lax.top_k(strength, min(count, maps.shape[-1]))
    return maps[..., channels], channels


def cluster_proposals(
    maps: jax.Array,
    *,
    num_keypoints: int,
    iterations: int = 5,
    erase_threshold: float = 3.0,
    accumulate: bool = False,
) -> Keypoints:
    """The cells most filters agree on, one after the other.

    Each map proposes its largest cell. Weights of all proposals start equal and grow for
    those near the cell with the largest sum of weights, `iterations` times; that cell is
    a keypoint, its neighbours among the proposals are erased, and the search starts anew.
    Nothing is learnt: weights are those of one picture.

    Args:
        maps: `[h, w, C]`; one without a positive cell proposes nothing.
        num_keypoints: K.
        iterations: updates of the weights per keypoint.
        erase_threshold: proposals nearer than this to a keypoint, in cells, are erased;
            strict, so 1 erases those in its own cell only.
        accumulate: add to the weights themselves (the text), not to their softmax
            (algorithm 1); sharpens faster.

    Returns:
        Keypoints `[K]` in cells, (x, y): `score` is the sum of the weights of the
        proposals in that cell, in [0, 1]; `label` counts 0..K-1; `valid` is False from
        where no proposal is left on, with cell (0, 0).

    Source: [guo2025], section 3.4, algorithm 1, with 1 / (d + 1) for its 1 / d.
    """
    if maps.ndim != 3:
        raise ValueError(f'maps must be [h, w, C], got {maps.shape}')
    cells, alive = _proposals(maps)
    find = lambda alive: _find(cells, alive, maps.shape[:2], iterations, accumulate)

    def one(alive, label):
        xy, votes, distance = find(alive)
        valid = alive.any()
        left = alive & ~(distance < erase_threshold)
        score = jnp.where(valid, votes, 0.0)
        return left, Keypoints(jnp.where(valid, xy, 0.0), score, label, valid)

    return jax.lax.scan(one, alive, jnp.arange(num_keypoints, dtype=jnp.int32))[1]


def _proposals(maps):
    """Largest cells `[C, 2]` (x, y), the first of equals, and which maps have one."""
    h, w, c = maps.shape
    flat = maps.reshape(h * w, c)
    best = flat.argmax(axis=0)
    xy = jnp.stack([best % w, best // w], axis=-1).astype(jnp.float32)
    return xy, flat.max(axis=0) > 0


def _find(cells, alive, size, iterations, accumulate):
    """The next keypoint `[2]`, the votes it has, and how far `[C]` proposals are."""

    def update(_, weights):
        share = jax.nn.softmax(weights)
        distance = _distances(cells, _most_voted(cells, alive, share, size)[0])
        closeness = jnp.where(alive, 1 / (distance + 1), 0)
        return (weights if accumulate else share) + closeness

    start = jnp.ones(len(cells), jnp.float32)
    share = jax.nn.softmax(jax.lax.fori_loop(0, iterations, update, start))
    xy, votes = _most_voted(cells, alive, share, size)
    return xy, votes, _distances(cells, xy)


def _most_voted(cells, alive, share, size):
    """Cell with the largest sum of shares, the first of equals, and that sum."""
    h, w = size
    grid = coordinates.pixel_grid(h, w).reshape(h * w, 1, 2)
    here = (grid == cells[None]).all(axis=-1) & alive[None]  # [h * w, C]
    votes = jnp.where(here, share[None], 0).sum(axis=-1)
    best = votes.argmax()
    return grid[best, 0], votes[best]


def _distances(cells, xy):
    return precision.full(jnp.linalg.norm(cells - xy[None], axis=-1))

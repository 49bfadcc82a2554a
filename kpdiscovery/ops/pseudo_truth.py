"""Labels of the cells of averaged part maps, each part in a few cells only."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp


class _State(NamedTuple):
    """Labels so far, and what the cells without one could still get."""

    labels: jax.Array  # [h * w] int32; -1: none yet.
    bound: jax.Array  # [h * w]: no channel still allowed is higher; -inf once labelled.
    counts: jax.Array  # [C] int32, cells a channel has.


def greedy_labels(
    maps: jax.Array, *, background: int, cap: int = 3, radius: int = 0
) -> jax.Array:
    """A channel for every cell, the highest values of the map first.

    Of all values left the highest labels its cell, which then leaves; of equal values
    the first in the order row, column, channel. A channel with `cap` cells leaves too.
    The background is unlimited, so that every cell gets a label.

    Args:
        maps: `[h, w, C]`, any float dtype. NaN counts as -inf; a cell that has nothing
            else is background.
        background: its channel, counted from the end where it is negative.
        cap: cells a channel may label.
        radius: reading of the paper's "suppress neighbour radius": once a channel other
            than the background has labelled a cell, it may not label cells that are
            within so many cells of it in row and column.

    Returns:
        `[h, w]` int32.

    Raises:
        ValueError: maps of another rank, or an option out of range.

    Source: [guo2020], algorithm 1.
    """
    _check(maps, background, cap, radius)
    h, w, channels = maps.shape
    background %= channels
    values = jnp.where(jnp.isnan(maps), -jnp.inf, maps).reshape(h * w, channels)
    # Exact without a look at all values a label: channels only ever leave, so that the
    # highest value a cell once had bounds what it has. The cell of the highest bound is
    # looked at again; it gets its label if the value is still there, else a lower bound.
    near = _neighbours(h, w, radius)

    def step(state):
        cell = jnp.argmax(state.bound)  # The first of equals, as argmax of all would.
        taken = state.labels[near[cell]]
        taken = jnp.where(taken < 0, channels, taken)  # Beyond the last: dropped.
        out = (state.counts >= cap).at[taken].set(True, mode='drop')
        row = jnp.where(out.at[background].set(False), -jnp.inf, values[cell])
        channel = jnp.argmax(row)
        value = row[channel]
        channel = jnp.where(value > -jnp.inf, channel, background).astype(jnp.int32)
        holds = value >= state.bound[cell]
        labelled = _State(
            state.labels.at[cell].set(channel),
            state.bound.at[cell].set(-jnp.inf),
            state.counts.at[channel].add(1),
        )
        lowered = state._replace(bound=state.bound.at[cell].set(value))
        return jax.tree.map(lambda a, b: jnp.where(holds, a, b), labelled, lowered)

    start = _State(
        jnp.full(h * w, -1), values.max(axis=-1), jnp.zeros(channels, jnp.int32)
    )
    end = jax.lax.while_loop(lambda s: (s.bound > -jnp.inf).any(), step, start)
    return jnp.where(end.labels < 0, background, end.labels).reshape(h, w)


def _neighbours(h, w, radius):
    """Cells within `radius` of each `[h * w, (2 radius + 1)^2]`, at the border repeated."""
    y, x = jnp.divmod(jnp.arange(h * w)[:, None], w)
    steps = jnp.arange(-radius, radius + 1)
    dy, dx = (d.reshape(1, -1) for d in jnp.meshgrid(steps, steps, indexing='ij'))
    return jnp.clip(y + dy, 0, h - 1) * w + jnp.clip(x + dx, 0, w - 1)


def _check(maps, background, cap, radius):
    if maps.ndim != 3 or 0 in maps.shape:
        raise ValueError(f'maps must be [h, w, C], none of them 0, got {maps.shape}')
    if not -maps.shape[2] <= background < maps.shape[2]:
        raise ValueError(
            f'background must be one of {maps.shape[2]} channels, got {background}'
        )
    if cap < 0 or radius < 0:
        raise ValueError(f'wanted cap >= 0 and radius >= 0, got {cap} and {radius}')

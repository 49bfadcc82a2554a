"""k-means++: rows drawn one after the other, each the likelier the farther it is.

N rows, D channels, R restarts. Under `jax.shard_map` name the mesh axis the rows are
split over: the draw is then over the rows of all devices.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from kpdiscovery.ops import parallel, precision

_BLOCK = 2048  # Rows; a draw falls into a block first, and then on a row of it.


def plus_plus(
    key: jax.Array,
    x: jax.Array,
    weights: jax.Array,
    k: int,
    restarts: int,
    *,
    axis_name: str | None = None,
) -> jax.Array:
    """Rows drawn by their squared distance to the nearest of those drawn before.

    Args:
        x: `[N, D]`; what rows of weight 0 hold is not read.
        weights: `[N]`, not negative.
        k: rows drawn for each restart.

    Returns:
        `[R, k, D]` float32.

    Source: [arthur2007].
    """
    uniform = jax.random.uniform(key, (k, restarts))
    draw = functools.partial(draw_row, x, weights, axis_name=axis_name)
    draw = jax.vmap(draw, in_axes=(0, 0))
    rows = precision.full(x)
    squares = jnp.sum(rows * rows, axis=-1)

    def apart(drawn):
        inner = jnp.einsum('rd,nd->rn', drawn, rows, precision='highest')
        both = squares[None] + jnp.sum(drawn * drawn, axis=-1, keepdims=True)
        return jnp.maximum(both - 2 * inner, 0)

    def one_more(i, carry):
        starts, closest = carry
        drawn = draw(closest, uniform[i])
        return starts.at[:, i].set(drawn), jnp.minimum(closest, apart(drawn))

    first = draw(jnp.repeat((0 * weights + 1)[None], restarts, axis=0), uniform[0])
    start = jnp.repeat(first[:, None], k, axis=1), apart(first)
    return jax.lax.fori_loop(1, k, one_more, start)[0]


def draw_row(
    x: jax.Array,
    weights: jax.Array,
    closest: jax.Array,
    uniform: jax.Array,
    *,
    axis_name: str | None = None,
) -> jax.Array:
    """The row that a number in [0, 1) falls on, by weight times squared distance.

    Args:
        x: `[N, D]`, this device's rows.
        weights: `[N]`.
        closest: `[N]`, squared distance to the nearest row drawn before; what it is for
            rows of weight 0 does not matter.
        uniform: scalar in [0, 1), the same on all devices.
        axis_name: of the mesh axis over which rows are split; None: all are here.

    Returns:
        `[D]`, the same on all devices; zeros where no row has any weight.
    """
    mass = jnp.where(weights > 0, weights * closest, 0.0)
    *_, total = parallel.span(mass.sum(), axis_name)
    mass = jnp.where(total > 0, mass, weights)  # All rows coincide with a centroid.
    mass = _in_blocks(mass)
    upto = jnp.cumsum(mass.sum(axis=1))
    start, stop, total = parallel.span(upto[-1], axis_name)
    target = uniform * total
    mine = (target >= start) & (target < stop)
    block, rest = _fall(upto, target - start)
    row, _ = _fall(jnp.cumsum(mass[block]), rest)
    index = jnp.minimum(block * mass.shape[1] + row, len(x) - 1)
    drawn = jnp.where(
        mine, precision.full(jax.lax.dynamic_index_in_dim(x, index, 0, False)), 0.0
    )
    return parallel.total(drawn, axis_name)


def _in_blocks(mass):
    """`[N]` as `[G, block]`, filled up with zeros."""
    block = min(_BLOCK, len(mass))
    return jnp.pad(mass, (0, -len(mass) % block)).reshape(-1, block)


def _fall(upto, target):
    """Which part of a whole a target falls on, by running sums, and how far into it.

    Rounding must not carry the target past the last part that has any mass.
    """
    target = jnp.minimum(target, upto[-1] * (1 - 1e-6))
    part = jnp.argmax(upto > target)
    return part, target - jnp.where(part > 0, upto[part - 1], 0.0)

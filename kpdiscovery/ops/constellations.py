"""Where landmarks of one kind of object lie beside each other, learnt from poor guesses.

N pictures of K landmarks, none missing but many misplaced. Each picture is one shape of all,
moved by an affine map; landmarks that this explains badly count little. Own, in the spirit
of constellation models; no method here has it in its paper.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.ops import linear, parallel

_RIDGE = 1e-3  # Of the normal equations: a picture with all points in one stays finite.
_AREA = 0.05  # Of the shape: pictures that shrink it more, or mirror it, teach nothing.
_TIGHT = 1.75  # Median spreads: landmarks of more are the last to be chosen.
_product = functools.partial(jnp.einsum, precision='highest')


class Constellation(NamedTuple):
    """K landmarks of a mean picture, in the unit of the points."""

    shape: jax.Array  # [K, 2] places.
    spread: jax.Array  # [K] typical distance from where all together put it.


def fit(
    xy: jax.Array,
    counts: jax.Array,
    *,
    floor: float,
    iterations: int = 15,
    axis_name: str | None = None,
) -> Constellation:
    """The shape of which most pictures are affine views, by reweighted least squares.

    In turns: a map for each picture, how far its points lie from where the map puts them,
    a spread for each landmark (the geometric mean of those distances), what each point
    counts (Cauchy weights beyond about two spreads), and the shape. The mean of all maps
    is kept the identity, so that the shape is a mean picture.

    Args:
        xy: `[N, K, 2]`.
        counts: `[N]` bool, pictures that count.
        floor: spreads below count as this, > 0: what a cell of the guesses is wide.
        iterations: always all of them.
        axis_name: of the mesh axis over which pictures are split, inside `shard_map`.
    """
    weights = jnp.broadcast_to(counts[:, None], xy.shape[:2]).astype(jnp.float32)
    many = jnp.maximum(parallel.total(weights.sum(0), axis_name), 1)
    shape = parallel.total(jnp.sum(weights[..., None] * xy, axis=0), axis_name)
    shape, spread = shape / many[:, None], jnp.full(xy.shape[1], 5 * floor)
    weights = weights * _first_trust(shape, xy, spread, floor)
    start = shape, spread, weights

    def again(_, state):
        shape, spread, weights = state
        sure = 1 / jnp.maximum(spread, floor) ** 2
        maps = _maps(shape, xy, weights * sure[None])
        gap = _distance(xy, _lay(maps, shape))
        near = jnp.where(counts[:, None], jnp.log(jnp.maximum(gap, 1e-3 * floor)), 0)
        spread = jnp.exp(parallel.total(near.sum(0), axis_name) / many)
        weights = _trust(gap, spread, floor) * counts[:, None]
        shape = _mean_shape(shape, xy, maps, weights, axis_name)
        return shape, spread, weights

    shape, spread, _ = jax.lax.fori_loop(0, iterations, again, start)
    return Constellation(shape, spread)


def place(
    constellation: Constellation, xy: jax.Array, *, floor: float, iterations: int = 8
) -> jax.Array:
    """Where all landmarks together put each one of N pictures: `[N, K, 2]`.

    Each has a say in its own place too, which of few is a large one (of 6 about half).

    Args:
        xy: `[N, K, 2]` guesses.
        floor: as in `fit`.
    """
    shape, spread = constellation
    sure = 1 / jnp.maximum(spread, floor) ** 2

    def again(_, weights):
        moved = _lay(_maps(shape, xy, weights * sure[None]), shape)
        return _trust(_distance(xy, moved), spread, floor)

    weights = _first_trust(shape, xy, spread, floor)
    weights = jax.lax.fori_loop(0, iterations, again, weights)
    return _lay(_maps(shape, xy, weights * sure[None]), shape)


def choose(constellation: Constellation, count: int) -> jax.Array:
    """Reliable landmarks all over the object, and not several of one place: `[count]` int32.

    The one of least spread, then time and again the one that lies farthest from those
    already chosen (farthest-point sampling), among those whose spread is at most 1.75 times
    the median; where these are too few the others follow, least spread first.

    Args:
        count: of K, at least 1.
    """
    shape, spread = constellation
    tight = spread <= _TIGHT * jnp.median(spread)

    def again(i, state):
        chosen, gap = state
        merit = jnp.where(tight, gap, -spread)
        merit = merit.at[chosen].set(-jnp.inf)  # Those not chosen yet repeat the first.
        best = merit.argmax().astype(jnp.int32)
        return chosen.at[i].set(best), jnp.minimum(
            gap, _distance(shape, shape[best][None])
        )

    first = spread.argmin().astype(jnp.int32)
    start = jnp.full(count, first), _distance(shape, shape[first][None])
    return jax.lax.fori_loop(1, count, again, start)[0]


def _maps(shape, xy, weights):
    """Affine maps `[N, 3, 2]`, from centred places and 1, by weighted least squares."""
    design = _design(shape)  # [K, 3]
    weights = weights / jnp.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    normal = _product('ki,nk,kj->nij', design, weights, design)
    normal = normal + _RIDGE * jnp.eye(3)[None]
    start = jnp.concatenate([jnp.eye(2) * _size(shape), shape.mean(0)[None]])
    # The ridge pulls towards the mean picture, and not towards nothing.
    right = _product('ki,nk,nkj->nij', design, weights, xy)
    right += _RIDGE * start[None]
    return linear.solve(normal, right)


def _mean_shape(shape, xy, maps, weights, axis_name):
    """The mean of all pictures seen through their maps, brought back to a mean picture."""
    turn, shift = maps[:, :2], maps[:, 2:]
    area = turn[:, 0, 0] * turn[:, 1, 1] - turn[:, 0, 1] * turn[:, 1, 0]
    sound = (area > _AREA * _size(shape) ** 2) & (weights.sum(axis=1) > 0)
    inverse = linear.solve(
        jnp.where(sound[:, None, None], turn, jnp.eye(2)[None]),
        jnp.broadcast_to(jnp.eye(2), turn.shape),
    )
    seen = _product('nkj,nji->nki', xy - shift, inverse)
    weights = weights * sound[:, None]
    sums = (weights[..., None] * seen).sum(0), weights.sum(0)
    sums = parallel.total(sums, axis_name)
    design = _design(shape)[:, :2]
    mean = jnp.where(
        sums[1][:, None] > 0, sums[0] / jnp.maximum(sums[1], 1e-12)[:, None], design
    )
    whole = (sound[:, None, None] * maps).sum(0), sound.sum()
    total, many = parallel.total(whole, axis_name)
    middle = total / jnp.maximum(many, 1)
    moved = _product('ki,ij->kj', mean, middle[:2]) + middle[2:]
    return jnp.where(many > 0, moved, shape)


def _lay(maps, shape):
    return _product('ki,nij->nkj', _design(shape), maps)


def _design(shape):
    """Places centred and spread by 1, and 1: `[K, 3]`."""
    centred = (shape - shape.mean(axis=0)[None]) / _size(shape)
    return jnp.concatenate([centred, jnp.ones((len(shape), 1))], axis=1)


def _size(shape):
    return jnp.sqrt(jnp.maximum(shape.var(axis=0).sum(), 1e-12))


def _distance(a, b):
    return jnp.sqrt(jnp.sum((a - b) ** 2, axis=-1))


def _first_trust(shape, xy, spread, floor):
    """By the mean picture, only moved: maps that start from all points may never shake off
    the wrong ones."""
    shift = jnp.median(xy - shape[None], axis=1, keepdims=True)
    return _trust(_distance(xy, shape[None] + shift), spread, 2 * floor)


def _trust(gap, spread, floor):
    return 1 / (1 + (gap / (2 * spread[None] + floor)) ** 2)

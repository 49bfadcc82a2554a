"""The transform that brings like cells of two maps together, without a choice of matches.

P cells of the map that moves, Q of the one it moves to. Fixed shapes: `jit`, and `vmap`
over pairs of pictures, work.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.ops import alignment, precision
from kpdiscovery.ops.alignment import MODELS

_NOBODY = 0.05  # What a cell without a partner weighs, beside a perfect partner's 1.


class SoftAlignment(NamedTuple):
    """A transform, and how well the cells have partners under it."""

    matrix: jax.Array  # [3, 3]: target = projection of matrix @ [x, y, 1].
    partners: jax.Array  # [P] float32 in [0, 1]: share of a cell that has a partner.
    moved: jax.Array  # Scalar bool; False: it is the identity.


def soft_alignment(
    alike: jax.Array,
    source: jax.Array,
    target: jax.Array,
    *,
    model: str = 'affine',
    reach: tuple[float, float] = (4.0, 1.0),
    steps: int = 10,
    prior: float = 0.005,
    scale: float = 2.0,
    margin: float = 0.005,
) -> SoftAlignment:
    """The transform of source to target under which like cells lie on each other.

    From the identity, in turns: every cell is shared out among the cells that are like
    it and near where the transform takes it, and the transform is fitted to the shares.
    How near falls from the first reach to the last. A share counts as far as both cells
    give it to each other, so that hundreds of cells of one kind count once a cell each,
    and a part spread over many cells pulls the transform no more than that.

    Args:
        alike: `[P, Q]` likeness of cells in [0, 1], 0 for pairs that are none.
        source: `[P, 2]` points (x, y), in the units of `reach`.
        target: `[Q, 2]`.
        model: one of `alignment.MODELS`; 'none' is the identity.
        reach: standard deviations of the distance, at the start and the end.
        prior: pull to the identity, as a share of the P cells: a translation is one by
            so many cells that stay, a scale by cells at the distance of the spread.
        scale: stretch in any direction at most, and its inverse at least, without a
            reflection; else it is the identity.
        margin: the partners that cells have must be more than the identity's by this
            share; else it is the identity.

    Returns:
        Matrices end in 1, those of affine maps in (0, 0, 1).

    Raises:
        ValueError: shapes that do not fit, or options out of range or not known.

    Source: our own, in the place of [guo2020], section 3.2.2, whose samples of matches
    shrink one picture to where the other has most cells of a kind; the turns are those
    of [myronenko2010].
    """
    _check(alike, source, target, model, reach, steps)
    alike, source, target = map(precision.full, (alike, source, target))
    middle = source.mean(axis=0)
    spread = jnp.maximum(jnp.sqrt(((source - middle[None]) ** 2).mean()), 1e-6)
    a, b = (source - middle[None]) / spread, (target - middle[None]) / spread
    reaches = jnp.geomspace(*reach, steps) / spread
    if model == 'none':
        return _still(_partners(alike, a, b, jnp.eye(3), reaches[-1]))
    pull = prior * len(source)

    def turn(matrix, near):
        shares = _shares(alike, a, b, matrix, near)
        weight = shares.sum(axis=1)
        product = jnp.matmul(shares, b, precision='highest')
        goal = product / jnp.maximum(weight, 1e-9)[:, None]
        return alignment.pulled_step(model, matrix, a, goal, weight, pull=pull), None

    matrix, _ = jax.lax.scan(turn, jnp.eye(3), reaches)
    still = _partners(alike, a, b, jnp.eye(3), reaches[-1])
    partners = _partners(alike, a, b, matrix, reaches[-1])
    moved = alignment.plausible(matrix, a, scale=scale)
    moved &= partners.sum() > (1 + margin) * still.sum()
    into = jnp.eye(3).at[:2, :2].divide(spread).at[:2, 2].set(-middle / spread)
    out_of = jnp.eye(3).at[:2, :2].multiply(spread).at[:2, 2].set(middle)
    product = functools.partial(jnp.matmul, precision='highest')
    matrix = product(product(out_of, matrix), into)
    found = SoftAlignment(matrix / matrix[2, 2], partners, moved)
    return jax.tree.map(functools.partial(jnp.where, moved), found, _still(still))


def _still(partners):
    return SoftAlignment(jnp.eye(3), partners, jnp.zeros((), bool))


def _partners(*arguments):
    return _shares(*arguments).sum(axis=1)


def _shares(alike, source, target, matrix, near):
    """`[P, Q]`: what two cells give each other; rows and columns sum to at most 1."""
    moved, ahead = alignment.project(matrix, source)
    gap = jnp.sum((moved[:, None] - target[None]) ** 2, axis=-1)
    pairs = jnp.where(ahead[:, None], alike * jnp.exp(-gap / (2 * near**2)), 0.0)
    of_source = pairs / (pairs.sum(axis=1, keepdims=True) + _NOBODY)
    of_target = pairs / (pairs.sum(axis=0, keepdims=True) + _NOBODY)
    return of_source * of_target


def _check(alike, source, target, model, reach, steps):
    if alike.shape != (len(source), len(target)) or not alike.size:
        raise ValueError(
            'wanted alike [P, Q], source [P, 2] and target [Q, 2], got '
            f'{alike.shape}, {source.shape} and {target.shape}'
        )
    if model not in MODELS:
        raise ValueError(f'model must be one of {MODELS}, got {model!r}')
    if min(reach) <= 0 or steps < 1:
        raise ValueError(
            f'wanted reach > 0 and steps >= 1, got {tuple(reach)} and {steps}'
        )

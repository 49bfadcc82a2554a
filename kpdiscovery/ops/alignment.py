"""Transforms that take points to points: from the fewest matches, or from many.

All are `[3, 3]` matrices, target = projection of matrix @ [x, y, 1]. For float32 the
points should be centred and spread by about 1.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from kpdiscovery.ops import homographies, linear

MODELS = ('none', 'translation', 'affine', 'homography')  # In order of freedom.
SAMPLE = {'translation': 1, 'affine': 3, 'homography': 4}  # Matches that fix one.
_FREE = {'translation': (2, 5), 'affine': range(6), 'homography': range(8)}  # Entries.
_TRIPLES = ((0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3))
_AREA = 1e-5  # Twice that of a triangle of points spread by 1; less is a line.
_HORIZON = 1e-6  # Of the third coordinate: points behind it are not seen.
_STEPS = 4  # Of the weights; no more changed any result.


def fit_samples(model: str, source: jax.Array, target: jax.Array) -> jax.Array:
    """The transforms `[S, 3, 3]` that samples `[S, n, 2]` fix, n = `SAMPLE[model]`.

    Samples that fix none, for points on a line, give what is not finite or not sound.
    """
    if source.shape[1:] != (SAMPLE[model], 2) or target.shape != source.shape:
        raise ValueError(
            f'wanted samples [S, {SAMPLE[model]}, 2] of a {model}, got '
            f'{source.shape} and {target.shape}'
        )
    return _FIT[model](source, target)


def spread(points: jax.Array) -> jax.Array:
    """Whether no three of the points `[S, n, 2]`, n <= 4, lie on a line: `[S]` bool."""
    good = jnp.ones(len(points), bool)
    for triple in _TRIPLES:
        if max(triple) < points.shape[1]:
            a, b, c = (points[:, i] for i in triple)
            u, v = b - a, c - a
            good &= jnp.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) > _AREA
    return good


def project(matrix: jax.Array, xy: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Points `[M, 2]` moved, and `[M]` bool: those before the horizon; others stay."""
    u, v, w = jnp.einsum('ij,mj->im', matrix, _lift(xy), precision='highest')
    ahead = w > _HORIZON
    moved = jnp.stack([u, v], axis=1) / jnp.where(ahead, w, 1.0)[:, None]
    return jnp.where(ahead[:, None], moved, xy), ahead


def refine(
    model: str,
    matrix: jax.Array,
    source: jax.Array,
    target: jax.Array,
    valid: jax.Array,
    *,
    reach: jax.Array,
) -> jax.Array:
    """Least squares of the distances in the target, weighted by how well they agree.

    The weight of a distance d is (1 - d^2 / reach)^2, 0 beyond (Tukey's biweight): a
    wrong match that is within reach by chance hardly pulls. Gauss-Newton steps.

    Args:
        model: the entries of the matrix that it leaves free change.
        matrix: `[3, 3]`, entry [2, 2] being 1, to start from.
        source: `[M, 2]`.
        target: `[M, 2]`.
        valid: `[M]` bool, matches that count.
        reach: scalar, squared distance from which on a match has no weight.

    Returns:
        `[3, 3]`; not finite where the matches do not fix a transform.
    """
    free = jnp.array(_FREE[model])

    def step(_, matrix):
        moved, ahead = project(matrix, source)
        apart = target - moved
        weight = jnp.maximum(1 - jnp.sum(apart**2, axis=-1) / reach, 0) ** 2
        weight = jnp.where(valid & ahead, weight, 0.0)
        gram, pull = _normal_equations(matrix, source, target, weight, free)
        return _changed(matrix, free, linear.solve(gram, pull[:, None])[:, 0])

    return jax.lax.fori_loop(0, _STEPS, step, matrix)


def pulled_step(
    model: str,
    matrix: jax.Array,
    source: jax.Array,
    target: jax.Array,
    weight: jax.Array,
    *,
    pull: float,
) -> jax.Array:
    """One Gauss-Newton step of weighted least squares with a pull to the identity.

    For an affine map it is the solution itself. With a pull > 0 there always is one.

    Args:
        model: the entries of the matrix that it leaves free change.
        matrix: `[3, 3]`, entry [2, 2] being 1.
        source: `[M, 2]`.
        target: `[M, 2]`.
        weight: `[M]`, not negative.
        pull: weight of each free entry's squared distance from the identity's.
    """
    free = jnp.array(_FREE[model])
    _, ahead = project(matrix, source)
    weight = jnp.where(ahead, weight, 0.0)
    gram, slope = _normal_equations(matrix, source, target, weight, free)
    away = (matrix - jnp.eye(3)).reshape(9)[free]
    gram, slope = gram + pull * jnp.eye(len(free)), slope - pull * away
    return _changed(matrix, free, linear.solve(gram, slope[:, None])[:, 0])


def plausible(matrix: jax.Array, points: jax.Array, *, scale: float) -> jax.Array:
    """Whether a transform `[3, 3]` stretches nowhere by more than `scale`: scalar bool.

    Nor by less than its inverse, and does not reflect; at each of the points `[M, 2]`.
    """
    _, ahead = project(matrix, points)
    u, v, w = jnp.einsum('ij,mj->im', matrix, _lift(points), precision='highest')
    w = jnp.where(ahead, w, 1.0)
    rows = matrix[None, :2, :2] / w[:, None, None]
    seen = jnp.stack([u, v], axis=1)[:, :, None] / (w**2)[:, None, None]
    (a, b), (c, d) = jnp.moveaxis(rows - seen * matrix[None, 2:, :2], 0, -1)
    # Singular values are turn + skew and turn - skew, the latter negative if it reflects.
    turn, skew = jnp.hypot(a + d, c - b) / 2, jnp.hypot(a - d, c + b) / 2
    return (ahead & (turn - skew >= 1 / scale) & (turn + skew <= scale)).all()


def _normal_equations(matrix, source, target, weight, free):
    """Gram matrix `[entries, entries]` and right side, of changes of the free entries."""
    add = functools.partial(jnp.einsum, precision='highest')
    lifted = _lift(source)
    moved, ahead = project(matrix, source)
    w = add('j,mj->m', matrix[2], lifted)
    unit = lifted / jnp.where(ahead, w, 1.0)[:, None]
    none = jnp.zeros_like(unit)
    by_u = jnp.concatenate([unit, none, -moved[:, :1] * unit[:, :2]], axis=1)
    by_v = jnp.concatenate([none, unit, -moved[:, 1:] * unit[:, :2]], axis=1)
    slopes = jnp.stack([by_u, by_v], axis=1)[..., free]  # [M, 2, entries]
    weighted = slopes * weight[:, None, None]
    right = add('mci,mc->i', weighted, target - moved)
    return add('mci,mcj->ij', weighted, slopes), right


def _changed(matrix, free, change):
    return matrix.reshape(9).at[free].add(change).reshape(3, 3)


def _fit_translation(source, target):
    shift = (target - source)[:, 0]
    return jnp.tile(jnp.eye(3), (len(shift), 1, 1)).at[:, :2, 2].set(shift)


def _fit_affine(source, target):
    rows = jnp.swapaxes(linear.solve(_lift(source), target), 1, 2)  # [S, 2, 3]
    last = jnp.array([[[0.0, 0.0, 1.0]]], rows.dtype)
    return jnp.concatenate([rows, jnp.broadcast_to(last, (len(rows), 1, 3))], axis=1)


def _fit_homography(source, target):
    return jax.vmap(homographies.fit_homography)(source, target).matrix


_FIT = {
    'translation': _fit_translation,
    'affine': _fit_affine,
    'homography': _fit_homography,
}


def _lift(xy):
    return jnp.concatenate([xy, jnp.ones_like(xy[..., :1])], axis=-1)

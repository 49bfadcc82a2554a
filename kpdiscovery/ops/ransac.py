"""The transform that most of uncertain matches agree on (RANSAC), on the device.

Matches may share points: a cell of one kind matches all of that kind. Those that agree are
counted once a point, on the side that has fewer, lest a transform that shrinks everything
onto a dense place win.

M matches, H hypotheses. Everything has a fixed shape: `jit`, and `vmap` over pairs of
pictures, work.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.ops import alignment, precision
from kpdiscovery.ops.alignment import MODELS, SAMPLE

_SLACK = 1e-4  # So that rounding does not decide about distances of just the tolerance.


class Ransac(NamedTuple):
    """A transform, the matches that agree with it, and which kind it is."""

    matrix: jax.Array  # [3, 3]: target = projection of matrix @ [x, y, 1].
    inliers: jax.Array  # [M] bool
    model: jax.Array  # Scalar int32, index in `MODELS`.


class _Matches(NamedTuple):
    """Matches about their centres, in one scale for both sides."""

    source: jax.Array  # [M, 2]
    target: jax.Array  # [M, 2]
    valid: jax.Array  # [M] bool
    reach: jax.Array  # Scalar: squared distance up to which a match agrees.
    places: jax.Array  # [2, M] int32, the first match with the same source, and target.


def ransac(
    key: jax.Array,
    source: jax.Array,
    target: jax.Array,
    valid: jax.Array,
    *,
    model: str = 'affine',
    hypotheses: int = 500,
    tolerance: float = 1.0,
    minimum: int = 6,
    scale: float = 3.0,
    refine: bool = True,
) -> Ransac:
    """The transform of source to target with the most inliers; of equals the closest.

    Models are tried in the order of `MODELS`, from the identity to the wanted one. One
    takes over if more points agree than with the one before it, and at least `minimum`
    (a translation: one). So matches that are too few, or on a line, end in a
    translation, and none in the identity.

    Args:
        key: for the samples.
        source: `[M, 2]` points (x, y).
        target: `[M, 2]`, in the units of the tolerance.
        valid: `[M]` bool, matches that count; the others may hold anything. Points that
            are not finite never count.
        model: one of `MODELS`; 'none' is the identity.
        hypotheses: fixed number of samples. Those with points on one line or in one
            place, on either side, are rejected.
        tolerance: distance in the target up to which a match is an inlier.
        minimum: points that agree of an affine map or a homography; as many as fix it
            always do, and say nothing.
        scale: stretch in any direction at most, and its inverse at least, at the
            sources of matches that count; a reflection never.
        refine: fit the best sample's transform to all matches near it, by least squares
            in which those towards the tolerance weigh little (`alignment.refine`). Kept
            unless the squared distances, each at most the tolerance's, sum to more.

    Returns:
        Matrices of affine maps end in (0, 0, 1), homographies in 1.

    Raises:
        ValueError: shapes that do not fit, or options out of range or not known.

    Source: [fischler1981].
    """
    _check(source, target, valid, model, hypotheses, tolerance, minimum, scale)
    matches, into, out_of = _standardized(source, target, valid, tolerance)
    start = _same_place(into, out_of)
    found = Ransac(start, _agreement(matches, start)[0], jnp.zeros((), jnp.int32))
    for number, name in enumerate(MODELS[1 : MODELS.index(model) + 1], 1):
        of_model = jax.random.fold_in(key, number)
        matrix, inliers = _search(of_model, matches, name, hypotheses, refine, scale)
        least = 1 if name == 'translation' else max(minimum, SAMPLE[name])
        count, before = _count(matches, inliers), _count(matches, found.inliers)
        better = (count >= least) & (count > before)
        fresh = Ransac(matrix, inliers, jnp.full((), number, jnp.int32))
        found = jax.tree.map(functools.partial(jnp.where, better), fresh, found)
    return found._replace(matrix=_in_units(found, into, out_of))


def _standardized(source, target, valid, tolerance):
    """Matches in a frame fit for float32, the map into it and the map out of it."""
    source, target = precision.full(source), precision.full(target)
    valid &= jnp.isfinite(source).all(-1) & jnp.isfinite(target).all(-1)
    count = jnp.maximum(valid.sum(), 1)

    def centred(xy):
        centre = jnp.where(valid[:, None], xy, 0.0).sum(0) / count
        return jnp.where(valid[:, None], xy - centre[None], 0.0), centre

    (source, middle), (target, target_middle) = centred(source), centred(target)
    squares = ((source**2).sum() + (target**2).sum()) / (2 * count)
    scale = jnp.where(squares > 0, jnp.sqrt(squares), 1.0)
    reach = (tolerance * (1 + _SLACK) / scale) ** 2
    into, out_of = _zoom(1 / scale, -middle / scale), _zoom(scale, target_middle)
    places = jnp.stack([_first_same(source), _first_same(target)])
    matches = _Matches(source / scale, target / scale, valid, reach, places)
    return matches, into, out_of


def _first_same(points):
    """The first of the points `[M, 2]` that is the same: `[M]` int32."""
    same = (points[:, None] == points[None]).all(axis=-1)
    return jnp.argmax(same, axis=1).astype(jnp.int32)


def _count(matches, inliers):
    """Points of inliers `[M]`, on the side that has fewer of them."""
    here = lambda places: jnp.zeros_like(inliers).at[places].max(inliers).sum()
    return jnp.minimum(*map(here, matches.places))


def _zoom(scale, shift):
    return jnp.eye(3).at[:2, :2].multiply(scale).at[:2, 2].set(shift)


def _same_place(into, out_of):
    """The map in standard units that is the identity in the caller's."""
    scale = out_of[0, 0]
    return _zoom(1.0, -into[:2, 2] - out_of[:2, 2] / scale)


def _in_units(found, into, out_of):
    product = functools.partial(jnp.matmul, precision='highest')
    matrix = product(product(out_of, found.matrix), into)
    last = matrix[2, 2]  # 0 where the horizon goes through the caller's origin.
    matrix = matrix / jnp.where(jnp.abs(last) > 1e-6, last, 1.0)
    return jnp.where(found.model > 0, matrix, jnp.eye(3))


def _search(key, matches, name, hypotheses, refine, scale):
    """The best matrix of a model and its inliers; none where no sample will do."""
    picked, enough = _samples(key, matches.valid, SAMPLE[name], hypotheses)
    source, target = matches.source[picked], matches.target[picked]  # [H, n, 2]
    matrices = alignment.fit_samples(name, source, target)
    sound = enough & jnp.isfinite(matrices).all(axis=(1, 2))
    sound &= alignment.spread(source) & alignment.spread(target)
    sober = functools.partial(_plausible, matches, scale=scale)
    sound &= jax.vmap(sober)(matrices)
    inliers, error = jax.vmap(functools.partial(_agreement, matches))(matrices)
    counts = jax.vmap(functools.partial(_count, matches))(inliers)
    count = jnp.where(sound, counts, -1)
    best = jnp.argmin(jnp.where(count == count.max(), error, jnp.inf))
    matrix = jnp.where(sound[best], matrices[best], jnp.eye(3))
    inliers = inliers[best] & sound[best]
    if not refine:
        return matrix, inliers
    finer = alignment.refine(name, matrix, *matches[:3], reach=matches.reach)
    agree, finer_error = _agreement(matches, finer)
    gain = matches.reach * (agree.sum() - inliers.sum()) - (finer_error - error[best])
    keep = sound[best] & jnp.isfinite(finer).all() & (gain >= 0) & sober(finer)
    return jnp.where(keep, finer, matrix), jnp.where(keep, agree, inliers)


def _plausible(matches, matrix, *, scale):
    """As `alignment.plausible`, at the corners of where matches that count are."""
    where = matches.valid[:, None]
    low = jnp.where(where, matches.source, jnp.inf).min(axis=0)
    high = jnp.where(where, matches.source, -jnp.inf).max(axis=0)
    corners = jnp.stack([low, high, jnp.stack([low[0], high[1]]),
                         jnp.stack([high[0], low[1]])])  # fmt: skip
    return alignment.plausible(matrix, corners, scale=scale * (1 + _SLACK))


def _samples(key, valid, n, hypotheses):
    """`[H, n]` different matches that count, and whether there are so many."""
    order = jnp.argsort(~valid, stable=True)  # Those that count first.
    many = valid.sum()
    uniform = jax.random.uniform(key, (hypotheses, n))
    ranks = jnp.zeros((hypotheses, 0), jnp.int32)
    for i in range(n):
        left = many - i
        rank = jnp.minimum((uniform[:, i] * left).astype(jnp.int32), left - 1)
        # Among those left; ranks taken before are stepped over, the lowest first.
        for taken in jnp.sort(ranks, axis=1).T:
            rank += rank >= taken
        ranks = jnp.concatenate([ranks, rank[:, None]], axis=1)
    return order[jnp.clip(ranks, 0, len(valid) - 1)], many >= n


def _agreement(matches, matrix):
    """`[M]` inliers of a matrix, and the sum of their squared distances."""
    moved, ahead = alignment.project(matrix, matches.source)
    squares = jnp.sum((moved - matches.target) ** 2, axis=-1)
    inliers = matches.valid & ahead & (squares <= matches.reach)
    return inliers, jnp.where(inliers, squares, 0.0).sum()


def _check(source, target, valid, model, hypotheses, tolerance, minimum, scale):
    if source.shape != (*valid.shape, 2) or target.shape != source.shape:
        raise ValueError(
            'wanted source and target [M, 2] and valid [M], got '
            f'{source.shape}, {target.shape} and {valid.shape}'
        )
    if valid.ndim != 1 or not len(valid):
        raise ValueError(f'wanted at least one slot for matches, got {valid.shape}')
    if model not in MODELS:
        raise ValueError(f'model must be one of {MODELS}, got {model!r}')
    if hypotheses < 1 or tolerance <= 0 or minimum < 1 or scale < 1:
        raise ValueError(
            'wanted hypotheses >= 1, tolerance > 0, minimum >= 1 and scale >= 1, got '
            f'{hypotheses}, {tolerance}, {minimum} and {scale}'
        )

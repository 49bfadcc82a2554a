"""Non-maximum suppression: of several points close together only the best stay.

One function a kind, since published detectors differ:
maps are thinned greedily, lists of points greedily by distance or adaptively. Ties go to
the point that comes first.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def suppress_greedily(scores: jax.Array, *, radius: int) -> jax.Array:
    """Maps `[..., H, W]`, zero but at points no better point has suppressed.

    The best pixel stays and clears the square of `radius` pixels around it (Chebyshev
    distance), then the best of what is left, and so on. Non-negative scores; done in as
    many parallel passes as the longest chain of neighbours needs.
    """
    _check_radius(radius)
    flat = scores.reshape(-1, *scores.shape[-2:])
    order = _ranks(flat)
    kept = jnp.zeros(flat.shape, bool)
    going = lambda carry: carry[1]

    def again(carry):
        kept, _ = carry
        more = _one_pass(order, kept, radius)
        return more, (more != kept).any()

    kept, _ = jax.lax.while_loop(going, again, (kept, jnp.asarray(True)))
    return jnp.where(kept.reshape(scores.shape), scores, 0)


def suppress_near(xy: jax.Array, score: jax.Array, *, radius: float) -> jax.Array:
    """Which of the points `[..., N, 2]` stay: bool `[..., N]`.

    Greedy by `score` `[..., N]`; those within `radius` pixels (Chebyshev) of a kept one
    go, and those that score 0.
    """
    gap = jnp.abs(xy[..., :, None, :] - xy[..., None, :, :]).max(axis=-1)
    return _greedy(gap <= radius, score)


def suppress_adaptively(
    xy: jax.Array, score: jax.Array, k: int, *, robust: float = 1.0
) -> jax.Array:
    """The K points that are best over the widest areas, so that they spread.

    A point's area reaches to the nearest point that is clearly better, that is whose
    score times `robust` is higher.

    Args:
        xy: `[..., N, 2]` pixels.
        score: `[..., N]`; points that score 0 are none.
        k: number wanted.
        robust: in (0, 1]. The paper has 0.9, with which all points that score almost
            as much as the best count as unbeaten, however close together.

    Returns:
        `[..., K]` int32: which points, the widest area first; -1 where there are no
        more.

    Source: [brown2005], adaptive non-maximal suppression.
    """
    n = score.shape[-1]
    squares = jnp.sum((xy[..., :, None, :] - xy[..., None, :, :]) ** 2, axis=-1)
    better = robust * score[..., None, :] > score[..., :, None]
    better |= (squares == 0) & _before(score)  # Two at one place are one point.
    reach = jnp.where(better, squares, jnp.inf).min(axis=-1)
    there = (score > 0) & (reach > 0)
    ranked = jnp.lexsort((-score, -reach, ~there), axis=-1)
    ranked = jnp.where(jnp.take_along_axis(there, ranked, -1), ranked, -1)
    pad = [(0, 0)] * (ranked.ndim - 1) + [(0, max(k - n, 0))]
    return jnp.pad(ranked, pad, constant_values=-1)[..., :k].astype(jnp.int32)


def _before(score):
    """Whether point j comes before point i, `[..., N (i), N (j)]`: better, or as good
    and earlier."""
    place = jnp.arange(score.shape[-1])
    mine, other = score[..., :, None], score[..., None, :]
    earlier = (place[None, :] < place[:, None]).reshape(
        (1,) * (score.ndim - 1) + (place.size,) * 2
    )
    return (other > mine) | ((other == mine) & earlier)


def _greedy(conflict, score):
    """Greedy choice where `conflict` `[..., N, N]` says who suppresses whom."""
    beaten_by = conflict & _before(score)
    there = score > 0

    def again(carry):
        kept, _ = carry
        # A point stays once all that would suppress it are gone.
        gone = ~there | (beaten_by & kept[..., None, :]).any(axis=-1)
        more = there & ~(beaten_by & ~gone[..., None, :]).any(axis=-1)
        return more, (more != kept).any()

    start = jnp.zeros(score.shape, bool), jnp.asarray(True)
    return jax.lax.while_loop(lambda carry: carry[1], again, start)[0]


def _one_pass(scores, kept, radius):
    """Keeps the highest of each neighbourhood among those not yet suppressed."""
    gone = _max_pool(kept.astype(scores.dtype), radius) > 0
    left = jnp.where(gone, 0, scores)
    return kept | ((left == _max_pool(left, radius)) & ~gone & (scores > 0))


def _ranks(scores):
    """Scores replaced by their rank, 1 for the lowest: no ties. Zero stays zero."""
    b, h, w = scores.shape
    flat = scores.reshape(b, h * w)
    order = jnp.argsort(-flat, axis=-1, stable=True)
    ranks = jnp.argsort(order, axis=-1)
    ranks = (h * w - ranks).astype(jnp.float32)  # Exact below 2**24 pixels.
    return jnp.where(flat > 0, ranks, 0).reshape(scores.shape)


def _max_pool(scores, radius):
    for axis in (scores.ndim - 2, scores.ndim - 1):  # A square maximum is separable.
        dims = [2 * radius + 1 if i == axis else 1 for i in range(scores.ndim)]
        ones = [1] * scores.ndim
        scores = jax.lax.reduce_window(
            scores, -jnp.inf, jax.lax.max, dims, ones, 'SAME'
        )
    return scores


def _check_radius(radius):
    if radius < 0:
        raise ValueError(f'radius must not be negative, got {radius}')

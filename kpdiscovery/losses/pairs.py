"""The contrastive loss of all pairs of descriptors of a batch, without storing them.

Rows meet all columns a block of rows at a time, and again for the gradient. On TPUs the
compiler keeps such a block on the chip.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.ops import parallel

FORMS = ('distance', 'squared')
_EPS = 1e-9  # Under the root, where the distance has no gradient.
_BLOCK = 512  # Rows at most.


class PairSums(NamedTuple):
    """`[3]` float32 each: one landmark in one picture, two in one, two in two pictures."""

    losses: jax.Array
    counts: jax.Array


def contrastive_sums(
    x: jax.Array,
    label: jax.Array,
    picture: jax.Array,
    *,
    margin: float = 0.8,
    form: str = 'distance',
) -> PairSums:
    """Terms of `contrastive_landmarks` summed over all pairs of points of a whole batch.

    Pairs count from both ends. A point and itself are no pair, nor is one landmark in two
    pictures. Under a mesh each device, with its share of the points, meets everyone's.

    Args:
        x: `[N, D]` descriptors, float32 or bfloat16; N a multiple of the devices.
        label: `[N]` int32, the landmark of each, -1 for points that do not count.
        picture: `[N]` int32.

    Raises:
        ValueError: shapes or an unknown form.

    Source: as `contrastive_landmarks`; pairs of two pictures are our own.
    """
    if x.ndim != 2 or label.shape != x.shape[:1] or picture.shape != x.shape[:1]:
        raise ValueError(
            'contrastive_sums needs x [N, D], label [N] and picture [N], got '
            f'{x.shape}, {label.shape} and {picture.shape}'
        )
    check(form)
    who = jnp.stack([label, picture, jnp.arange(len(x))], axis=1).astype(jnp.int32)
    sums = functools.partial(_over_devices, (margin, form))
    return parallel.over_rows(sums, (x, who))[1]


def check(form: str) -> None:
    """Raises ValueError for an unknown form."""
    if form not in FORMS:
        raise ValueError(f'form must be one of {FORMS}, got {form!r}')


def hinge(squares: jax.Array, margin: float, form: str) -> jax.Array:
    """The loss of points of different landmarks, by their squared distances."""
    if form == 'squared':
        return jnp.maximum(margin - squares, 0)
    return jnp.maximum(margin - jnp.sqrt(squares + _EPS), 0) ** 2


def _slope(squares, margin, form):
    """The derivative of `hinge`."""
    if form == 'squared':
        return jnp.where(squares < margin, -1.0, 0.0)
    return jnp.minimum(1 - margin * jax.lax.rsqrt(squares + _EPS), 0)


def _over_devices(options, points, axis_name):
    x, who = points
    others = [
        parallel.gather_rows(a, axis_name) for a in (jax.lax.stop_gradient(x), who)
    ]
    found = PairSums(*_sums(options, x, who, *others))
    return (), parallel.total(found, axis_name)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _sums(options, x, who, others, whose):
    """Of rows `[n, D]` with `others` `[N, D]`; `who` and `whose` are `[..., 3]`."""

    def block(rows):
        squares, kinds = _pairs(rows, (others, whose))
        apart = hinge(squares, *options)
        terms = zip(kinds, (squares, apart, apart), strict=True)
        loss = jnp.stack([jnp.sum(jnp.where(kind, a, 0)) for kind, a in terms])
        return loss, jnp.stack([jnp.sum(kind, dtype=jnp.float32) for kind in kinds])

    found = jax.lax.map(block, _blocks(x, who))
    return tuple(part.sum(axis=0) for part in found)


def _forward(options, *arguments):
    return _sums(options, *arguments), arguments


def _backward(options, arguments, slopes):
    """A row gets what its pairs give it at both ends, so that no device owes another."""
    x, who, others, whose = arguments

    pulls = slopes[0]

    def block(rows):
        squares, (same, inside, outside) = _pairs(rows, (others, whose))
        apart = _slope(squares, *options)
        apart *= jnp.where(inside, pulls[1], jnp.where(outside, pulls[2], 0))
        pull = jnp.where(same, pulls[0], apart)
        towards = jnp.matmul(pull, others.astype(jnp.float32), precision='highest')
        return 4 * (pull.sum(axis=1, keepdims=True) * rows[0] - towards)

    found = jax.lax.map(block, _blocks(x, who)).reshape(-1, x.shape[1])
    return found[: len(x)].astype(x.dtype), None, None, None


_sums.defvjp(_forward, _backward)


def _blocks(x, who):
    """Equal blocks of rows, `[blocks, n, ...]`, filled up with points without label."""
    many = -(-len(x) // _BLOCK)
    missing = -len(x) % many
    fill = lambda a, value: jnp.pad(
        a, ((0, missing), (0, 0)), constant_values=value
    ).reshape(many, -1, a.shape[1])
    return fill(x, 0), fill(who, -1)


def _pairs(rows, columns):
    """Squared distances `[n, N]`, without the differences, and the three kinds of pairs."""
    (x, who), (others, whose) = rows, columns
    inner = jnp.matmul(
        x, others.T, precision='highest', preferred_element_type=jnp.float32
    )
    lengths = [jnp.sum(a.astype(jnp.float32) ** 2, axis=1) for a in (x, others)]
    squares = jnp.maximum(lengths[0][:, None] - 2 * inner + lengths[1][None], 0)
    labels, pictures, numbers = zip(who.T[:, :, None], whose.T[:, None], strict=True)
    counts = (labels[0] >= 0) & (labels[1] >= 0) & (numbers[0] != numbers[1])
    same, near = labels[0] == labels[1], pictures[0] == pictures[1]
    return squares, (
        counts & same & near,
        counts & ~same & near,
        counts & ~same & ~near,
    )

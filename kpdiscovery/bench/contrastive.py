"""Time the contrastive loss of all pairs of descriptors of a batch, and its gradient.

A picture has 60 points, as two views of 30, and 100 labels there are. The peer, and `stored`
of ours, keep a number a pair and differentiate that. Cases of `pictures` are the pairs
inside pictures alone, a batched product of 60 by 60.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery import losses
from kpdiscovery.bench import comparison, points

_POINTS, _LABELS = 60, 100
_MARGIN, _EPS = 0.8, 1e-9


def options(parser) -> None:
    """Adds `--rows`, `--channels`, and what every comparison has."""
    comparison.options(parser, ('torch',))
    points.options(parser, '960,3840')


def cases(args) -> Iterator[comparison.Case]:
    """For every N the loss, its gradient and the gradient inside pictures."""
    for n in args.rows:
        x, label, picture = _batch(n, args.channels)
        name = f'n{n}_d{args.channels}'
        case = functools.partial(comparison.Case, unit='pairs', bytes=2 * x.nbytes)
        flops = 2 * n * n * args.channels
        yield case(
            f'{name}_forward', (x, label, picture),
            {'auto': _elsewhere, 'stored': _stored}, count=n * n, flops=flops,
            peers={'torch': functools.partial(_torch, x, label, picture, slope=False)},
        )  # fmt: skip
        yield case(
            f'{name}_gradient', (x, label, picture),
            {'auto': jax.value_and_grad(_elsewhere), 'stored': jax.value_and_grad(_stored)},
            count=n * n, flops=3 * flops, compare=_apart,
            peers={'torch': functools.partial(_torch, x, label, picture, slope=True)},
        )  # fmt: skip
        many = n // _POINTS
        apart = x[: many * _POINTS].reshape(many, _POINTS, -1)
        yield case(
            f'{name}_pictures_gradient', (apart, label[: many * _POINTS].reshape(many, -1)),
            {'auto': jax.value_and_grad(_inside)}, count=many * _POINTS**2,
        )  # fmt: skip


def _batch(n, channels):
    """Descriptors around their labels' centres, distances on both sides of the margin."""
    rng = np.random.default_rng(0)
    label = rng.integers(_LABELS, size=n, dtype=np.int32)
    centres = rng.standard_normal((_LABELS, channels), dtype=np.float32)
    x = centres[label] + 0.5 * rng.standard_normal((n, channels), dtype=np.float32)
    x *= np.float32(_MARGIN / np.sqrt(2.5 * channels))
    return x, label, np.arange(n, dtype=np.int32) // _POINTS


def _elsewhere(x, label, picture):
    found = losses.contrastive_sums(x, label, picture, margin=_MARGIN)
    return found.losses[2] / jnp.maximum(found.counts[2], 1)


def _squares(x):
    inner = jnp.einsum('...pd,...qd->...pq', x, x, precision='highest')
    length = jnp.sum(x * x, axis=-1)
    return jnp.maximum(length[..., None] - 2 * inner + length[..., None, :], 0)


def _stored(x, label, picture):
    different = label[:, None] != label[None]
    counts = different & (picture[:, None] != picture[None])
    return losses.contrastive_landmarks(_squares(x), ~different, counts, margin=_MARGIN)


def _inside(x, label):
    same = label[:, :, None] == label[:, None]
    counts = ~jnp.eye(_POINTS, dtype=bool)[None]
    return losses.contrastive_landmarks(_squares(x), same, counts, margin=_MARGIN)


def _torch(x, label, picture, *, slope):
    torch = comparison.installed('torch')
    device = comparison.torch_device()
    x, label, picture = (torch.tensor(a, device=device) for a in (x, label, picture))
    x.requires_grad_(slope)

    def loss():
        counts = label[:, None] != label[None]
        counts &= picture[:, None] != picture[None]
        length = (x * x).sum(1)
        squares = torch.addmm(length[:, None] + length[None], x, x.T, alpha=-2)
        short = (_MARGIN - (squares.clamp(min=0) + _EPS).sqrt()).clamp(min=0)
        return (short * short * counts).sum() / counts.sum()

    if not slope:
        return comparison.finished(loss)

    def both():
        value = loss()
        return value.detach(), torch.autograd.grad(value, x)[0]

    return comparison.finished(both)


def _apart(ours, theirs):
    """Gradients, relative to the largest number in them."""
    slope = comparison.host(theirs[1])
    gap = np.abs(np.asarray(ours[1]) - slope).max()
    return {'largest_difference': float(gap / np.abs(slope).max())}

"""Time the sliced Wasserstein distance of two clouds, with its gradient to both.

The peers: POT's function on PyTorch tensors, and the same few lines written in PyTorch.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax
import numpy as np

from kpdiscovery import losses
from kpdiscovery.bench import comparison, points


def options(parser) -> None:
    """Adds `--rows`, `--channels`, `--directions` and those of any case."""
    comparison.options(parser, ('pot', 'torch'))
    points.options(parser, '456,12288', channels=32)
    parser.add_argument('--directions', type=int, default=100, help='P, default 100')


def cases(args) -> Iterator[comparison.Case]:
    """A case for every N."""
    ours = jax.value_and_grad(losses.sliced_wasserstein, argnums=(0, 1))
    for n in args.rows:
        d, p = args.channels, args.directions
        x, y = points.cloud(n, d, 0), points.cloud(n, d, 1)
        along = np.asarray(losses.random_directions(jax.random.key(0), p, d))
        yield comparison.Case(
            case=f'n{n}_d{d}_p{p}', arguments=(x, y, along), ours={'auto': ours},
            unit='points', count=n, bytes=16 * n * d, flops=8 * n * d * p,
            peers={'pot': functools.partial(_pot, x, y, along),
                   'torch': functools.partial(_torch, x, y, along)},
            compare=_apart,
        )  # fmt: skip


def _pot(x, y, along):
    ot = comparison.installed('pot')
    distance = lambda x, y, d: (
        ot.sliced_wasserstein_distance(x, y, projections=d.T) ** 2
    )
    return _with_gradient(distance, x, y, along)


def _torch(x, y, along):
    torch = comparison.installed('torch')
    ranked = lambda cloud, d: torch.sort(d @ cloud.T, dim=1)[0]
    distance = lambda x, y, d: ((ranked(x, d) - ranked(y, d)) ** 2).mean()
    return _with_gradient(distance, x, y, along)


def _with_gradient(distance, x, y, along):
    torch = comparison.installed('torch')
    device = comparison.torch_device()
    clouds = [
        torch.tensor(cloud, device=device, requires_grad=True) for cloud in (x, y)
    ]
    along = torch.tensor(along, device=device)

    def run():
        value = distance(*clouds, along)
        return value.detach(), torch.autograd.grad(value, clouds)

    return comparison.finished(run)


def _apart(ours, theirs):
    """The largest differences of value and gradients, relative to the largest."""
    pairs = zip((ours[0], *ours[1]), (theirs[0], *theirs[1]), strict=True)
    relative = lambda a, b: np.abs(np.asarray(a) - b).max() / np.abs(b).max()
    gaps = [float(relative(a, comparison.host(b))) for a, b in pairs]
    return {'largest_difference': max(gaps)}

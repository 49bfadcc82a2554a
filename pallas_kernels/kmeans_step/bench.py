"""Time a step of Lloyd's algorithm, against plain jnp and PyTorch.

`impl` 'high' finds the nearest with 16 bits of either side, where a kernel does it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from kpdiscovery.bench import comparison
from pallas_kernels.kmeans_step import api, shapes

_ON_CPU = 20_000  # Rows at most.


def options(parser) -> None:
    """The peer."""
    comparison.options(parser, ('torch',))


def cases(args) -> Iterator[comparison.Case]:
    """The methods' shapes; fewer rows where only a CPU runs them."""
    few = jax.default_backend() == 'cpu' and not args.topology
    for name, (n, d, k, restarts) in shapes.METHODS.items():
        n = min(n, _ON_CPU) if few else n
        scores = restarts * k
        given = (n, d), (restarts, k, d), (n,)
        arguments = _shapes(*given) if args.topology else _arrays(*given)
        yield comparison.Case(
            f'{name}_n{n}_d{d}_k{k}_r{restarts}',
            arguments,
            {'auto': api.kmeans_step,
             'high': functools.partial(api.kmeans_step, precision='high'),
             'reference': functools.partial(api.kmeans_step, implementation='reference')},
            'points',
            n,
            bytes=4 * n * (d + 1),
            flops=2 * n * d * scores,  # Sums take as many only where they are products.
            peers={'torch': functools.partial(_torch, arguments)},
        )  # fmt: skip


def _shapes(*given):
    return tuple(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in given)


def _arrays(of_rows, of_centroids, of_weights):
    keys = jax.random.split(jax.random.key(0))
    rows = jax.random.normal(keys[0], of_rows)
    return rows, jax.random.normal(keys[1], of_centroids), jnp.ones(of_weights)


def _torch(arguments):
    """On the device that jax has: as many products, sums by index."""
    torch = comparison.installed('torch')
    device = 'cuda' if jax.default_backend() == 'gpu' else 'cpu'
    x, centroids, weights = (torch.from_dlpack(a).to(device) for a in arguments)
    restarts, k, d = centroids.shape
    half = 0.5 * (centroids * centroids).sum(-1)

    def block(rows, counts, sums, many):
        for r in range(restarts):
            label = torch.addmm(half[r], rows, centroids[r].T, alpha=-1).argmin(1)
            sums[r].index_add_(0, label, rows * counts[:, None])
            many[r].index_add_(0, label, counts)

    def run():
        sums, many = x.new_zeros(restarts, k, d), x.new_zeros(restarts, k)
        for at in range(0, len(x), 65_536):  # All scores at once would not fit.
            block(x[at : at + 65_536], weights[at : at + 65_536], sums, many)
        if device == 'cuda':
            torch.cuda.synchronize()
        return sums, many

    return run

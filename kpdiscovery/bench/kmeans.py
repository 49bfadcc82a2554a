"""Time Lloyd's algorithm from given centroids, for N rows and K clusters.

A run is `--iterations` steps and the labels after the last; the peer starts from the same
centroids, the first K rows. Rates count a row once a run.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery.bench import comparison, points
from kpdiscovery.ops.kmeans import kmeans


def options(parser) -> None:
    """The peer, and the sizes: `--rows`, `--channels`, `--clusters`, `--iterations`."""
    comparison.options(parser, ('faiss',))
    points.options(parser, '20000,100000,500000')
    text = '30,100,250'
    parser.add_argument(
        '--clusters', type=points.sizes, default=text, help=f'K, default {text}'
    )
    parser.add_argument('--iterations', type=int, default=10, help='default 10')
    parser.add_argument('--seed', type=int, default=0, help='of the points, default 0')


def cases(args) -> Iterator[comparison.Case]:
    """A case for every N and K; beside a peer, the inertia of both."""
    for n, k in itertools.product(args.rows, args.clusters):
        x = points.cloud(n, args.channels, args.seed)
        visits = n * (args.iterations + 1)
        yield comparison.Case(
            f'n{n}_d{args.channels}_k{k}',
            (jnp.asarray(x), jnp.asarray(x[:k])),
            {'auto': functools.partial(_fit, iterations=args.iterations)},
            'points',
            n,
            bytes=4 * visits * args.channels,
            flops=2 * visits * args.channels * k,
            peers={'faiss': functools.partial(_faiss, x, k, args.iterations)},
            compare=lambda ours, theirs: {
                'inertia': float(ours.inertia), 'peer_inertia': theirs
            },
        )  # fmt: skip


def _fit(x, init, *, iterations):
    unused = jax.random.key(0)
    return kmeans(unused, x, len(init), init=init, iterations=iterations)


def _faiss(x, k, iterations):
    """As many steps from the same centroids, with no sampling of rows; gives inertia."""
    faiss = comparison.installed('faiss')

    def run():
        training = faiss.Clustering(x.shape[1], k)
        training.niter = iterations
        training.max_points_per_centroid = len(x)
        training.min_points_per_centroid = 1
        faiss.copy_array_to_vector(x[:k].ravel(), training.centroids)
        index = faiss.IndexFlatL2(x.shape[1])
        training.train(x, index)
        return float(np.sum(index.search(x, 1)[0], dtype='float64'))

    return run

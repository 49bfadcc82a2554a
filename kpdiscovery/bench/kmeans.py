"""Time Lloyd's algorithm from given centroids, for N rows and K clusters.

A run is `--iterations` steps and the labels after the last; the peer starts from the same
centroids, the first K rows. Rates count a row once a run.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from kpdiscovery.bench import points
from kpdiscovery.ops.kmeans import kmeans


def options(parser) -> None:
    """Adds `--rows`, `--clusters`, `--iterations` and those every cloud of points has."""
    points.options(parser, '20000,100000,500000')
    text = '30,100,250'
    parser.add_argument(
        '--clusters', type=points.sizes, default=text, help=f'K, default {text}'
    )
    parser.add_argument('--iterations', type=int, default=10, help='default 10')


def rows(args) -> Iterator[dict[str, Any]]:
    """A row for every N and K: time, inertia and, with `--against`, the peer's."""
    for n, k in itertools.product(args.rows, args.clusters):
        x = points.cloud(n, args.channels, args.seed)
        yield {
            'name': 'kmeans',
            'case': f'n{n}_d{args.channels}_k{k}',
            'impl': 'auto',
            'iterations': args.iterations,
            **_figures(args, x, k),
        }


def _figures(args, x, k):
    on_device = jnp.asarray(x)
    run = jax.jit(kmeans, static_argnames=('k', 'iterations'))
    options = {'k': k, 'init': on_device[:k], 'iterations': args.iterations}
    fit = functools.partial(run, jax.random.key(0), on_device, **options)
    peer = points.peer(args, functools.partial(_faiss, x, k, args.iterations))
    row = points.timed(args, fit, peer, len(x))
    row['inertia'] = float(fit().inertia)
    return row | ({'peer_inertia': peer.run()} if peer else {})


def _faiss(x, k, iterations):
    """Inertia after as many steps from the same centroids, with no sampling of rows."""
    faiss = points.library('faiss')
    training = faiss.Clustering(x.shape[1], k)
    training.niter = iterations
    training.max_points_per_centroid = len(x)
    training.min_points_per_centroid = 1
    faiss.copy_array_to_vector(x[:k].ravel(), training.centroids)
    index = faiss.IndexFlatL2(x.shape[1])
    training.train(x, index)
    return float(index.search(x, 1)[0].sum(dtype='float64'))

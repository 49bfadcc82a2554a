"""Time the exact nearest neighbours of all rows among all rows.

The peer's index is built within its time (it copies the rows) and asked for one more
neighbour: each row finds itself. 'most' is the search that may miss some on a TPU.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from kpdiscovery.bench import comparison, points
from kpdiscovery.ops.neighbors import nearest_distances

_RECALL = 0.99


def options(parser) -> None:
    """Adds `--rows`, `--channels`, `--neighbours`, `--seed` and those of any case."""
    comparison.options(parser, ('faiss',))
    points.options(parser, '20000,50000')
    parser.add_argument('--neighbours', type=int, default=100, help='default 100')
    parser.add_argument('--seed', type=int, default=0, help='of the points, default 0')


def cases(args) -> Iterator[comparison.Case]:
    """A case for every N."""
    for n in args.rows:
        d, k = args.channels, args.neighbours
        x = points.cloud(n, d, args.seed)
        search = functools.partial(nearest_distances, k=k)
        ours = {'auto': search}
        if args.topology:
            ours['most'] = functools.partial(search, recall=_RECALL)
        yield comparison.Case(
            case=f'n{n}_d{d}_k{k}', arguments=(jnp.asarray(x),), ours=ours,
            unit='points', count=n, bytes=4 * n * (d + k), flops=2 * n * n * d,
            peers={'faiss': functools.partial(_faiss, x, k)}, compare=_apart,
        )  # fmt: skip


def _faiss(x, k):
    """What finds `[N, k]` squared distances, nearest first, without the row itself."""
    faiss = comparison.installed('faiss')

    def find():
        index = faiss.IndexFlatL2(x.shape[1])
        index.add(x)
        return index.search(x, k + 1)[0][:, 1:]

    return find


def _apart(ours, theirs):
    """The largest difference, relative to a usual distance."""
    apart = np.abs(np.asarray(ours) - theirs).max() / np.median(theirs)
    return {'largest_difference': float(apart)}

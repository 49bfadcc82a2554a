"""Time the exact nearest neighbours of all rows among all rows.

The peer's index is built within its time (it copies the rows) and asked for one more
neighbour: each row finds itself.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery.bench import points
from kpdiscovery.ops.neighbors import nearest_distances


def options(parser) -> None:
    """Adds `--rows`, `--neighbours` and those every cloud of points has."""
    points.options(parser, '20000,50000')
    parser.add_argument('--neighbours', type=int, default=100, help='default 100')


def rows(args) -> Iterator[dict[str, Any]]:
    """A row for every N: time and, with `--against`, the peer's and how far apart."""
    for n in args.rows:
        x = points.cloud(n, args.channels, args.seed)
        yield {
            'name': 'neighbours',
            'case': f'n{n}_d{args.channels}_k{args.neighbours}',
            'impl': 'auto',
            **_figures(args, x),
        }


def _figures(args, x):
    search = jax.jit(functools.partial(nearest_distances, k=args.neighbours))
    find = functools.partial(search, jnp.asarray(x))
    peer = points.peer(args, functools.partial(_faiss, x, args.neighbours))
    row = points.timed(args, find, peer, len(x))
    if peer:
        theirs = peer.run()
        apart = np.abs(np.asarray(find()) - theirs).max() / np.median(theirs)
        row['largest_difference'] = float(apart)  # Relative to a usual distance.
    return row


def _faiss(x, k):
    """`[N, k]` squared distances, nearest first, without the row itself."""
    index = points.library('faiss').IndexFlatL2(x.shape[1])
    index.add(x)
    return index.search(x, k + 1)[0][:, 1:]

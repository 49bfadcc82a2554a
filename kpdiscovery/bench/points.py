"""What benchmarks of clouds of points share: their data, their peer, their rows."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from kpdiscovery.bench import timing
from kpdiscovery.types import UserError

BLOBS = 64
SPREAD = 0.3  # Of their centres; rows have 1 around theirs.


class Peer(NamedTuple):
    """Another library's function for the same work, and what it is called."""

    name: str
    version: str
    run: Callable[[], Any]


def options(parser, rows: str) -> None:
    """The peer, and the sizes of the clouds; `rows` such as '20000,100000'."""
    parser.add_argument('--against', choices=['faiss'], help='time a peer in turn')
    parser.add_argument(
        '--clock', choices=timing.CLOCKS, default='wall', help='cpu: of all threads'
    )
    parser.add_argument('--rows', type=sizes, default=rows, help=f'N, default {rows}')
    parser.add_argument('--channels', type=int, default=256, help='D, default 256')
    parser.add_argument('--seed', type=int, default=0, help='of the points, default 0')


def sizes(text: str) -> list[int]:
    """'20000,100000' as numbers, for argparse."""
    return [int(word) for word in text.split(',')]


def cloud(rows: int, channels: int, seed: int) -> np.ndarray:
    """`[N, D]` float32: blobs that overlap, as descriptors of landmarks do.

    Blobs apart would leave k-means with empty clusters, which libraries fill differently.
    """
    rng = np.random.default_rng(seed)
    centres = SPREAD * rng.standard_normal((BLOBS, channels), dtype=np.float32)
    cloud = rng.standard_normal((rows, channels), dtype=np.float32)
    cloud += centres[rng.integers(BLOBS, size=rows)]
    return cloud


def peer(args, run: Callable[[], Any]) -> Peer | None:
    """The peer of `--against`, which `run` asks, if any."""
    if not args.against:
        return None
    return Peer(args.against, library(args.against).__version__, run)


def library(name: str) -> Any:
    """A peer's module."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f'--against={name} needs it installed: pip install "kpdiscovery[bench]"'
        ) from error


def timed(args, run: Callable[[], Any], peer: Peer | None, n: int) -> dict[str, Any]:
    """The figures of a row over N points: ours, and the peer's timed in turn."""
    functions = {'ours': run} | ({'peer': peer.run} if peer else {})
    median = timing.median_ms(functions, args.repeats, args.clock)
    row: dict[str, Any] = {
        'device': timing.device(),
        'clock': args.clock,
        'median_ms': round(median['ours'], 4),
        'points_per_s': round(1e3 * n / median['ours'], 1),
    }
    if peer is None:
        return row
    ratio = round(median['peer'] / median['ours'], 3)
    return {
        **row,
        'peer': peer.name,
        'peer_version': peer.version,
        'peer_median_ms': round(median['peer'], 4),
        'ratio': ratio,
    }

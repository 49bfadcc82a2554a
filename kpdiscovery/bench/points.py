"""What benchmarks of clouds of points share: their sizes and their data."""

from __future__ import annotations

import numpy as np

BLOBS = 64
SPREAD = 0.3  # Of their centres; rows have 1 around theirs.


def options(parser, rows: str, channels: int = 256) -> None:
    """Adds `--rows`, such as '20000,100000', and `--channels`."""
    parser.add_argument('--rows', type=sizes, default=rows, help=f'N, default {rows}')
    parser.add_argument(
        '--channels', type=int, default=channels, help=f'D, default {channels}'
    )


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

"""A training split thinned evenly to so many rows (`data.rows`)."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from kpdiscovery.data.generated import Generated
from kpdiscovery.data.joined import OF_ALL, OF_ROWS
from kpdiscovery.types import Row, Source, UserError


class Subset:
    """Some rows of a source, in the order of `rows`.

    Args:
        rows: `[n]` row numbers of the source.

    Attributes:
        truth: the source's.
        files, paths, labels, videos: those of the rows, where the source has them.
        class_names, keypoint_names, size: the source's, where it has them.
    """

    def __init__(self, source: Source, rows: np.ndarray):
        self.source, self.rows, self.truth = source, rows, source.truth

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.source[int(self.rows[index])]

    def __getattr__(self, name: str) -> Any:
        if name in OF_ALL:
            return getattr(self.source, name)
        if name not in OF_ROWS:
            raise AttributeError(name)
        every = getattr(self.source, name)
        if every is None or isinstance(every, np.ndarray):
            return None if every is None else every[self.rows]
        return tuple(every[row] for row in self.rows)


def chosen(source: Source, num: int) -> np.ndarray:
    """Which `num` rows `thin` takes, ascending, `[min(num, N)]`; 0: all N.

    Row i is row floor(i * N / num), of a generated source row i: its rows are
    independent draws, none of them like its neighbour.

    Raises:
        UserError: `num` is negative.
    """
    if num < 0:
        raise UserError(f'data.rows must be a number of rows, 0 for all, got {num}')
    length = len(source)
    taken = min(num or length, length)
    rows = np.arange(taken)
    return rows if isinstance(source, Generated) else rows * length // max(taken, 1)


def drawn(length: int, num: int | None, seed: int = 0) -> np.ndarray:
    """`num` of `length` rows at random, ascending; None: all.

    Of one seed fewer rows are among the more.
    """
    rows = np.random.default_rng(seed).permutation(length)
    return np.sort(rows[:num])


def thin(source: Source, num: int) -> Source:
    """`chosen` rows of a source; the source itself where those are all.

    A generated source stays one, and so is still drawn on the device.
    """
    rows = chosen(source, num)
    if len(rows) == len(source):
        return source
    if not isinstance(source, Generated):
        return Subset(source, rows)
    short = copy.copy(source)
    short.length = len(rows)
    return short

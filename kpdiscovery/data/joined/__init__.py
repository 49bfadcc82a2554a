"""A source with further fields from arrays, such as keypoints found beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kpdiscovery.data.generated import Generated
from kpdiscovery.types import Row, Source

# What a source may tell of its rows or of all of them; wrappers hand it on.
OF_ROWS = ('annotated', 'crops', 'files', 'labels', 'paths', 'videos')
OF_ALL = ('class_names', 'keypoint_names', 'size', 'splits')


class Lazy:
    """A field whose row i is `read(i)`, found anew each time: not all fit in memory."""

    def __init__(self, length: int, read: Callable[[int], np.ndarray]):
        self._length, self.read = length, read

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, rows: int | np.ndarray) -> np.ndarray:
        if isinstance(rows, np.ndarray) and rows.ndim:
            return np.stack([self.read(int(row)) for row in rows])
        return self.read(int(rows))


class Joined:
    """The rows of a source, each with its row of every array in `fields`.

    `feeds.Feed` draws or reads the source as it would alone and adds the arrays' rows
    by index; they stay in host memory. What is joined twice is joined once: a `Joined`
    source gives its own fields and the source beneath.

    Args:
        source: N rows.
        fields: {name: `[N, ...]`}, arrays or `Lazy`.
        stamp: of the files they are from, for `data.identity`; '': what they are
            follows from the pictures.

    Attributes:
        truth: the source's; what was found is no truth.
        stamp: of all that is joined.
        files, labels, class_names, ...: the source's, where it has them.

    Raises:
        ValueError: an array of another length, or a name the source already has.
    """

    def __init__(
        self,
        source: Source,
        fields: Mapping[str, np.ndarray | Lazy],
        *,
        stamp: str = '',
    ):
        for name, array in fields.items():
            if len(array) != len(source):
                raise ValueError(
                    f'{name} must have {len(source)} rows, got {len(array)}'
                )
        before: Mapping[str, Any] = source.fields if isinstance(source, Joined) else {}
        taken = {'image', 'index', *source.truth, *before} & set(fields)
        if taken:
            raise ValueError(f'the source already has {sorted(taken)}')
        self.source: Source = plain(source)
        self.fields: dict[str, Any] = {**before, **fields}
        self.truth = source.truth
        own = source.stamp if isinstance(source, Joined) else ''
        self.stamp: str = own + stamp

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Row:
        return {**self.source[index], **self.extra(index)}

    def __getattr__(self, name: str) -> Any:
        if name in OF_ROWS or name in OF_ALL:
            return getattr(self.source, name)
        raise AttributeError(name)

    def extra(self, rows: int | np.ndarray) -> Row:
        """The rows of the fields alone."""
        return {name: array[rows] for name, array in self.fields.items()}


def plain(source: Source) -> Source:
    """The source without the fields that were joined to it."""
    return source.source if isinstance(source, Joined) else source


def drawn(source: Source) -> Generated | None:
    """The generated source beneath; None if rows are read."""
    base = plain(source)
    return base if isinstance(base, Generated) else None

"""A source with further fields from arrays, such as keypoints found beforehand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kpdiscovery.types import Row, Source


class Joined:
    """The rows of a source, each with its row of every array in `fields`.

    `feeds.Feed` draws or reads the source as it would alone and adds the arrays' rows
    by index; they stay in host memory.

    Args:
        source: N rows.
        fields: {name: `[N, ...]`}.

    Attributes:
        truth: the source's; what was found is no truth.

    Raises:
        ValueError: an array of another length, or a name the source already has.
    """

    def __init__(self, source: Source, fields: Mapping[str, np.ndarray]):
        for name, array in fields.items():
            if len(array) != len(source):
                raise ValueError(
                    f'{name} must have {len(source)} rows, got {len(array)}'
                )
        taken = {'image', 'index', *source.truth} & set(fields)
        if taken:
            raise ValueError(f'the source already has {sorted(taken)}')
        self.source, self.fields = source, dict(fields)
        self.truth = source.truth

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Row:
        return {**self.source[index], **self.extra(index)}

    def extra(self, rows: int | np.ndarray) -> Row:
        """The rows of the fields alone."""
        return {name: array[rows] for name, array in self.fields.items()}

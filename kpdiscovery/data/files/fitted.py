"""Fitted pictures of a whole folder: read side by side, and what is told of them.

Of processes that read one folder together (`together`), process i of n looks at rows i,
i + n, i + 2n ..., and all learn what every one has found.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from kpdiscovery import processes
from kpdiscovery.data import resize as resize_lib
from kpdiscovery.data.annotations.doubts import find_doubts
from kpdiscovery.types import UserError

_log = logging.getLogger(__name__)
_DARK = 63  # Of 255: the lightest that 14 bits in files of 16 become.


class Facts(NamedTuple):
    """What the files of a picture and of its mask were like, in whole numbers."""

    width: int  # Original pixels.
    height: int
    deep: bool  # More than 8 bits.
    lightest: int  # Value of the fitted picture.
    voids: bool = False  # Some pixel of the mask is ignored.
    numbers: bool = False  # See `masks.Mask`, as for `dark`.
    dark: bool = False


class Fitted(NamedTuple):
    """A picture fitted with its mask."""

    image: Any  # uint8 [H, W, 3]; None where it is not kept.
    frame: resize_lib.Frame
    facts: Facts
    mask: Any = None  # [H, W] bool, as is `ignored`.
    ignored: Any = None


def doubts_of(
    read: Sequence[Facts], fields: Mapping[str, np.ndarray], files: Sequence[str]
) -> tuple[str, ...]:
    """Lines about pictures, masks and annotations that can hardly be meant so.

    Args:
        read: all pictures.
        fields, files: their annotations and names, see `find_doubts`.
    """
    sizes = np.array([(one.width, one.height) for one in read], np.float64)
    lines = find_doubts(fields, sizes, files)
    deep = [one.lightest for one in read if one.deep]
    if deep and max(deep) <= _DARK:
        lines.append(
            f'16-bit pictures are no lighter than {max(deep)} of 255 (do they hold 12 '
            'bits?): --config.data.options.contrast=range takes black and white from '
            'the values of each'
        )
    if count := sum(one.numbers for one in read):
        lines.append(
            f'{count} masks hold class numbers: all but 0 are the object, 255 does '
            'not count'
        )
    if count := sum(one.dark for one in read):
        lines.append(f'{count} masks are neither black nor have anything light')
    return tuple(lines)


def in_threads(function, jobs):
    """Results in order; Pillow lets threads run side by side."""
    workers = min(16, os.cpu_count() or 1)
    with warnings.catch_warnings(), ThreadPoolExecutor(workers) as pool:
        warnings.filterwarnings('ignore', module='PIL')  # Huge, odd EXIF: still read.
        return list(
            tqdm(
                pool.map(function, jobs),
                total=len(jobs),
                desc='reading pictures',
                disable=None,  # Unless on a terminal.
                delay=2,
                leave=False,
            )
        )


def share(rows: np.ndarray, together: bool) -> np.ndarray:
    """Those of a folder's rows that this process looks at: all, if not `together`."""
    return rows[jax.process_index() :: jax.process_count()] if together else rows


def facts_of_all(
    mine: Sequence[Facts | UserError], total: int, together: bool
) -> list[Facts | None]:
    """Of all rows; one line tells of those that cannot be read, which have None.

    Args:
        mine: of this process's `share`, or why a picture cannot be read.
        total: number of all rows.

    Raises:
        UserError: none can be read.
    """
    count, width = jax.process_count() if together else 1, 1 + len(Facts._fields)
    table = np.zeros((-(-total // count), width), np.int32)
    for place, one in enumerate(mine):
        if isinstance(one, Facts):
            table[place] = 1, *one
    if together:
        table = processes.gather(table)
    rows = table.reshape(count, -1, width).swapaxes(0, 1).reshape(-1, width)[:total]
    if failed := int((rows[:, 0] == 0).sum()):
        _report_skipped(_reasons(mine, together), failed, total)
    return [Facts(*facts) if there else None for there, *facts in rows.tolist()]


def _reasons(mine, together) -> list[str]:
    """Why the first three pictures cannot be read, in the order of all rows."""
    first = [
        (place, str(one))
        for place, one in enumerate(mine)
        if isinstance(one, UserError)
    ][:3]
    told = processes.told_by_all(first) if together else [first]
    found = ((place, i, why) for i, said in enumerate(told) for place, why in said)
    return [why for _, _, why in sorted(found)[:3]]


def _report_skipped(reasons, failed, total):
    """One line about the pictures that cannot be read; UserError if that is all."""
    if failed == total:
        raise UserError(f'none of {total} pictures can be read; first: {reasons[0]}')
    more = '; ...' if failed > 3 else ''
    named = '; '.join(reasons)
    _log.warning('skipped %d of %d pictures: %s%s', failed, total, named, more)

"""Fitted pictures of a whole folder: read side by side, and what is told of them."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from kpdiscovery.data import resize as resize_lib
from kpdiscovery.data.annotations.doubts import find_doubts
from kpdiscovery.types import UserError

_log = logging.getLogger(__name__)
_DARK = 63  # Of 255: the lightest that 14 bits in files of 16 become.


class Fitted(NamedTuple):
    """A picture fitted with its mask, and what their files were like."""

    image: Any  # uint8 [H, W, 3]; None where it is not kept.
    frame: resize_lib.Frame
    deep: bool  # More than 8 bits.
    lightest: int  # Value of the fitted picture.
    mask: Any = None  # [H, W] bool, as is `ignored`.
    ignored: Any = None
    voids: bool = False  # Some pixel of the mask is ignored.
    numbers: bool = False  # See `masks.Mask`, as for `dark`.
    dark: bool = False


def doubts_of(
    read: Sequence[Fitted], fields: Mapping[str, np.ndarray], files: Sequence[str]
) -> tuple[str, ...]:
    """Lines about pictures, masks and annotations that can hardly be meant so.

    Args:
        read: all pictures.
        fields, files: their annotations and names, see `find_doubts`.
    """
    sizes = np.stack([one.frame.original for one in read])
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


def report_skipped(failed: Sequence[UserError], total: int) -> None:
    """One line about the pictures that cannot be read; UserError if that is all."""
    if len(failed) == total:
        raise UserError(f'none of {total} pictures can be read; first: {failed[0]}')
    named = '; '.join(str(error) for error in failed[:3])
    more = '; ...' if len(failed) > 3 else ''
    _log.warning('skipped %d of %d pictures: %s%s', len(failed), total, named, more)

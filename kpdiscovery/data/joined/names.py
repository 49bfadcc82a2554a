"""Which row of a file belongs to which picture, where the file names its pictures."""

from __future__ import annotations

import collections
import logging

import numpy as np

from kpdiscovery.data.annotations.npz import normal_name
from kpdiscovery.types import Source, UserError

_log = logging.getLogger(__name__)


def match(what: str, names: np.ndarray, source: Source) -> np.ndarray | None:
    """The row of each picture of a source among `names`, `[N]`; more names are no fault.

    None where the source does not name its rows, with a warning: it is by order then.

    Args:
        what: the file, for messages.
        names: `[M]` text, below the folder of the pictures, with '/'.

    Raises:
        UserError: a picture without a row, or with two.
    """
    files = getattr(source, 'files', None)
    if files is None:
        _log.warning("%s: 'files' is not read, since the data names no files", what)
        return None
    given = [normal_name(str(name)) for name in names]
    row = {name: number for number, name in enumerate(given)}
    missing = [name for name in files if normal_name(name) not in row]
    if missing:
        raise UserError(
            f"{what}: 'files' lacks {len(missing)} of {len(files)} pictures of the split: "
            f'{", ".join(missing[:3])}'
        )
    twice = [name for name, count in collections.Counter(given).items() if count > 1]
    if twice:
        raise UserError(f"{what}: 'files' names a picture twice: {twice[0]}")
    return np.array([row[normal_name(name)] for name in files])

"""Which pictures a source has, in a few short texts that runs and caches compare."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from kpdiscovery import processes
from kpdiscovery.data.generated import Generated
from kpdiscovery.data.joined import Joined, plain
from kpdiscovery.data.joined.temporal import Temporal
from kpdiscovery.types import Source, UserError

_BLOCK = 1 << 14  # Bytes read at the beginning, the middle and the end of a file.
_ROWS = 16  # Looked at of a source that says nothing of itself.


class Identity(NamedTuple):
    """What two sources of the same pictures have in common.

    Of files `content` is their sizes and 48 KiB of each, so that the largest folder costs
    little beside decoding it: an edit that changes neither is not seen. Of a drawn source
    it is its seed, options and tables; of another one its own attribute `digest` (name,
    version and split, say), or else the pixels of 16 rows.
    """

    rows: int
    names: str  # Digest of the files' names; '' of a source without.
    content: str
    joined: str  # Of the files whose points or features stand beside the pictures.


def of(source: Source) -> Identity:
    """The identity of a source; where its files lie does not matter.

    Of several processes the first looks, and all must ask.
    """
    return Identity(**processes.told_by_first(lambda: _of(source)._asdict()))


def _of(source: Source) -> Identity:
    if isinstance(source, Temporal):  # Follows from the source and the config.
        return _of(source.source)
    joined = source.stamp if isinstance(source, Joined) else ''
    base = plain(source)
    names = getattr(base, 'files', None) or ()
    named = _digest(map(os.fsencode, names)) if names else ''
    return Identity(len(base), named, _digest(_contents(base)), joined)


def difference(old: Mapping[str, Any], new: Identity) -> str:
    """What has changed since `Identity._asdict` gave `old`, in words; '' if nothing."""
    before = {**new._asdict(), **{k: v for k, v in old.items() if v is not None}}
    if before['rows'] != new.rows:
        return f'{new.rows} pictures, were {before["rows"]}'
    if before['names'] != new.names:
        return 'as many files of other names'
    if before['content'] != new.content:
        return 'other content under the same names' if new.names else 'other content'
    if before['joined'] != new.joined:
        return 'the same pictures with other points or features beside them'
    return ''


def of_file(path: str | os.PathLike) -> str:
    """Digest of a file's size and of 48 KiB of it."""
    return _digest([_sample(path)])


def _contents(source: Any) -> Iterable[bytes]:
    if own := getattr(source, 'digest', ''):
        return [str(own).encode()]
    if isinstance(source, Generated):
        leaves = jax.tree.leaves(source.tables)
        drawn = f'{source.seed} {_described(source.draw)}'
        return [drawn.encode(), *(np.asarray(leaf).tobytes() for leaf in leaves)]
    if (paths := getattr(source, 'paths', None)) is not None:
        with ThreadPoolExecutor(16) as pool:  # A remote disk answers late.
            return list(pool.map(_sample, paths))
    rows = np.unique(np.linspace(0, len(source) - 1, _ROWS).astype(int))
    images = (np.asarray(source[int(row)]['image']) for row in rows if len(source))
    return [np.ascontiguousarray(image).tobytes() for image in images]


def _sample(path) -> bytes:
    try:
        with open(path, 'rb') as file:
            size = os.fstat(file.fileno()).st_size
            if size <= 3 * _BLOCK:
                return file.read()
            parts = [str(size).encode()]
            for start in (0, (size - _BLOCK) // 2, size - _BLOCK):
                file.seek(start)
                parts.append(file.read(_BLOCK))
    except OSError as error:
        raise UserError(f'{path}: {error.strerror or error}') from None
    return b''.join(parts)


def _described(value: Any) -> str:
    """A function with what is bound to it; not the module, which may move."""
    if isinstance(value, functools.partial):
        bound = [*map(_described, value.args)]
        bound += [f'{k}={_described(v)}' for k, v in sorted(value.keywords.items())]
        return f'{_described(value.func)}({", ".join(bound)})'
    return getattr(value, '__name__', None) or repr(value)


def _digest(parts: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(hashlib.sha256(part).digest())
    return found.hexdigest()[:16]

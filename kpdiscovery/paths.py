"""Where runs are written: folders of this machine, or of a bucket (gs://BUCKET/RUN)."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from etils import epath

Path = epath.Path

# Of the disk, not of the program: no permission, full, a file where a folder is wanted.
OUTSIDE = (
    errno.EACCES, errno.EDQUOT, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOSPC,
    errno.ENOTDIR, errno.EPERM, errno.EROFS,
)  # fmt: skip
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


def folder(where: str | os.PathLike) -> epath.Path:
    """The path of a workdir; `~` is the home folder."""
    path = epath.Path(where)
    return path if is_remote(path) else path.expanduser().resolve()


def is_remote(path: str | os.PathLike) -> bool:
    """Whether it is in a bucket, where files are written as a whole and never locked."""
    return '://' in os.fspath(path)


def write(path: epath.Path, content: bytes) -> None:
    """A file, whole or not at all, in a folder that is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_remote(path):
        path.write_bytes(content)
        return
    part = path.with_name(f'{path.name}.{os.getpid()}.part')
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        _without(part)
        raise OSError(error.errno or errno.EIO, error.strerror, str(path)) from None


def write_csv(path: str | os.PathLike, rows: Iterable[Sequence[Any]]) -> None:
    """Lines, whole or not at all; names that are no Unicode keep their bytes."""
    text = io.StringIO(newline='')
    csv.writer(text).writerows(rows)
    write(epath.Path(path), text.getvalue().encode('utf-8', 'surrogateescape'))


def read_json(path: epath.Path) -> dict[str, Any]:
    """The object in a JSON file; ValueError where there is none in it."""
    try:
        found = json.loads(path.read_text())
    except RecursionError:  # Thousands of brackets.
        raise ValueError('nested too deeply') from None
    if not isinstance(found, dict):
        raise ValueError(f'a {type(found).__name__}, wanted an object')
    return found


def write_arrays(path: epath.Path, arrays: dict[str, Any]) -> None:
    """An .npz file, whole or not at all."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write(path, content.getvalue())


def cache() -> pathlib.Path:
    """Where this user keeps what can be had again."""
    folder = pathlib.Path(os.environ.get('XDG_CACHE_HOME', ''))
    if not folder.is_absolute():  # The standard: such are to be ignored.
        folder = pathlib.Path.home() / '.cache'
    return folder / 'kpdiscovery'


def local(where: str | os.PathLike) -> str | os.PathLike:
    """A path; of a file or folder in a bucket that of a copy here, brought up to date.

    Pictures are read by their rows, in another order each time: better from here.
    """
    if not is_remote(where) or not (there := epath.Path(where)).exists():
        return where
    name = hashlib.sha256(os.fspath(where).rstrip('/').encode()).hexdigest()[:16]
    copy = cache() / 'buckets' / name / there.name
    files = dict(_files(there, pathlib.Path()))
    for old in [path for path in copy.rglob('*') if path.is_file()]:
        if old.relative_to(copy) not in files:
            old.unlink()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda own: _renew(files[own], copy / own), files))
    return copy


def _files(there, own) -> Iterator[tuple[pathlib.Path, epath.Path]]:
    if not there.is_dir():
        yield own, there
        return
    for inner in there.iterdir():
        yield from _files(inner, own / inner.name)


def _renew(there, copy):
    told = there.stat()
    if copy.is_file() and _told(copy) == (told.length, int(told.mtime)):
        return
    write(epath.Path(copy), there.read_bytes())
    os.utime(copy, (told.mtime, told.mtime))


def _told(file):
    found = file.stat()
    return found.st_size, int(found.st_mtime)


def trouble(error: Exception) -> str | None:
    """What is wrong with the disk, in words, whoever of those that write there says it."""
    for number in _OF_THE_DISK:
        text = os.strerror(number)
        if getattr(error, 'errno', None) == number or text in str(error):
            return text
    return None


def _without(part: epath.Path) -> None:
    with contextlib.suppress(OSError):  # The first error is the one to tell.
        part.unlink(missing_ok=True)

"""Plain numpy arrays as bytes: their headers, and those in an .npz left on disk."""

from __future__ import annotations

import math
import pathlib
import struct
import tokenize
import zipfile
import zlib
from typing import IO, NamedTuple

import numpy as np

BROKEN = (  # What reading damaged or foreign bytes as arrays may raise.
    OSError, EOFError, KeyError, RuntimeError, SyntaxError, ValueError,
    tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class Header(NamedTuple):
    """What stands before the values of an array."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype


def header(file: IO[bytes]) -> Header:
    """Of what `numpy.save` has written; one of `BROKEN` if it has not.

    The file then stands at the first value.
    """
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return Header(*np.lib.format.read_array_header_1_0(file))
    if version == (2, 0):
        return Header(*np.lib.format.read_array_header_2_0(file))
    raise ValueError(f'a numpy file of version {version}')


def read(file: IO[bytes]) -> np.ndarray:
    """An array, never a pickle; one of `BROKEN` if it is none."""
    return np.lib.format.read_array(file, allow_pickle=False)


def member(path: pathlib.Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """An array of an open .npz: a read-only view of the disk unless it is compressed.

    Args:
        path: of the archive.
        name: of the member, with its ending.

    Raises:
        One of `BROKEN`: no such member, none of an array or of objects, or damaged.
    """
    info = archive.getinfo(name)
    with archive.open(info) as file:
        shape, fortran, dtype = header(file)
        at = file.tell()
    size = math.prod(shape) * dtype.itemsize
    if info.compress_type != zipfile.ZIP_STORED or dtype.hasobject or not size:
        with archive.open(info) as file:
            return read(file)
    if info.file_size != at + size:
        raise ValueError(f'{name} has {info.file_size} bytes, wanted {at + size}')
    with open(path, 'rb') as raw:  # Two fields before the member vary in length.
        raw.seek(info.header_offset)
        start = info.header_offset + 30 + sum(struct.unpack('<26xHH', raw.read(30)))
    return np.memmap(path, dtype, 'r', start + at, shape, 'F' if fortran else 'C')

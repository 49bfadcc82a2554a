"""Plain numpy arrays as bytes: their headers, and those in an .npz left on disk.

Anybody can have written them: no size is believed before it is compared with what the
file has.
"""

from __future__ import annotations

import lzma
import math
import os
import pathlib
import struct
import sys
import tokenize
import zipfile
import zlib
from typing import IO, NamedTuple

import numpy as np

BROKEN = (  # What reading damaged or foreign bytes as arrays may raise.
    OSError, EOFError, LookupError, ArithmeticError, MemoryError, RuntimeError, SyntaxError,
    TypeError, ValueError, lzma.LZMAError, struct.error, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
# Bytes that a compressed file of n bytes may become: what is more is a bomb, which deflate
# lets grow to a thousand times its size.
_FREE, _GROWTH = 1 << 27, 100


_CODE = np.dtype(np.uint32)  # Of a letter.


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
        found = Header(*np.lib.format.read_array_header_1_0(file))
    elif version == (2, 0):
        found = Header(*np.lib.format.read_array_header_2_0(file))
    else:
        raise ValueError(f'a numpy file of version {version}')
    if min(found.shape, default=0) < 0:
        raise ValueError(f'an array of shape {found.shape}')
    return found


def read(file: IO[bytes], size: int) -> np.ndarray:
    """The array that a file of `size` bytes is, never a pickle; one of `BROKEN` if none."""
    shape, _, dtype = header(file)
    wanted = math.prod(shape) * max(
        dtype.itemsize, 1
    )  # '<U0' has elements of no bytes.
    if not dtype.hasobject and wanted != size - file.tell():
        raise ValueError(f'{size - file.tell()} bytes of values, announced {wanted}')
    file.seek(0)
    found = np.lib.format.read_array(file, allow_pickle=False)
    if dtype.kind == 'U':
        codes = np.frombuffer(found.tobytes(), _CODE.newbyteorder(dtype.byteorder))
        if (
            codes.max(initial=0) > sys.maxunicode
        ):  # Python makes strings of them all the same.
            raise ValueError('text with letters that are none')
    return found


def arrays(file: IO[bytes]) -> dict[str, np.ndarray]:
    """All arrays of an open .npz by name, in memory; one of `BROKEN` if it is none."""
    with zipfile.ZipFile(file) as archive:
        found = [info for info in archive.infolist() if info.filename.endswith('.npy')]
        check_growth(sum(info.file_size for info in found), file.seek(0, os.SEEK_END))
        return {info.filename[:-4]: _member(archive, info) for info in found}


def opened(path: pathlib.Path, archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """A member of an archive; one of `BROKEN` if there is none or it is a bomb."""
    check_growth(archive.getinfo(name).file_size, path.stat().st_size)
    return archive.open(name)


def check_growth(size: int, stored: int) -> None:
    """ValueError where `stored` bytes of a file are to become far too many, `size`."""
    if size > _FREE + _GROWTH * stored:
        raise ValueError(f'{stored:,} bytes that unfold to {size:,}')


def _member(archive, info):
    with archive.open(info) as file:
        return read(file, info.file_size)


def member(path: pathlib.Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """An array of an open .npz: a read-only view of the disk unless it is compressed.

    Args:
        path: of the archive.
        name: of the member, with its ending.

    Raises:
        One of `BROKEN`: no such member, none of an array or of objects, or damaged.
    """
    info = archive.getinfo(name)
    with opened(path, archive, name) as file:
        shape, fortran, dtype = header(file)
        at = file.tell()
    size = math.prod(shape) * dtype.itemsize
    if info.compress_type != zipfile.ZIP_STORED or dtype.kind in 'OUV' or not size:
        return _member(archive, info)
    if info.file_size != at + size:
        raise ValueError(f'{name} has {info.file_size} bytes, wanted {at + size}')
    with open(path, 'rb') as raw:  # Two fields before the member vary in length.
        raw.seek(info.header_offset)
        start = info.header_offset + 30 + sum(struct.unpack('<26xHH', raw.read(30)))
    return np.memmap(path, dtype, 'r', start + at, shape, 'F' if fortran else 'C')

"""TFRecord files (each record a tf.train.Example), without TensorFlow or protobuf.

A record is the length of its content (uint64) and a checksum of that number (uint32), the
content, and a checksum of the content; all little-endian. Only the lengths' checksums are
compared: a foreign file is refused by its first twelve bytes, while the contents' would
take Python half a second a picture of CLEVR. Gzip checks a file that is read to its end.
"""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Iterator
from typing import IO

import numpy as np

from kpdiscovery.data.files import npy, wire
from kpdiscovery.types import UserError


def records(path: str | os.PathLike) -> Iterator[bytes]:
    """The contents of a TFRecord file's records in their order; gzipped or not.

    Raises:
        UserError: no such file, none of TFRecords, cut short or damaged.
    """
    number = 0
    try:
        with _unzipped(path) as stream:
            stored = os.path.getsize(path)
            while head := stream.read(12):
                yield _content(stream, head, stored)
                number += 1
    except (EOFError, ValueError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(
            f'{path} is no TFRecord file or damaged: record {number}: {error}'
        ) from None
    except OSError as error:
        raise UserError(f'{path}: {error.strerror or error}') from None


def example(content: bytes) -> dict[str, np.ndarray]:
    """The features of a serialized `tf.train.Example`, arrays `[n]` by name.

    Strings are uint8 where each has one byte (bytes of pictures), else objects; floats
    are float32, integers int64. Arrays may be read-only views of `content`.

    Raises:
        UserError: it is no Example.
    """
    try:
        entries = [
            entry
            for features in wire.submessages(memoryview(content), 1)
            for entry in wire.submessages(features, 1)
        ]
        return dict(map(_named, entries))
    except ValueError as error:
        raise UserError(f'no tf.train.Example: {error}') from None


def checksum(content: bytes) -> int:
    """The masked CRC32C that TFRecords have of their parts."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _table() -> list[int]:
    """CRC32C of each byte (Castagnoli's polynomial, lowest bit first)."""
    table = list(range(256))
    for _ in range(8):
        table = [crc >> 1 ^ (crc & 1) * 0x82F63B78 for crc in table]
    return table


_TABLE = _table()


def _unzipped(path) -> IO[bytes]:
    with open(path, 'rb') as stream:
        zipped = stream.read(2) == b'\x1f\x8b'
    return gzip.open(path) if zipped else open(path, 'rb')  # type: ignore[return-value]


def _content(stream, head, stored) -> bytes:
    """What follows the twelve bytes of `head`, in a file of `stored` bytes."""
    if len(head) < 12:
        raise EOFError('cut short')
    length, told = struct.unpack('<QI', head)
    if told != checksum(head[:8]):
        raise ValueError('its length has a wrong checksum')
    npy.check_growth(length, stored)  # Reading it takes so much memory.
    content = stream.read(length)
    if len(content) < length or len(stream.read(4)) < 4:
        raise EOFError('cut short')
    return content


def _named(entry: memoryview) -> tuple[str, np.ndarray]:
    """A feature with its name; what comes twice counts as it comes last."""
    name, feature = '', np.zeros(0, np.uint8)
    for number, kind, value in wire.fields(entry):
        if (number, kind) == (1, wire.BYTES):
            name = bytes(value).decode()
        elif (number, kind) == (2, wire.BYTES):
            feature = _feature(value)
    return name, feature


def _feature(message: memoryview) -> np.ndarray:
    found = np.zeros(0, np.uint8)
    for number, kind, value in wire.fields(message):
        if kind == wire.BYTES and number in _LISTS:
            found = _LISTS[number](value)
    return found


def _strings(message: memoryview) -> np.ndarray:
    # A string of one byte is three: its field, its length, itself. A picture has 230,400,
    # too many to go through.
    cells = np.frombuffer(message, np.uint8)
    if not len(cells) % 3 and (cells[::3] == 10).all() and (cells[1::3] == 1).all():
        return cells[2::3]
    strings = [bytes(value) for value in wire.submessages(message, 1)]
    if all(len(string) == 1 for string in strings):
        return np.frombuffer(b''.join(strings), np.uint8)
    found = np.empty(len(strings), object)
    found[:] = strings
    return found


def _floats(message: memoryview) -> np.ndarray:
    """Packed in one field, or a field each."""
    parts = [np.zeros(0, '<f4')]
    for number, kind, value in wire.fields(message):
        if number == 1 and kind in (wire.BYTES, wire.FIXED32):
            parts.append(np.frombuffer(value, '<f4'))
    return np.concatenate(parts, dtype=np.float32)


def _integers(message: memoryview) -> np.ndarray:
    """Packed in one field, or a field each; negative ones in two's complement."""
    values = []
    for number, kind, value in wire.fields(message):
        if (number, kind) == (1, wire.VARINT):
            values.append(value)
        at = 0
        while (number, kind) == (1, wire.BYTES) and at < len(value):
            integer, at = wire.varint(value, at)
            values.append(integer)
    return np.array(values, np.uint64).astype(np.int64)


_LISTS = {1: _strings, 2: _floats, 3: _integers}

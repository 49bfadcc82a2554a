"""Messages in the encoding of protobuf, field by field: no schema, no library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # Types of fields.
_WIDTH = {FIXED64: 8, FIXED32: 4}
_LONGEST = 10  # Bytes of a varint.


def fields(message: memoryview) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value of a message's fields: an integer, or bytes."""
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = varint(message, at)
            yield number, kind, value
            continue
        length, at = _length(message, at, kind)
        yield number, kind, message[at : at + length]
        at += length


def varint(message, at) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = 0
    for i, byte in enumerate(message[at : at + _LONGEST]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at + i + 1
    raise ValueError('a number without an end')


def _length(message, at, kind) -> tuple[int, int]:
    """Bytes of a field's value, and where it begins."""
    if kind == BYTES:
        length, at = varint(message, at)
    elif kind in _WIDTH:
        length = _WIDTH[kind]
    else:
        raise ValueError(f'a field of unknown type {kind}')
    if length > len(message) - at:
        raise ValueError('a field is cut short')
    return length, at


def submessages(message, wanted) -> Iterator[memoryview]:
    """The fields of this number that are bytes."""
    for number, kind, value in fields(message):
        if (number, kind) == (wanted, BYTES):
            yield value

"""Files nobody has written: real ones damaged, and whole ones with forged contents.

Strategies of hypothesis, so that what fails shrinks to one small edit. Nothing here knows
the library.
"""

import io
import json
import re
import zipfile
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

_NUMBERS = (
    0,
    1,
    0x7F,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0xFFFFFFFF,
    1 << 40,
    (1 << 63) - 1,
)
NAMES = ('../outside', '/etc/passwd', '..\\outside', 'a/../../b', '', 'x' * 5000,
         'nul\0', 'two\nlines', '\x1b[2J', '\u202e', '²', 'CON', '~')  # fmt: skip
DTYPES = (
    '|O',
    '<U4',
    '<U99999999',
    '<f8',
    '<i8',
    '|V0',
    '|S0',
    '<M8[ns]',
    '<c16',
    '>f2',
    '?',
)
SHAPES = ('(1000000000000,)', '(4294967296, 4294967296)', '(-1, 3)', '()', '(0,)',
          '(99999999999999999999,)', '(1,' * 40, '(True,)', '(2.5,)', '[3]')  # fmt: skip


class Edit(NamedTuple):
    """One damage; `place` is a share of the file, cubed: heads and tails are hit most."""

    kind: str
    place: float
    number: int
    content: bytes


KINDS = ('flip', 'number', 'cut', 'insert', 'drop', 'double', 'zero')
EDITS = st.lists(
    st.builds(
        Edit,
        st.sampled_from(KINDS),
        st.floats(-1, 1),
        st.integers(0, 2**16 - 1),
        st.binary(min_size=1, max_size=9),
    ),
    min_size=1,
    max_size=4,
)


def edited(data: bytes, edits) -> bytes:
    """The bytes after all edits."""
    for edit in edits:
        at = int(abs(edit.place) ** 3 * len(data))
        data = _EDIT[edit.kind](data, at if edit.place >= 0 else len(data) - at, edit)
    return data


def _number(data, at, edit):
    """A size that a header may declare, in any width and order."""
    wide = (1, 2, 4, 8)[edit.number % 4]
    value = _NUMBERS[edit.number // 4 % len(_NUMBERS)] % (1 << 8 * wide)
    order = 'little' if edit.number & 1024 else 'big'
    return data[:at] + value.to_bytes(wide, order) + data[at + wide :]


def _double(data, at, edit):
    """A piece of the file once more, elsewhere."""
    start = edit.number % (len(data) or 1)
    return data[:at] + data[start : start + 8 * len(edit.content)] + data[at:]


_EDIT = {
    'flip': lambda data, at, edit: (
        data[:at] + bytes(byte ^ (edit.number % 255 + 1) for byte in data[at : at + 1])
        + data[at + 1 :]
    ),
    'number': _number,
    'cut': lambda data, at, edit: data[:at],
    'insert': lambda data, at, edit: data[:at] + edit.content + data[at:],
    'drop': lambda data, at, edit: data[:at] + data[at + edit.number % 64 + 1 :],
    'double': _double,
    'zero': lambda data, at, edit: (
        data[:at] + bytes(len(data[at : at + edit.number])) + data[at + edit.number :]
    ),
}  # fmt: skip


def damaged(samples) -> st.SearchStrategy[bytes]:
    """One of the samples with a few edits."""
    return st.builds(edited, st.sampled_from(list(samples)), EDITS)


def npy(array) -> bytes:
    """What `numpy.save` writes."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def npz(arrays, compression=zipfile.ZIP_STORED) -> bytes:
    """An archive of arrays, or of bytes as they are."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', compression) as archive:
        for name, array in arrays.items():
            content = array if isinstance(array, bytes) else npy(array)
            archive.writestr(f'{name}.npy', content)
    return file.getvalue()


def reheaded(content: bytes, key: str, value: str) -> bytes:
    """An array whose header says something else of its type or its shape."""
    length = int.from_bytes(content[8:10], 'little')
    old = {'descr': rb"'descr': '[^']*'", 'shape': rb"'shape': \([^)]*\)"}[key]
    new = f"'{key}': {value}".encode()
    head = re.sub(old, lambda _: new, content[10 : 10 + length])
    return content[:8] + len(head).to_bytes(2, 'little') + head + content[10 + length :]


_HEADS = st.one_of(
    st.tuples(st.just('shape'), st.sampled_from(SHAPES)),
    st.tuples(st.just('descr'), st.sampled_from([f"'{d}'" for d in DTYPES])),
)
_PACKING = st.sampled_from(
    [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)


def forged_npz(arrays) -> st.SearchStrategy[bytes]:
    """An archive with one member damaged, of another type, renamed or left out."""
    names = st.sampled_from(list(arrays))
    swap = lambda name, new, kind: npz({**arrays, name: new}, kind)
    member = lambda change: (
        lambda name, how, kind: swap(name, change(npy(arrays[name]), how), kind)
    )
    others = lambda name: {n: v for n, v in arrays.items() if n != name}
    return st.one_of(
        damaged([npz(arrays), npz(arrays, zipfile.ZIP_DEFLATED)]),
        st.builds(swap, names, hostile_arrays(), _PACKING),
        st.builds(swap, names, hostile_arrays(), _PACKING),
        st.builds(member(edited), names, EDITS, _PACKING),
        st.builds(
            member(lambda data, how: reheaded(data, *how)), names, _HEADS, _PACKING
        ),
        st.builds(swap, names, st.binary(max_size=9), _PACKING),
        st.builds(
            lambda name, new: npz({**others(name), new: arrays[name]}),
            names,
            st.sampled_from([*NAMES, *arrays]),
        ),
        st.builds(lambda name: npz(others(name)), names),
    )


def hostile_arrays() -> st.SearchStrategy[np.ndarray]:
    """Arrays of any type, rank and value, as no annotation has them."""
    shapes = st.lists(st.sampled_from([0, 1, 2, 3, 4]), max_size=4).map(tuple)
    return st.builds(np.full, shapes, st.sampled_from(_values()))


def _values():
    floats = [np.nan, np.inf, -np.inf, 1e300, -1e300, 0.5, -1.0, 3.0]
    whole = [
        np.int64(2**63 - 1),
        np.int64(-(2**63)),
        np.uint64(2**64 - 1),
        np.int8(-1),
        7,
    ]
    return [
        *map(np.float64, floats), *map(np.float32, floats[:3]), *whole,
        np.float16(2), np.bool_(True), np.complex128(1j), np.datetime64('NaT'),
        np.bytes_(b'\xff\xfe'), np.bytes_(b'a.png'), *map(np.str_, NAMES),
        np.zeros((), [('x', 'f4')]), np.longdouble(3),
    ]  # fmt: skip


_DEEP = 15_000  # Brackets; Python gives up at a tenth of it.
TEXTS = ('[' * _DEEP, '{"a":' * _DEEP, '9' * 10_000, 'NaN', '"\\ud800"', 'null', '[]',
         '3', '"x"', '{}', '{"a": 1', '\ufeff{}', '1e999', '-' * 99)  # fmt: skip
VALUES = (None, [], {}, '', 'x' * 3000, 10**400, -1, 0, 2.5, True, float('nan'), [None],
          {'a': {}}, [[[]]], '\ud800', 'two\nlines')  # fmt: skip


def forged_json(value) -> st.SearchStrategy[str]:
    """JSON with one value of the tree replaced, left out or renamed; or none at all."""
    spots = list(_spots(value))
    return st.one_of(
        st.sampled_from(TEXTS),
        st.builds(
            lambda path, new: json.dumps(_replaced(value, path, new)),
            st.sampled_from(spots),
            st.sampled_from([*VALUES, ...]),
        ),
        damaged([json.dumps(value).encode()]).map(
            lambda d: d.decode('utf-8', 'replace')
        ),
    )


def _spots(value, path=()):
    yield path
    pairs = value.items() if isinstance(value, dict) else ()
    for key, inner in enumerate(value) if isinstance(value, list) else pairs:
        yield from _spots(inner, (*path, key))


def _replaced(value, path, new):
    """A copy with `new` at the path; `...` leaves the entry out."""
    if not path:
        return None if new is ... else new
    key, *rest = path
    copy = value.copy()
    copy[key] = _replaced(value[key], rest, new)
    if new is ... and not rest:
        del copy[key]
    return copy

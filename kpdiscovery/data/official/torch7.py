"""One tensor of numbers in a file of Torch 7 (.t7, binary), read without Torch.

Little-endian; an object is its kind (int32), for tensors and storages a number, a version
and a class name, then its content. A tensor: dimensions, sizes, strides, offset, storage.
"""

from __future__ import annotations

import os
import struct
from typing import Any

import numpy as np

from kpdiscovery.types import UserError

_OBJECT = 4
_TYPES = {'Float': '<f4', 'Double': '<f8', 'Int': '<i4', 'Long': '<i8', 'Byte': 'u1'}
_MOST = 1 << 24  # Numbers: more are no landmarks.


def read_tensor(path: str | os.PathLike) -> np.ndarray:
    """The tensor that the file holds, float64.

    Raises:
        UserError: it holds something else, or is damaged.
    """
    try:
        with open(path, 'rb') as file:
            return _tensor(file).astype(np.float64)
    except (struct.error, ValueError, KeyError, OverflowError) as error:
        raise UserError(f'{path}: not a tensor of Torch 7 ({error})') from error


def _tensor(file):
    kind = _class_name(file)
    if not kind.endswith('Tensor'):
        raise ValueError(f'it holds a {kind}')
    (count,) = _read(file, 'i')
    if not 0 < count <= 8:
        raise ValueError(f'{count} dimensions')
    shape, strides = _read(file, f'{count}q'), _read(file, f'{count}q')
    (offset,) = _read(file, 'q')
    values = _storage(file)
    index = np.array(offset - 1)
    if min(shape) < 1 or np.prod(shape, dtype=object) > _MOST:
        raise ValueError(f'shape {shape}')
    for size, stride in zip(shape, strides, strict=True):
        index = index[..., None] + np.arange(size) * stride
    if index.min() < 0 or index.max() >= len(values):
        raise ValueError('it points outside its storage')
    return values[index]


def _storage(file):
    kind = _class_name(file)
    dtype = np.dtype(_TYPES[kind.removeprefix('torch.').removesuffix('Storage')])
    (count,) = _read(file, 'q')
    if not 0 <= count <= _MOST:
        raise ValueError(f'{count} numbers')
    content = file.read(count * dtype.itemsize)
    return np.frombuffer(content, dtype, count)


def _class_name(file):
    kind, _ = _read(file, '2i')
    if kind != _OBJECT:
        raise ValueError(f'an object of kind {kind}')
    version = _text(file)
    return _text(file) if version.startswith('V ') else version


def _text(file):
    (length,) = _read(file, 'i')
    if not 0 < length <= 100:
        raise ValueError(f'a name of {length} characters')
    return file.read(length).decode('ascii', 'replace')


def _read(file, form) -> tuple[Any, ...]:
    form = f'<{form}'
    return struct.unpack(form, file.read(struct.calcsize(form)))

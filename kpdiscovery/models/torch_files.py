"""Torch's files of weights (.pth, .pt) without torch, both its formats.

Since torch 1.6 a file is a zip archive of one pickle and the raw values; before, pickles
in a row with the values behind them. Nothing in a file is executed, and no size in it is
believed before it is compared with the file's own (`torch_pickles`).

Checkpoints keep more than the network: where one of 'state_dict', 'model' and
'model_state_dict' has tensors and the others have none, only it is read. Else all
tensors are, names of nested dicts joined by '.'; a container that is there twice is
named once. 'module.' before all names, from training on several GPUs, is taken off.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import struct
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from kpdiscovery.models import torch_pickles
from kpdiscovery.models.torch_values import Refused, Storage, Tensor, short
from kpdiscovery.types import UserError

STARTS = (b'PK\x03\x04', b'\x80')  # Bytes that either format begins with.
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MAX_PICKLE = 1 << 24  # Bytes; a network needs about 150 a tensor.
_MAX_NAME = 256
_WRAPPERS = ('state_dict', 'model', 'model_state_dict')
_DAMAGED = (ValueError, LookupError, TypeError, OverflowError, EOFError, OSError,
            NotImplementedError, struct.error, zipfile.BadZipFile,
            Warning)  # fmt: skip  # Where they are errors: of escapes in names.
_Parsed = tuple[Any, dict[str, int]]  # The object, and where storages begin.


class File:
    """Tensors by name, read as those of `safetensors.safe_open` are."""

    def __init__(self, file: BinaryIO, tensors: Mapping[str, Tensor], starts) -> None:
        self._file, self._tensors, self._starts = file, tensors, starts

    def keys(self) -> list[str]:
        return list(self._tensors)

    def get_slice(self, key: str) -> Tensor:
        """Shape and type only."""
        return self._tensors[key]

    def get_tensor(self, key: str) -> np.ndarray:
        """Read only; of what shares a storage only this tensor's part is read."""
        tensor = self._tensors[key]
        dtype = tensor.storage.dtype.value
        if not tensor.span:
            return np.zeros(tensor.shape, dtype)
        start = self._starts[tensor.storage.key] + tensor.offset * dtype.itemsize
        self._file.seek(start)
        data = self._file.read(tensor.span * dtype.itemsize)
        flat = np.frombuffer(data, dtype, tensor.span)  # Refuses fewer.
        strides = [stride * dtype.itemsize for stride in tensor.strides]
        return np.lib.stride_tricks.as_strided(
            flat, tensor.shape, strides, writeable=False
        )


@contextlib.contextmanager
def opened(path: str | os.PathLike) -> Iterator[File]:
    """A torch file, while the context lasts.

    Raises:
        UserError: not a whole torch file, or one with more than tensors in containers.
    """
    with open(path, 'rb') as file:
        size = os.fstat(file.fileno()).st_size
        try:
            tensors, starts = _index(file, size)
        except Refused as error:
            raise UserError(f'weights {path}: {error}') from None
        except _DAMAGED as error:
            raise UserError(
                f'weights {path}: truncated or damaged at {size} bytes; download or '
                f'copy it again ({short(str(error))})'
            ) from error
        yield File(file, tensors, starts)


def _index(file: BinaryIO, size: int) -> tuple[dict[str, Tensor], dict[str, int]]:
    parse = _zipped if file.read(4) == STARTS[0] else _legacy
    value, starts = parse(file, size)
    tensors = _state(value)
    for name, tensor in tensors.items():
        # One that repeats its elements can be of any size.
        count = math.prod(max(axis, 1) for axis in tensor.shape)
        if count * tensor.storage.dtype.value.itemsize > size:
            raise Refused(f'tensor {name!r} is larger than the file')
    return tensors, starts


def _zipped(file: BinaryIO, size: int) -> _Parsed:
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
    tops = [name.removesuffix('data.pkl') for name in entries if _is_object(name)]
    if len(tops) != 1:
        raise Refused("a zip archive, but not torch's: no data.pkl in it")
    start = lambda name: _start(file, size, entries[tops[0] + name])
    if f'{tops[0]}byteorder' in entries:
        file.seek(start('byteorder'))
        _check_order(file.read(6) == b'little')
    file.seek(start('data.pkl'))
    length = entries[f'{tops[0]}data.pkl'].file_size
    if length > _MAX_PICKLE:
        raise Refused(f'a pickle of {length:,} bytes; save the state dict alone')
    value, storages = torch_pickles.load(io.BytesIO(file.read(length)))
    for key, storage in storages.items():
        if storage.nbytes > entries[f'{tops[0]}data/{key}'].file_size:
            raise ValueError('a storage larger than its entry')
    return value, {key: start(f'data/{key}') for key in storages}


def _is_object(name: str) -> bool:
    return name.endswith('/data.pkl') and name.count('/') == 1


def _start(file: BinaryIO, size: int, entry: zipfile.ZipInfo) -> int:
    """Where an entry's bytes are, all of them being inside the file."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
        raise Refused('a compressed archive, and torch writes none; save it again')
    file.seek(entry.header_offset)
    header = file.read(30)
    if not header.startswith(STARTS[0]):
        raise ValueError('no entry where one should begin')
    name, extra = struct.unpack('<HH', header[26:])
    start = entry.header_offset + 30 + name + extra
    if start + entry.file_size > size:
        raise ValueError('an entry that ends behind the file')
    return start


def _legacy(file: BinaryIO, size: int) -> _Parsed:
    file.seek(0)
    stream = io.BytesIO(file.read(_MAX_PICKLE))
    magic, _ = torch_pickles.load(stream)
    if magic != _MAGIC:
        raise Refused("a pickle, but not torch's")
    protocol, _ = torch_pickles.load(stream)
    if protocol != _PROTOCOL:
        raise Refused("a version of torch's format that is not known")
    system, _ = torch_pickles.load(stream)
    _check_order(isinstance(system, dict) and system.get('little_endian') is True)
    value, storages = torch_pickles.load(stream)
    keys, _ = torch_pickles.load(stream)
    return value, _starts(file, size, stream.tell(), keys, storages)


def _starts(file, size: int, at: int, keys: Any, storages: Mapping[str, Storage]):
    """Storages stand in the order of `keys`, each behind its number of elements."""
    starts = {}
    for key in keys:
        file.seek(at)
        if int.from_bytes(file.read(8), 'little') != storages[key].count:
            raise ValueError('a storage of another size')
        starts[key] = at + 8
        at += 8 + storages[key].nbytes
    if at > size or len(starts) < len(storages):
        raise ValueError('storages are missing')
    return starts


def _check_order(little: bool) -> None:
    if not little:
        raise Refused('written by a big-endian machine; save it again on another')


def _state(value: Any) -> dict[str, Tensor]:
    """The network's tensors in what was saved."""
    parts = [
        _flatten(value[name])
        for name in _WRAPPERS
        if isinstance(value, dict) and isinstance(value.get(name), dict)
    ]
    full = [part for part in parts if part]
    found = full[0] if len(full) == 1 else _flatten(value)
    if all(name.startswith('module.') for name in found):
        return {name.removeprefix('module.'): found[name] for name in found}
    return found


def _flatten(value: Any) -> dict[str, Tensor]:
    """Tensors by their path. Every container once, or few could unfold to billions."""
    found: dict[str, Tensor] = {}
    seen, rest = set(), [('', value)]
    while rest:
        name, item = rest.pop()
        if len(name) > _MAX_NAME:
            raise Refused(f'a tensor with a name of more than {_MAX_NAME} letters')
        if isinstance(item, Tensor):
            found[name] = item
        elif id(item) not in seen:
            seen.add(id(item))
            rest += reversed([*_children(name, item)])
    return found


def _children(name: str, item: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(item, (list, tuple)):
        item = dict(enumerate(item))
    for key, value in item.items() if isinstance(item, dict) else ():
        if isinstance(value, (dict, list, tuple, Tensor)):
            yield f'{name}.{key}' if name else str(key), value

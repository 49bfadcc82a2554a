"""Files of dense features, one a split: arrays of all pictures, or a record each.

    np.savez('FOLDER/train.npz', features=features)  # [N, h, w, D]

beside which `files` [N] may name the picture of each row (then their order is free); or,
where they do not fit in memory or differ in shape, one record a picture:

    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter('FOLDER/train.array_record', 'group_size:1')
    for map in maps:  # [h, w, D]
        file = io.BytesIO()
        np.save(file, map, allow_pickle=False)
        writer.write(file.getvalue())
    writer.close()

No pickle is read, and values only when they are asked for, but those of a compressed
.npz, which are then in memory.
"""

from __future__ import annotations

import io
import json
import os
import pathlib
import zipfile
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from tqdm import tqdm

from kpdiscovery.data.files import npy
from kpdiscovery.types import UserError

RECORD = 'features.json'  # Of `kpd features`: what network they are of.
_NO_NPZ = 'not an .npz file of plain arrays'


class Npz:
    """`features` `[N, h, w, D]`, and where they are there `valid` bool `[N, h, w]` and
    `files` `[N]`, names of the pictures (`names`).

    Arrays that are not compressed stay on disk; the system keeps what is read often.
    """

    def __init__(self, path: pathlib.Path):
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                _check_npz(path, archive)
                some = 'valid.npy' in archive.namelist()
                self._maps = npy.member(path, archive, 'features.npy')
                self._valid = npy.member(path, archive, 'valid.npy') if some else None
                named = 'files.npy' in archive.namelist()
                self.names = npy.member(path, archive, 'files.npy') if named else None
        except npy.BROKEN as error:
            _broken(path, _NO_NPZ, error)
        self.width, self.half = self._maps.shape[3], self._maps.dtype.itemsize == 2
        if self.names is not None and self.names.shape != (len(self),):
            raise UserError(
                f'features {path}: files must be [{len(self)}], one name a row of '
                f'features, got {list(self.names.shape)}'
            )
        if self._valid is not None:
            got, want = self._valid.shape, self._maps.shape[:3]
            if got != want or self._valid.dtype != bool:
                raise UserError(
                    f'features {path}: valid must be bool {list(want)} beside these '
                    f'features, got {self._valid.dtype} {list(got)}'
                )

    def __len__(self) -> int:
        return len(self._maps)

    def sizes(self, rows: Sequence[int]) -> np.ndarray:
        """(h, w) of the rows' maps, `[n, 2]`."""
        return np.tile(self._maps.shape[1:3], (len(rows), 1))

    def read(self, row: int) -> np.ndarray:
        """`[h, w, D]` as it is stored."""
        return np.asarray(self._maps[row])

    def valid(self, row: int) -> np.ndarray | None:
        """`[h, w]` bool; None: all cells are."""
        return None if self._valid is None else np.asarray(self._valid[row])


class Records:
    """One record a picture: `numpy.save` of `[h, w, D]`, read when it is asked for."""

    names = None  # Records are in the order of the pictures.

    def __init__(self, path: pathlib.Path):
        import grain  # Only who has such files needs it.

        self.path = path
        try:
            self._records = grain.sources.ArrayRecordDataSource(str(path))
        except npy.BROKEN as error:
            _broken(path, 'not an array_record file', error)
        if not len(self):
            raise UserError(f'features {path}: there is no record in it')
        first = self._header(0)
        self.width, self.half = first.shape[2], first.dtype.itemsize == 2

    def __len__(self) -> int:
        return len(self._records)

    def sizes(self, rows: Sequence[int]) -> np.ndarray:
        """(h, w) of the rows' maps, `[n, 2]`; looks at each of these records once."""
        found = []
        for row in tqdm(rows, desc='looking at features', disable=None):
            shape, _, dtype = self._header(row)
            if shape[2] != self.width:
                raise UserError(
                    f'features {self.path}: picture {row} has {shape[2]} values a cell, '
                    f'picture 0 {self.width}: extract all with one network'
                )
            self.half = self.half and dtype.itemsize == 2  # One type for all batches.
            found.append(shape[:2])
        return np.array(found)

    def read(self, row: int) -> np.ndarray:
        """`[h, w, D]` as it is stored."""
        try:
            record = self._records[row]
            return npy.read(io.BytesIO(record), len(record))
        except npy.BROKEN as error:
            _broken(self.path, f'record {row} is not what numpy.save writes', error)

    def valid(self, row: int) -> None:
        """None: all cells are."""

    def _header(self, row):
        try:
            header = npy.header(io.BytesIO(self._records[row]))
        except npy.BROKEN as error:
            _broken(self.path, f'record {row} is not what numpy.save writes', error)
        _check(self.path, f'record {row}', header.shape, header.dtype, '[h, w, D]')
        return header


KINDS: dict[str, Any] = {'.npz': Npz, '.array_record': Records}


def find(folder: str | os.PathLike, split: str) -> pathlib.Path:
    """The one file of a split.

    Raises:
        UserError: no folder, no file of that split in it, or one of each kind.
    """
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise UserError(
            f'features {root}: there is no such folder; give --config.data.features=FOLDER '
            f'with {" or ".join(split + kind for kind in KINDS)} in it'
        )
    files = sorted(path.name for path in root.iterdir() if path.suffix in KINDS)
    mine = [name for name in files if name in [split + kind for kind in KINDS]]
    if not mine:
        raise UserError(
            f'features {root}: no {" or ".join(split + kind for kind in KINDS)}; there '
            f'are: {", ".join(files) or "no files of features"}'
        )
    if len(mine) > 1:
        raise UserError(f'features {root}: both {" and ".join(mine)}; keep one')
    return root / mine[0]


def record(folder: str | os.PathLike) -> dict[str, Any] | None:
    """What `kpd features` wrote down: `features` (a config section), `size` and `resize`.

    None where somebody else extracted them; UserError where it is broken.
    """
    path = pathlib.Path(folder) / RECORD
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text())
        return {name: found[name] for name in ('features', 'size', 'resize')}
    except (OSError, ValueError, TypeError, KeyError) as error:
        _broken(path, 'not what kpd features writes', error)


def load(path: pathlib.Path) -> Npz | Records:
    """A file of features by its ending; UserError if it is broken or holds others."""
    return KINDS[path.suffix](path)


def width(path: pathlib.Path) -> int:
    """D of a file, without reading what `load` reads."""
    if path.suffix == '.array_record':
        return Records(path).width
    try:
        with zipfile.ZipFile(path) as archive:
            return _check_npz(path, archive).shape[3]
    except npy.BROKEN as error:
        _broken(path, _NO_NPZ, error)


def _check_npz(path, archive) -> npy.Header:
    names = [name.removesuffix('.npy') for name in archive.namelist()]
    if 'features' not in names:
        there = ', '.join(names) or 'none'
        raise UserError(f"features {path}: no array 'features', there are: {there}")
    with npy.opened(path, archive, 'features.npy') as file:
        header = npy.header(file)
    _check(path, 'features', header.shape, header.dtype, '[N, h, w, D]')
    return header


def _check(path, name, shape, dtype, wanted):
    if len(shape) != wanted.count(',') + 1 or not all(shape):
        raise UserError(
            f'features {path}: {name} must have shape {wanted}, got {list(shape)}'
        )
    if dtype.kind != 'f':
        raise UserError(
            f'features {path}: {name} must be float16, float32 or float64, got {dtype}'
        )


def _broken(path, what, error) -> NoReturn:
    why = (str(error) or type(error).__name__).split('\n')[0]
    raise UserError(f'features {path}: {what} ({why})') from error

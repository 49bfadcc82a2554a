"""Dense features that were extracted beforehand, joined to the pictures of a split.

`data.features` is a folder with one file a split (`feature_files`): row i of it belongs
to row i of that split, for a folder of pictures sorted by name, unless the file names
its pictures. A map covers its whole
picture; maps are fitted to one square, as the pictures are.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np

from kpdiscovery.data import SPLITS, identity, subset
from kpdiscovery.data.joined import Joined, Lazy, feature_files, names
from kpdiscovery.types import Source, UserError

HOW = ('stretch', 'pad')  # Of `resize.HOW`; who crops pictures crops before extracting.
_ROUNDING = 1e-6  # Of positions, in cells.


def join(
    source: Source, path: str | os.PathLike, split: str, *, resize: str, num: int = 0
) -> Joined:
    """The source, its rows with `features` and `features_valid` (`types`) beside.

    Side S of the square is the largest h or w among the rows' maps. What is stored as
    float16 stays that, all else becomes float32.

    Args:
        source: all rows of the split.
        path: folder of the features; theirs are all rows of the split, too.
        resize: how pictures are fitted, 'stretch' or 'pad'.
        num: rows that are kept of both, as `subset.thin` does; 0: all.

    Raises:
        UserError: another `resize` (or than `kpd features` had), no such folder or file,
            one that is broken, of another shape, width or number of pictures, or values
            that are not finite (of records only when they are read).
    """
    if resize not in HOW:
        raise UserError(
            f'data.features lie on whole pictures: data.resize must be '
            f'{" or ".join(map(repr, HOW))}, got {resize!r}'
        )
    file = feature_files.load(feature_files.find(path, split))
    made = feature_files.record(path)
    if made is not None and made['resize'] != resize:
        raise UserError(
            f'features {path} are of pictures fitted by {made["resize"]!r}: give '
            f'--config.data.resize={made["resize"]}, or extract them again'
        )
    order = None if file.names is None else names.match(
        f'features {file.path}', file.names, source
    )  # fmt: skip
    if order is None and len(file) != len(source):
        raise UserError(
            f'features {file.path}: of {len(file)} pictures, but the {split} split has '
            f'{len(source)} (one row each, in its order)'
        )
    _check_widths(file, split)
    rows = subset.chosen(source, num)
    rows = rows if order is None else order[rows]
    maps = _Maps(file, rows, resize)
    if isinstance(file, feature_files.Npz):  # A broken value is told before training.
        for number in range(len(rows)):
            maps.stored(number)
    fields = {
        'features': Lazy(len(rows), maps.features),
        'features_valid': Lazy(len(rows), maps.valid),
    }
    stamp = identity.of_file(file.path)
    return Joined(subset.thin(source, num), fields, stamp=stamp)


def fit(
    features: np.ndarray, valid: np.ndarray | None = None, *, side: int, resize: str
) -> tuple[np.ndarray, np.ndarray]:
    """A map in a square, laid on its picture in `data.size` pixels squared.

    `resize.fit_frame` moves padded pictures to whole pixels, but a whole cell is many
    pixels: here the map's centre stays the picture's, if need be between two cells,
    and values are interpolated. Of 'pad' the longer side fills the square.

    Args:
        features: `[h, w, D]`, h and w at most `side`.
        valid: `[h, w]` cells that count; None: all.
        resize: 'stretch' or 'pad'.

    Returns:
        `[side, side, D]` of the features' type, 0 where not valid, and `[side, side]`
        bool: at least half of the weights of a cell lie on cells that count.
    """
    if valid is None and features.shape[:2] == (side, side):
        return features, np.ones((side, side), bool)
    there = np.ones(features.shape[:2], bool) if valid is None else valid
    cover, counts = _cover(there, side, resize)
    kept = np.where(there[..., None], features, 0).astype(np.float32)
    if features.shape[:2] != (side, side):
        down, across = _axes(features.shape, side, resize)
        kept = across @ np.tensordot(down, kept, axes=1)  # [S, h, w, D] -> [S, S, D].
        kept = kept / np.where(counts, cover, 1)[..., None]
    return np.where(counts[..., None], kept, 0).astype(features.dtype), counts


class _Maps:
    """Fitted maps of the chosen rows of a file."""

    def __init__(self, file: Any, rows: np.ndarray, resize: str):
        self._file, self._rows, self._how = file, rows.tolist(), resize
        self._sizes = file.sizes(self._rows)
        self._side = int(self._sizes.max(initial=0))
        self._dtype = np.float16 if file.half else np.float32

    def stored(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        """`[h, w, D]` and valid `[h, w]`; UserError if what is valid is not finite."""
        row = self._rows[number]
        with np.errstate(over='ignore'):  # Float64 that does not fit: told below.
            features = self._file.read(row).astype(self._dtype)
        valid, finite = self._file.valid(row), np.isfinite(features).all(axis=-1)
        if not (finite if valid is None else finite | ~valid).all():
            raise UserError(
                f'features {self._file.path}: picture {row} has values that are not '
                'finite'
            )
        return features, valid

    def features(self, number: int) -> np.ndarray:
        """`[S, S, D]`, 0 where not valid."""
        return fit(*self.stored(number), side=self._side, resize=self._how)[0]

    def valid(self, number: int) -> np.ndarray:
        """`[S, S]` bool, without reading the features."""
        there = self._file.valid(self._rows[number])
        if there is None:
            there = np.ones(self._sizes[number], bool)
        return _cover(there, self._side, self._how)[1]


def _check_widths(file, split):
    """Other splits must have features of the same network; their headers tell."""
    others = [name for name in SPLITS if name != split]
    for name in (name + kind for name in others for kind in feature_files.KINDS):
        path = file.path.with_name(name)
        if path.is_file() and (width := feature_files.width(path)) != file.width:
            raise UserError(
                f'features {file.path} has {file.width} values a cell, {name} {width}: '
                'extract all splits with one network'
            )


def _cover(there, side, resize):
    """Share `[S, S]` of each cell's weights that lie on cells that count; whether half."""
    down, across = _axes(there.shape, side, resize)
    cover = down @ there.astype(np.float32) @ across.T
    return cover, cover > 0.5 - _ROUNDING


def _axes(shape, side, resize):
    longest = max(shape[:2])
    return [
        _weights(cells, side, side / (longest if resize == 'pad' else cells))
        for cells in shape[:2]
    ]


@functools.lru_cache(maxsize=256)
def _weights(cells: int, side: int, scale: float) -> np.ndarray:
    """`[side, cells]` float32 of bilinear interpolation between like centres.

    Rows sum to 1, those of fitted cells whose centre is off the map to 0.
    """
    middle = (cells - 1) / 2
    centre = (np.arange(side) - (side - 1) / 2) / scale + middle
    weights = np.maximum(0, 1 - np.abs(centre[:, None] - np.arange(cells)))
    weights[np.abs(centre - middle) > cells / 2 + _ROUNDING] = 0
    total = weights.sum(axis=1, keepdims=True)
    return (weights / np.where(total > 0, total, 1)).astype(np.float32)

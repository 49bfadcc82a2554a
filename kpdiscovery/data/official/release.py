"""What a data set's owners distribute: its files, its terms, and what is read of them.

A release is a record of facts with one pure function: from the folder of the unpacked
files to a `Table`, the arrays that `annotations.npz` has (see `annotations.npz`), so that
`files.folder.Folder` serves every set. No adapter has been tried on the official files
unless its page says so: layouts are those that owners and papers describe.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from kpdiscovery.types import UserError

Table = dict[str, np.ndarray]


class Part(NamedTuple):
    """A file or folder of a release; with '*' the first that fits."""

    name: str  # Below the root, or below the folder that the archive unpacks to.
    what: str
    needed: bool = True


class Clip(NamedTuple):
    """Frames of one video that become pictures."""

    video: Path
    frames: tuple[int, ...]  # Rising numbers, from 0.
    names: tuple[str, ...]  # Of the pictures, one a frame.
    masks: Path | None = None  # Of the object: the ground becomes white.


class Release(NamedTuple):
    """A protocol of a data set, by the name that `data.release` gives it."""

    name: str
    title: str
    origin: str  # Whose page distributes it, in words.
    licence: str
    parts: tuple[Part, ...]
    derived: tuple[str, ...]  # What no file says, a line each.
    table: Callable[[Path], Table]
    folder: str = ''  # What the archive unpacks to: the root may be its parent.
    counts: Mapping[str, int] = {}  # Pictures of a split by the paper; {}: not stated.
    clips: Callable[[Path], list[Clip]] | None = None  # Of sets of videos.
    resize: str = (
        ''  # `data.resize` for the official files, where configs have another.
    )


def find(root: Path, name: str, folder: str = '') -> str:
    """Where a part is below the root, with '/'; '' if it is nowhere."""
    for place in (f'{folder}/{name}', name) if folder else (name,):
        if '*' in place or '[' in place:
            if found := next(iter(root.glob(place)), None):
                return found.relative_to(root).as_posix()
        elif (root / place).exists():
            return place
    return ''


def need(root: Path, name: str, folder: str = '') -> Path:
    """The path of a part; UserError if it is not there."""
    if not (found := find(root, name, folder)):
        raise UserError(f'{root}: no {name}')
    return root / found


def lacking(release: Release, root: Path) -> list[Part]:
    """The needed parts that are not there."""
    return [
        part
        for part in release.parts
        if part.needed and not find(root, part.name, release.folder)
    ]


def words(path: Path, *, skip: int = 0) -> list[list[str]]:
    """The words of every line that has some, after the first `skip` lines."""
    lines = path.read_text(encoding='utf-8', errors='replace').splitlines()[skip:]
    return [line.split() for line in lines if line.strip()]


def named_numbers(path: Path, *, skip: int = 0) -> dict[str, np.ndarray]:
    """Lines of a name and numbers, as {name: `[n]` float64}."""
    return {name: np.array(rest, float) for name, *rest in words(path, skip=skip)}


def mat(path: Path) -> dict[str, Any]:
    """A MATLAB file up to version 7.2, structs as dicts.

    Raises:
        UserError: it is none, or one of version 7.3 (HDF5).
    """
    from scipy import io  # A third of a second.

    try:
        return io.loadmat(path, simplify_cells=True)
    except Exception as error:  # A damaged file raises any type at all.
        line = str(error).split('\n')[0]
        raise UserError(f'{path}: not a MATLAB file as expected ({line})') from error


def listed(value: Any) -> list[Any]:
    """What MATLAB holds as one thing or several, as a list."""
    return list(value) if isinstance(value, (list, np.ndarray)) else [value]


def sizes(root: Path, files: Sequence[str]) -> np.ndarray:
    """(W, H) `[N, 2]` of pictures, by their heads alone.

    Raises:
        UserError: one cannot be read.
    """

    def size(name):
        try:
            with Image.open(root / name, formats=('JPEG', 'PNG')) as image:
                return image.size
        except Exception as error:  # Pillow's decoders raise a dozen kinds.
            raise UserError(f'{root / name}: cannot be read ({error})') from error

    with ThreadPoolExecutor(16) as pool:
        return np.array(list(pool.map(size, files)), float).reshape(-1, 2)


def extent(points: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Boxes `[N, 1, 4]`, as annotations have them, around visible points `[N, T, 2]`.

    NaN where no point is visible.
    """
    low = np.where(visible[..., None], points, np.inf).min(axis=1)
    high = np.where(visible[..., None], points, -np.inf).max(axis=1)
    boxes = np.concatenate([low, high + 1], axis=-1)
    some = visible.any(axis=1, keepdims=True)
    return np.where(some, boxes, np.nan)[:, None]


def natural(name: str) -> list[Any]:
    """A key that sorts numbers in names by their value."""
    return [int(w) if w.isdigit() else w for w in re.split(r'(\d+)', name)]


def every(count: int, step: int) -> tuple[int, ...]:
    """Frames 0, step, 2 step ... of `count`."""
    return tuple(range(0, count, step))


def pictures(folder: Path, root: Path) -> Iterator[str]:
    """Names below the root of the JPEGs in a folder, in natural order."""
    names = [p.name for p in folder.iterdir() if p.suffix.lower() in ('.jpg', '.jpeg')]
    place = folder.relative_to(root).as_posix()
    yield from (f'{place}/{name}' for name in sorted(names, key=natural))

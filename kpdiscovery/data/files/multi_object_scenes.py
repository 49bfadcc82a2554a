"""Scenes of Multi-Object Datasets, decoded once and kept on disk for random access.

The published files are gzipped from end to end, so that no scene can be read without all
before it, and CLEVR's unfolds to over 200 GB. What one size needs of it (3.5 GB at 112 px)
is written beside the file, in `FILE.scenes/`, or in the user's cache where nothing can be
written there: `pictures.bin`, of which only the rows asked for are read, and
`scenes.npz` with the rest.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import pathlib
import tempfile
from collections.abc import Iterable
from typing import Any

import numpy as np

from kpdiscovery import paths
from kpdiscovery.data import identity
from kpdiscovery.data.files import npy
from kpdiscovery.data.files.multi_object_layout import Scene, decoded
from kpdiscovery.types import UserError

_log = logging.getLogger(__name__)
_FORMAT = 1  # Of what is kept: with another number it is decoded again.


class Scenes:
    """Decoded scenes in a folder; a pickled copy opens its files again.

    Attributes:
        count: int32 `[n]` objects of each scene, whether or not they are in the picture.
        attributes: {name: int8 `[n, N]`}, -1 where there is no object.

    Raises:
        UserError: files are missing or damaged.
    """

    def __init__(self, folder: pathlib.Path, size: tuple[int, int]):
        self._file, self._size = folder / 'pictures.bin', size
        try:
            with open(folder / 'scenes.npz', 'rb') as file:
                self.attributes = npy.arrays(file)
            self.count = self.attributes.pop('count')
            self.pictures  # noqa: B018  # Told early.
        except npy.BROKEN as error:
            raise UserError(f'{folder} is damaged, delete it: {error}') from None

    @functools.cached_property
    def pictures(self) -> np.ndarray:
        """uint8 `[n, H, W, 4]` as in `Scene`, on disk."""
        shape = (len(self.count), *self._size, 4)
        return np.memmap(self._file, np.uint8, 'r', shape=shape)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != 'pictures'}


def scenes(
    path: str | os.PathLike, name: str, size: tuple[int, int], resize: str, length: int
) -> Scenes:
    """The first `length` scenes of a file, fitted to (H, W).

    Raises:
        UserError: no such file, not of this `name`, damaged, or no room on the disk.
    """
    path = pathlib.Path(path).expanduser()
    how = resize.replace(':', '_')
    asked = f'{size[0]}x{size[1]}-{how}-{length}'
    key = f'{name}-{identity.of_file(path)}-{asked}-{_FORMAT}'
    places = (path.with_name(f'{path.name}.scenes'), paths.cache() / 'scenes')
    kept = [place / key for place in places if (place / key).is_dir()]
    if not kept:
        kept = [_keep(decoded(path, name, size, resize, length), places, key)]
    return Scenes(kept[0], size)


def _keep(found: Iterable[Scene], places, key) -> pathlib.Path:
    """Writes scenes into the first of the places that takes them: their folder."""
    with _draft(places) as draft:
        new = pathlib.Path(draft) / 'new'
        folder = new.parent.parent / key
        try:
            _write(found, new)
        except OSError as error:  # Of the disk: what is read raises UserErrors.
            raise UserError(f'{folder}: {error.strerror or error}') from None
        with contextlib.suppress(OSError):  # Another process may have been faster.
            os.rename(new, folder)
    return folder


def _draft(places) -> tempfile.TemporaryDirectory:
    """A folder in the first place that takes one; what is not moved out of it goes."""
    for place in places:
        try:
            place.mkdir(parents=True, exist_ok=True)
            draft = tempfile.TemporaryDirectory(dir=place)
        except OSError as error:
            _log.warning('cannot write to %s: %s', place, error.strerror)
            continue
        _log.info('decoded scenes are kept in %s', place)
        return draft
    raise UserError(f'cannot write decoded scenes to {" or ".join(map(str, places))}')


def _write(found, folder) -> None:
    folder.mkdir()
    counts, attributes = [], []
    with open(folder / 'pictures.bin', 'wb') as file:
        for scene in found:
            file.write(scene.picture.tobytes())
            counts.append(scene.present)
            attributes.append(scene.attributes)
    names = attributes[0] if attributes else ()
    arrays = {name: np.stack([one[name] for one in attributes]) for name in names}
    arrays['count'] = np.array(counts, np.int32)
    paths.write_arrays(paths.folder(folder / 'scenes.npz'), arrays)

"""A source over a folder of pictures, of any shapes and kinds, annotated or not."""

from __future__ import annotations

import dataclasses
import logging
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from kpdiscovery.data import resize as resize_lib
from kpdiscovery.data.annotations import Annotations, choose_rows, read_annotations
from kpdiscovery.types import Row, UserError

_log = logging.getLogger(__name__)
SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp')
# What such names really contain. A closed list, since Pillow would run Ghostscript on
# PostScript whatever the name.
_FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'GIF')


class Folder:
    """Pictures of a directory tree sorted by relative name; row i is picture i.

    Every picture of the split is decoded once when the source is built: those that
    cannot be are skipped, named in one warning. Fitted pictures stay in memory up to
    `cache_bytes`; rows beyond are decoded again each time. Safe to read from threads;
    a pickled copy leaves the cache behind.

    A row has `image` uint8 `[H, W, 3]` (not writable), `frame` float32 `[6]`
    (`resize.Frame.vector`: the way back to original pixels), `pixels_valid` `[H, W]`
    with resize='pad', and the fields named by `truth`.

    Args:
        path: a directory (hidden files and links to directories are left out), one
            picture, or a list of pictures, whose order is kept.
        size: (H, W) of the rows, or the side of a square.
        resize: 'stretch', 'crop' or 'pad', see `resize.fit_frame`.
        split: 'all', 'train', 'test', 'validation', or a name in the annotation file's
            `split`; see `annotations.choose_rows`.
        holdout_validation: takes the validation rows out of 'train'.
        method: 'bilinear', 'bicubic' or 'nearest'.
        annotations: an .npz file; None: `annotations.npz` of the directory, if there.
        folder_labels: the first directory of each name is its class, unless the
            annotation file has labels.
        cache_bytes: limit of the memory for fitted pictures.

    Attributes:
        files, paths: relative name of each row, and where it is.
        videos, labels: `[N]` the video and the class of each row; None if unknown.
        truth: names of the annotation fields.
        class_names, keypoint_names: () if unknown.

    Raises:
        UserError: no such path, no picture in it, none readable, or a wrong annotation
            file or split.
    """

    def __init__(
        self,
        path: str | os.PathLike | Sequence[str | os.PathLike],
        *,
        size: int | tuple[int, int],
        resize: str = 'stretch',
        split: str = 'all',
        holdout_validation: bool = False,
        method: str = 'bilinear',
        annotations: str | os.PathLike | None = None,
        folder_labels: bool = False,
        cache_bytes: int = 2**30,
    ):
        self.size, self._how, self._method = resize_lib.as_size(size), resize, method
        resize_lib.fit_frame((1, 1), self.size, resize)  # A wrong name, told early.
        self._root, found = list_images(path)
        if annotations is None and isinstance(path, (str, os.PathLike)):
            own = Path(path) / 'annotations.npz'
            annotations = own if own.is_file() else None
        self._notes = _annotate(self._root, found, annotations, folder_labels)
        rows = choose_rows(
            split,
            len(self._notes.files),
            texts=self._notes.split,
            groups=self._notes.groups,
            holdout_validation=holdout_validation,
        )
        limit = cache_bytes // (3 * self.size[0] * self.size[1])
        self._rows, self._cache = self._check(rows, limit)

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(self._notes.files[row] for row in self._rows)

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(self._root / name for name in self.files)

    @property
    def videos(self) -> np.ndarray | None:
        videos = self._notes.videos
        return None if videos is None else videos[self._rows]

    @property
    def labels(self) -> np.ndarray | None:
        labels = self._notes.fields.get('label')
        return None if labels is None else labels[self._rows]

    @property
    def truth(self) -> tuple[str, ...]:
        return self._notes.truth

    @property
    def class_names(self) -> tuple[str, ...]:
        return self._notes.class_names

    @property
    def keypoint_names(self) -> tuple[str, ...]:
        return self._notes.keypoint_names

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Row:
        row = self._rows[index]
        image, frame = self._cache.get(row) or self._read(row)
        extra: Row = {'frame': frame.vector}
        if self._how == 'pad':
            extra['pixels_valid'] = resize_lib.pixels_valid(frame, self.size)
        return {'image': image, **extra, **self._notes.row(row, frame, self.size)}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_cache': {}}

    def _read(self, row):
        picture = read_image(self._root / self._notes.files[row])
        image, frame = resize_lib.fit_image(
            picture, self.size, self._how, method=self._method
        )
        image.flags.writeable = False  # It may be the cache's.
        return image, frame

    def _check(self, rows, limit):
        """Decodes every row; returns the readable ones and the cache of the first."""

        def attempt(job):
            place, row = job
            try:
                fitted = self._read(row)
            except UserError as error:
                return error
            return fitted if place < limit else None

        results = _in_threads(attempt, list(enumerate(rows.tolist())))
        failed = [result for result in results if isinstance(result, UserError)]
        pairs = list(zip(rows.tolist(), results, strict=True))
        if failed:
            _report(failed, len(pairs))
        readable = [row for row, result in pairs if not isinstance(result, UserError)]
        return readable, {row: r for row, r in pairs if isinstance(r, tuple)}


def list_images(
    path: str | os.PathLike | Sequence[str | os.PathLike],
) -> tuple[Path, list[str]]:
    """A root directory and the names of its pictures, '/' between directories.

    Raises:
        UserError: no such path, or a directory without pictures.
    """
    if not isinstance(path, (str, os.PathLike)):
        return _listed(path)
    root = Path(path)
    if root.is_file():
        return root.parent, [root.name]
    if not root.is_dir():
        raise UserError(f'{root}: no such file or directory')
    names = sorted(name for name in _walk(root) if name.lower().endswith(SUFFIXES))
    if not names:
        raise UserError(f'{root}: no pictures in it ({", ".join(SUFFIXES)})')
    return root, names


def read_image(path: str | os.PathLike) -> Image.Image:
    """One picture, RGB and upright, with its first frame if it has several.

    Its EXIF orientation is applied; transparent parts become white, as on a page;
    16-bit greys are scaled so that 65535 is white.

    Raises:
        UserError: it cannot be read; names the file.
    """
    try:
        with Image.open(path, formats=_FORMATS) as image:
            image.load()
            return _rgb(_upright(image))
    except Exception as error:  # Pillow's decoders raise a dozen kinds.
        raise UserError(f'{path}: cannot be read as a picture ({error})') from error


def _upright(image):
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception as error:  # A broken note must not cost the picture.
        _log.info('%s: orientation not read (%s)', image.filename, error)
    return image


def _rgb(image):
    if image.mode.startswith('I'):  # 16-bit grey, in one of Pillow's several modes.
        grey = np.clip(np.round(np.asarray(image) / 257), 0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert('RGB')
    if image.has_transparency_data:
        page = Image.new('RGBA', image.size, 'white')
        return Image.alpha_composite(page, image.convert('RGBA')).convert('RGB')
    return image.convert('RGB')


def _listed(paths):
    names = [Path(path).absolute().as_posix() for path in paths]
    missing = [name for name in names if not Path(name).is_file()]
    if missing or not names:
        raise UserError(f'no such picture: {", ".join(missing[:3]) or "empty list"}')
    root = os.path.commonpath([os.path.dirname(name) for name in names])
    return Path(root), [Path(n).relative_to(root).as_posix() for n in names]


def _hidden(name):
    return name.startswith('.') or name == '__MACOSX'


def _walk(root):
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not _hidden(name)]
        for name in files:
            if not _hidden(name):
                yield (Path(folder) / name).relative_to(root).as_posix()


def _annotate(root, found, path, folder_labels):
    """Annotations of the found pictures: of the file, of the directories, or none."""
    notes = Annotations(tuple(found), {})
    if path is not None:
        notes = read_annotations(path, found)
        if len(notes.files) < len(found):
            unlisted = len(found) - len(notes.files)
            _log.warning('%s: leaves out %d pictures of %s', path, unlisted, root)
    if not folder_labels or 'label' in notes.fields:
        return notes
    classes, label = _folder_labels(root, notes.files)
    fields = {**notes.fields, 'label': label}
    return dataclasses.replace(notes, fields=fields, class_names=classes)


def _folder_labels(root, files):
    outside = [name for name in files if '/' not in name]
    if outside:
        raise UserError(f'{root}: {outside[0]} is in no directory to name its class')
    classes, label = np.unique([n.split('/')[0] for n in files], return_inverse=True)
    return tuple(classes.tolist()), label.astype(np.int32)


def _in_threads(function, jobs):
    """Results in order; Pillow lets threads run side by side."""
    workers = min(16, os.cpu_count() or 1)
    with warnings.catch_warnings(), ThreadPoolExecutor(workers) as pool:
        warnings.filterwarnings('ignore', module='PIL')  # Huge, odd EXIF: still read.
        return list(
            tqdm(
                pool.map(function, jobs),
                total=len(jobs),
                desc='reading pictures',
                disable=None,  # Unless on a terminal.
                delay=2,
                leave=False,
            )
        )


def _report(failed, total):
    if len(failed) == total:
        raise UserError(f'none of {total} pictures can be read; first: {failed[0]}')
    named = '; '.join(str(error) for error in failed[:3])
    more = '; ...' if len(failed) > 3 else ''
    _log.warning('skipped %d of %d pictures: %s%s', len(failed), total, named, more)

"""A source over a folder of pictures, of any shapes and kinds, annotated or not."""

from __future__ import annotations

import copy
import dataclasses
import logging
import os
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageOps

from kpdiscovery import processes
from kpdiscovery.data import box_crops
from kpdiscovery.data import resize as resize_lib
from kpdiscovery.data.annotations.npz import Annotations, from_arrays, read_annotations
from kpdiscovery.data.annotations.splits import choose_rows
from kpdiscovery.data.files import masks, moving, pictures
from kpdiscovery.data.files.fitted import (
    Facts,
    Fitted,
    doubts_of,
    facts_of_all,
    in_threads,
    share,
)
from kpdiscovery.data.files.pictures import list_images
from kpdiscovery.data.files.reading import (
    MEGAPIXELS,
    Picture,
    check_options,
    read_image,
    read_picture,
)
from kpdiscovery.types import Row, UserError

__all__ = ['Folder', 'list_images', 'read_image']
_log = logging.getLogger(__name__)


class Folder:
    """Pictures of a directory tree sorted by relative name; row i is picture i.

    Every picture of the split is decoded once when the source is built: those that
    cannot be are skipped, named in one warning, and what can hardly be meant so is told.
    Fitted pictures stay in memory up to `cache_bytes`; rows beyond are decoded again
    each time. Processes that read a folder together each decode a share of it when they
    build it, and learn the same. Safe to read from threads; a pickled copy leaves the
    cache behind. Masks are read beside their pictures: those the annotation file names,
    or `masks/` (`pictures`); a wrong one is an error.

    A row has `image` uint8 `[H, W, 3]` (not writable), `frame` float32 `[6]`
    (`resize.Frame.vector`: the way back to original pixels), `pixels_valid` `[H, W]`
    with bars, and the fields named by `truth`: `mask` bool `[H, W]` (not
    writable), and where a picture has none or some mask has pixels that do not count
    `mask_ignored` bool `[H, W]`, all True for a picture without.

    Args:
        path: a directory (hidden files and links to directories are left out), one
            picture, or a list of pictures, whose order is kept.
        size: (H, W) of the rows, or the side of a square.
        resize: 'stretch', 'crop', 'crop:SHARE' or 'pad', see `resize.fit_frame`; 'box'
            or 'box:MARGIN', see `box_crops`, 'moving' or 'moving:MARGIN', see `moving`:
            pictures without a box are padded.
        split: 'all', 'train', 'test', 'validation', or a name in the annotation file's
            `split`; see `splits.choose_rows`.
        holdout_validation: takes the validation rows out of 'train'.
        method: 'bilinear', 'bicubic' or 'nearest'.
        annotations: an .npz file, or its arrays, which then name all pictures that
            count; None: `annotations.npz` of the directory, if there.
        folder_labels: the first directory of each name is its class, unless the
            annotation file has labels.
        cache_bytes: limit of the memory for fitted pictures.
        contrast, megapixels: see `reading.read_picture`.
        together: all processes of JAX build this source, at the same time.

    Attributes:
        files, paths: relative name of each row, and where it is.
        videos, labels: `[N]` the video and the class of each row; None if unknown.
        truth: names of the annotation fields.
        class_names, keypoint_names: () if unknown.
        doubts: lines about annotations and pictures that can hardly be meant so.

    Raises:
        UserError: no such path, no picture in it, none readable, a wrong annotation
            file or split, no boxes to cut to, or a mask that cannot be read or is of
            another size.
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
        annotations: str | os.PathLike | Mapping[str, np.ndarray] | None = None,
        folder_labels: bool = False,
        cache_bytes: int = 2**30,
        contrast: str = 'full',
        megapixels: float = MEGAPIXELS,
        together: bool = False,
    ):
        check_options(contrast, megapixels)
        self._reading: dict[str, Any] = {'contrast': contrast, 'megapixels': megapixels}
        self.size, self._how, self._method = resize_lib.as_size(size), resize, method
        self._margin = box_crops.margin_of(resize)
        if self._margin is None:
            resize_lib.fit_frame((1, 1), self.size, resize)  # A wrong name, told early.
        self._root, found = list_images(path)
        if annotations is None and isinstance(path, (str, os.PathLike)):
            own = Path(path) / 'annotations.npz'
            annotations = own if own.is_file() else None
        self._notes = _annotate(self._root, found, annotations, folder_labels)
        annotated = self._margin is not None and not box_crops.is_moving(resize)
        if annotated and 'boxes' not in self._notes.fields:
            raise UserError(
                f'{self._root}: resize={resize!r} needs the boxes of the objects in '
                "annotations.npz (their key is 'boxes'); pad keeps whole pictures"
            )
        rows = choose_rows(
            split,
            len(self._notes.files),
            texts=self._notes.split,
            groups=self._notes.groups,
            holdout_validation=holdout_validation,
        )
        self._moving = self._find_moving(rows.tolist(), found)
        channels = 3 if self._notes.masks is None else 5
        self._cache: dict[int, Fitted] = {}
        self._limit = cache_bytes // (channels * self.size[0] * self.size[1])
        facts = self._check(rows, together)
        self._rows = list(facts)
        self._voids = any(one.voids for one in facts.values())
        fields = {name: v[self._rows] for name, v in self._notes.fields.items()}
        self.doubts = doubts_of(list(facts.values()), fields, self.files)
        for line in self.doubts:
            _log.warning('%s: %s', self._root, line)

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
        more = ('mask_ignored',) if self._voids else ()
        return tuple(sorted({*self._notes.truth, *more}))

    @property
    def class_names(self) -> tuple[str, ...]:
        return self._notes.class_names

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that the annotation file names."""
        texts = self._notes.split
        return () if texts is None else tuple(np.unique(texts).tolist())

    @property
    def crops(self) -> np.ndarray | None:
        """`[N, 4]` boxes that rows are cut to, NaN without one; None if rows are not cut."""
        if self._margin is None:
            return None
        found = [self._box(row) for row in self._rows]
        return np.array([boxes[valid.argmax()] if valid.any() else [np.nan] * 4
                         for boxes, valid in found])  # fmt: skip

    @property
    def annotated(self) -> np.ndarray | None:
        """`[N, T]` bool, points whose place is known, those too that a crop cuts off."""
        if 'keypoints' not in self._notes.fields:
            return None
        xy, seen = (self._notes.fields[name] for name in ('keypoints', 'visible'))
        return (np.asarray(seen, bool) & np.isfinite(xy).all(axis=-1))[self._rows]

    @property
    def mirrored(self) -> np.ndarray:
        """`[N]` bool, rows that are mirrored when they are read."""
        return np.array([bool(self._is_mirrored(row)) for row in self._rows])

    @property
    def keypoint_names(self) -> tuple[str, ...]:
        return self._notes.keypoint_names

    def __len__(self) -> int:
        return len(self._rows)

    def resized(self, size: tuple[int, int]) -> Folder:
        """The same rows fitted to another (H, W), none kept in memory."""
        other = copy.copy(self)
        other.size = resize_lib.as_size(size)
        other._cache, other._limit = {}, 0
        return other

    def __getitem__(self, index: int) -> Row:
        row = self._rows[index]
        if (one := self._cache.get(row)) is None:
            one = self._with_mask(row, self._read(row))
            if len(self._cache) < self._limit:  # Another process has looked at it.
                self._cache[row] = one
        image, frame = one.image, one.frame
        extra: Row = {'frame': frame.vector}
        if self._how == 'pad' or self._margin is not None:
            extra['pixels_valid'] = resize_lib.pixels_valid(frame, self.size)
        if self._notes.masks is not None:
            extra['mask'] = one.mask
        if 'mask_ignored' in self.truth:
            some = np.full(self.size, not self._notes.masks[row])
            extra['mask_ignored'] = some if one.ignored is None else one.ignored
        return {'image': image, **extra, **self._notes.row(row, frame, self.size)}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_cache': {}, '_limit': 0}

    def _read(self, row) -> Fitted:
        picture = self._picture(row)
        image, frame = self._fit(row, picture)
        image.flags.writeable = False  # It may be the cache's.
        facts = Facts(*picture.original, picture.deep, int(image.max()))
        return Fitted(image, frame, facts)

    def _picture(self, row, **options) -> Picture:
        path = self._root / self._notes.files[row]
        picture = read_picture(path, **self._reading, **options)
        if self._is_mirrored(row):
            picture = picture._replace(image=ImageOps.mirror(picture.image))
        return picture

    def _find_moving(self, rows, found) -> dict[int, np.ndarray]:
        if not box_crops.is_moving(self._how):
            return {}
        cameras, more = moving.cameras(self._notes), list[str]()
        if self._notes.videos is None:  # What is not annotated tells the ground too.
            more = sorted(set(found) - {*self._notes.files, *(self._notes.masks or ())})
        count = len(cameras)

        def read(row):
            if row < count:
                return self._picture(row, least=moving.SIDE)
            path = self._root / more[row - count]
            return read_picture(path, **self._reading, least=moving.SIDE)

        return moving.boxes(
            read, [*cameras, *[os.path.dirname(name) for name in more]], rows
        )

    def _box(self, row) -> tuple[np.ndarray, np.ndarray]:
        """Boxes `[N, 4]` of a row, and which of them are there."""
        fields = self._notes.fields
        if not box_crops.is_moving(self._how):
            return fields['boxes'][row], fields['boxes_valid'][row]
        box = self._moving.get(row)
        return np.zeros((1, 4)) if box is None else box[None], np.array(
            [box is not None]
        )

    def _is_mirrored(self, row):
        return self._notes.mirrored is not None and self._notes.mirrored[row]

    def _fit(self, row, picture):
        same = {'method': self._method, 'original': picture.original[::-1]}
        if self._margin is None:
            return resize_lib.fit_image(picture.image, self.size, self._how, **same)
        boxes, valid = self._box(row)
        edges = box_crops.region(boxes, valid, self.size, self._margin)
        if edges is None:
            return resize_lib.fit_image(picture.image, self.size, 'pad', **same)
        return box_crops.fit_region(picture.image, edges, self.size, **same)

    def _with_mask(self, row, one: Fitted) -> Fitted:
        """With the mask of the row's picture, if any has one."""
        if self._notes.masks is None:
            return one
        if not (name := self._notes.masks[row]):
            return one._replace(mask=_still(np.zeros(self.size, bool)))
        whole = masks.read_mask(
            self._root / name,
            megapixels=self._reading['megapixels'],
            ground=self._notes.mask_ground,
        )
        if self._is_mirrored(row):
            both = whole.object[:, ::-1], whole.ignored[:, ::-1]
            whole = whole._replace(object=both[0], ignored=both[1])
        _check_size(name, whole.object, self._notes.files[row], one.frame)
        fit = lambda v: _still(resize_lib.take_labels(v, one.frame, self.size))
        return one._replace(
            mask=fit(whole.object),
            ignored=fit(whole.ignored),
            facts=one.facts._replace(
                voids=bool(whole.ignored.any()), numbers=whole.numbers, dark=whole.dark
            ),
        )

    def _check(self, rows, together) -> dict[int, Facts]:
        """Decodes this process's share; what the files of all readable rows are like."""

        def attempt(job):
            place, row = job
            try:
                one = self._read(row)
            except UserError as error:
                return error
            # Looked at even where it is not kept, and never skipped: it is truth.
            one = self._with_mask(row, one)
            if place < self._limit:
                self._cache[row] = one
            return one.facts

        if together:
            self._expect_the_same(rows)
        mine = in_threads(attempt, list(enumerate(share(rows, together).tolist())))
        facts = facts_of_all(mine, len(rows), together)
        pairs = zip(rows.tolist(), facts, strict=True)
        return {row: one for row, one in pairs if one is not None}

    def _expect_the_same(self, rows):
        """Whether all processes, perhaps of disks of their own, have found these."""
        names = '\n'.join(self._notes.files[row] for row in rows)
        told = processes.told_by_all([len(rows), zlib.crc32(os.fsencode(names))])
        if differ := [count for count, digest in told if [count, digest] != told[0]]:
            raise UserError(
                f'{self._root}: {told[0][0]} pictures in process 0, {differ[0]} in '
                'another, or of other names: every process needs the same files'
            )


def _annotate(root, found, given, folder_labels):
    """Annotations of the found pictures: of the file, of the directories, or none."""
    notes = Annotations(tuple(found), {})
    path = 'annotations' if isinstance(given, Mapping) else given
    if isinstance(given, Mapping):
        notes = from_arrays('annotations', given, found)
    elif given is not None:
        notes = read_annotations(given, found)
    notes = dataclasses.replace(notes, masks=_find_masks(root, notes, path))
    unlisted = set(found) - {*notes.files, *(notes.masks or ())}
    if unlisted and not isinstance(given, Mapping):
        _log.warning('%s: leaves out %d pictures of %s', path, len(unlisted), root)
    if not folder_labels or 'label' in notes.fields:
        return notes
    classes, label = _folder_labels(root, notes.files)
    fields = {**notes.fields, 'label': label}
    return dataclasses.replace(notes, fields=fields, class_names=classes)


def _find_masks(root, notes, path):
    """Names of the masks as they are on disk, '' for none; None if there are none."""
    wanted = notes.masks
    if wanted is None and (root / pictures.MASKS).is_dir():
        wanted = map(pictures.mask_name, notes.files)
    names = tuple(_on_disk(root, name) for name in wanted or ())
    if notes.masks is not None:
        pairs = zip(notes.masks, names, strict=True)
        missing = [name for name, there in pairs if name and not there]
        if missing:
            raise UserError(
                f'{path}: {len(missing)} of {len(names)} masks are not in the folder: '
                f'{", ".join(missing[:3])}'
            )
    return names if any(names) else None


def _on_disk(root, name):
    """A name below `root` as the disk spells it, '' if there is no such file."""
    # A Mac spells accents with two code points, others with one.
    forms = (name, *(unicodedata.normalize(form, name) for form in ('NFC', 'NFD')))
    there = lambda form: os.path.isfile(root / form)  # Of a name that is too long too.
    return next((form for form in forms if form and there(form)), '')


def _check_size(name, mask, file, frame):
    wanted, got = tuple(frame.original.astype(int).tolist()), mask.shape[::-1]
    if wanted != got:
        raise UserError(
            f'{name}: the mask has {got[0]} x {got[1]} pixels, its picture {file} '
            f'{wanted[0]} x {wanted[1]}'
        )


def _still(array):
    array.flags.writeable = False  # It may be the cache's.
    return array


def _folder_labels(root, files):
    outside = [name for name in files if '/' not in name]
    if outside:
        raise UserError(f'{root}: {outside[0]} is in no directory to name its class')
    classes, label = np.unique([n.split('/')[0] for n in files], return_inverse=True)
    return tuple(classes.tolist()), label.astype(np.int32)

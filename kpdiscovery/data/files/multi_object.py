"""CLEVR (with masks) and Tetrominoes of Multi-Object Datasets, split as TUSK has them.

The files are those of github.com/google-deepmind/multi_object_datasets:
`clevr_with_masks_train.tfrecords` (10.5 GB) and `tetrominoes_train.tfrecords` (0.3 GB).
"""

from __future__ import annotations

import logging
import os
import zlib

import numpy as np

from kpdiscovery.data import identity
from kpdiscovery.data import resize as resize_lib
from kpdiscovery.data.files.multi_object_layout import LAYOUTS
from kpdiscovery.data.files.multi_object_scenes import scenes
from kpdiscovery.types import Row, UserError

_log = logging.getLogger(__name__)
_TEST, _VALIDATION = 10_000, 1_000
_SPLITS = ('train', 'validation', 'test')


class MultiObject:
    """Scenes of a TFRecord file, in its order, fitted into (H, W) by nearest pixels.

    The first time, the scenes are decoded into a folder beside the file (see
    `multi_object_scenes`), for CLEVR in ten minutes by estimate; then rows are read from
    there, in any order. Safe to read from threads.

    [jin2022] takes the first 70,000 scenes of CLEVR, cuts out the central 192 pixels
    (resize='crop:0.8') and keeps scenes of at most six objects; of Tetrominoes the first
    60,000. The last 10,000 of the scenes that are kept are for testing, the others for
    training. Where fewer than 30,000 are kept, a third is for testing. The last 1,000 of
    the training rows are 'validation' as well.

    A row has `image` uint8 `[H, W, 3]`, `frame` (`resize.Frame.vector`), with
    resize='pad' `pixels_valid`, `instances` int32 `[H, W]` (object, -1 on the ground),
    `attributes` int32 `[N]`, and tight `boxes` `[N, 4]` with `boxes_valid`. An object of
    which the fitted picture has no pixel, cut off or wholly hidden, counts as none:
    attributes -1, box not valid. N is `objects`, but at most 10 of CLEVR and 3 of
    Tetrominoes.

    Args:
        path: the file.
        name: of what is in it, 'clevr_with_masks' or 'tetrominoes'.
        split: 'train', 'validation' or 'test'.
        size: (H, W) of the rows, or the side of a square.
        resize: 'stretch', 'crop', 'crop:SHARE' or 'pad', see `resize.fit_frame`.
        objects: scenes of more objects are left out, whether or not they can be seen.
        length: how many scenes are read, the first ones; None: all that [jin2022] takes.

    Attributes:
        truth: names of the annotation fields.
        digest: name, file, split and rows, which runs are compared by.

    Raises:
        UserError: no such file, name or split, a foreign or damaged file, no room on the
            disk, or no such scene.
        ValueError: unknown `resize`, or `length` is 0 or more than there are of these.
    """

    truth = ('attributes', 'boxes', 'boxes_valid', 'instances')

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        name: str,
        split: str,
        size: int | tuple[int, int],
        resize: str = 'stretch',
        objects: int = 10,
        length: int | None = None,
    ):
        for what, wanted, known in (('name', name, LAYOUTS), ('split', split, _SPLITS)):
            if wanted not in known:
                raise UserError(
                    f'{what} must be one of {", ".join(known)}, got {wanted!r}'
                )
        most = LAYOUTS[name].scenes
        if not 1 <= (length or most) <= most:
            raise ValueError(f'length must be 1 to {most} scenes, got {length}')
        self.size, self._how = resize_lib.as_size(size), resize
        self._frame = resize_lib.fit_frame(LAYOUTS[name].image, self.size, resize)
        self._scenes = scenes(path, name, self.size, resize, length or most)
        self._objects = min(objects, LAYOUTS[name].objects)
        kept = np.flatnonzero(self._scenes.count <= objects)
        self._rows = _rows(kept, split)
        _log.info('%s: kept %d of %d scenes, %d in split %s', path, len(kept),
                  len(self._scenes.count), len(self._rows), split)  # fmt: skip
        if not len(self._rows):
            raise UserError(
                f'{path}: nothing of split {split!r} among {len(kept)} scenes of at '
                f'most {objects} objects'
            )
        rows = zlib.crc32(self._rows.tobytes())
        self.digest = f'{name} {identity.of_file(path)} {split} {rows}'

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Row:
        at = self._rows[index]
        picture = self._scenes.pictures[at]
        instances = picture[..., 3].astype(np.int32) - 1
        boxes, seen = _boxes(instances, self._objects)
        row: Row = {
            'image': np.ascontiguousarray(picture[..., :3]),
            'frame': self._frame.vector,
            'instances': instances,
            'attributes': {
                name: np.where(seen, values[at, : self._objects], np.int32(-1))
                for name, values in self._scenes.attributes.items()
            },
            'boxes': boxes,
            'boxes_valid': seen,
        }
        if self._how == 'pad':
            row['pixels_valid'] = resize_lib.pixels_valid(self._frame, self.size)
        return row


def _rows(kept: np.ndarray, split: str) -> np.ndarray:
    """Those of the scenes that are kept which are in a split."""
    first = len(kept) - min(_TEST, len(kept) // 3)
    rows = {'train': kept[:first], 'test': kept[first:]}
    return rows['train'][-_VALIDATION:] if split == 'validation' else rows[split]


def _boxes(instances: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Around the pixels of objects 0..N-1, float32 `[N, 4]`, and which have any, `[N]`."""
    mine = instances == np.arange(count)[:, None, None]
    spans = []
    for axis in (1, 2):
        hit = mine.any(axis=axis)  # [N, W], then [N, H]
        spans.append((hit.argmax(1) - 0.5, hit.shape[1] - hit[:, ::-1].argmax(1) - 0.5))
    (x0, x1), (y0, y1) = spans
    boxes = np.stack([x0, y0, x1, y1], axis=-1).astype(np.float32)
    seen = mine.any(axis=(1, 2))
    return np.where(seen[:, None], boxes, np.float32(-1)), seen

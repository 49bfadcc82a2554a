"""`annotations.npz`: what is known of the pictures of a folder, and which are for what.

Arrays, one entry a picture unless said otherwise; only `files` is required:
    files           [N] text: names below the folder, with '/'.
    object          [N] int: a picture may be in several rows, each about another object.
    keypoints       [N, T, 2] or [N, animals, T, 2] (x, y), pixels of the upright
                    picture, (0, 0) the centre of the top left one; NaN: not annotated.
                    `landmarks` is another name for it.
    visible         [N, T] (or [N, animals, T]) bool.
    label           [N] int; class_names [classes] text.
    boxes           [M, 4] (x0, y0, x1, y1), pixel edges, x1 and y1 exclusive;
                    box_image [M]: the row a box belongs to (without it, M = N). Or
                    [N, most, 4], -1 or NaN where a picture has no more.
    part_boxes      [P, 4], part_label [P] int: boxes of annotated parts, edges as above,
                    and which part each is, from 0; part_image [P]: as box_image.
    masks           [N] text: names below the folder of pictures of the same size,
                    the object light and the rest dark, or class numbers (see
                    `files.masks`); '': not annotated. Without it
                    FOLDER/masks/bird/1.png is the mask of FOLDER/bird/1.jpg, if there.
    mask_ground     [3] (R, G, B) 0 to 255: masks are pictures of the object on a ground
                    of this colour.
    mirrored        [N] bool: the picture is mirrored left to right when it is read, its
                    mask too; points and boxes are those of the mirrored one.
    split           [N] text; identity, video [N] int: rows that look alike; `video`
                    also tells the sequences of `data.temporal` apart.
"""

from __future__ import annotations

import dataclasses
import difflib
import logging
import os
import posixpath
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np

from kpdiscovery.data import resize
from kpdiscovery.data.annotations.fitting import fit_boxes, fit_keypoints, fit_parts
from kpdiscovery.data.files import npy
from kpdiscovery.types import Row, UserError

_log = logging.getLogger(__name__)
_WHOLE = (
    'label',
    'object',
    'box_image',
    'part_image',
    'part_label',
    'mask_ground',
    'mirrored',
)
_KNOWN = (
    *_WHOLE, 'files', 'keypoints', 'landmarks', 'visible', 'class_names', 'boxes',
    'part_boxes', 'masks', 'split', 'identity', 'video', 'keypoint_names',
)  # fmt: skip
_NUMBERS = ('keypoints', 'landmarks', 'visible', 'boxes', 'part_boxes')
_FAR = 1e9  # Pixels from where no picture reaches: sums of larger ones lose a pixel or all.
# Places for boxes that a table of all pictures may have for each box that is given: all
# boxes of a large set in one picture would make it grow without limit.
_MOST_PLACES, _FREE_PLACES = 100, 1 << 23


@dataclasses.dataclass(frozen=True)
class Annotations:
    """The rows of an annotation file sorted by name, in original pixels, our frame."""

    files: tuple[str, ...]
    fields: dict[str, np.ndarray]  # Batch fields, each [N, ...].
    split: np.ndarray | None = None  # [N] text.
    groups: np.ndarray | None = None  # [N]: rows of a group never part.
    videos: np.ndarray | None = None  # [N]: the video each is a frame of.
    class_names: tuple[str, ...] = ()
    keypoint_names: tuple[str, ...] = ()
    masks: tuple[str, ...] | None = None  # [N] names, '' for none.
    mask_ground: tuple[int, ...] = ()  # Colour of the masks' ground, () for dark.
    mirrored: np.ndarray | None = None  # [N] bool: read as in a mirror.

    @property
    def truth(self) -> tuple[str, ...]:
        masks = [] if self.masks is None else ['mask']
        if self.masks is not None and '' in self.masks:
            masks.append('mask_ignored')
        return tuple(sorted((*self.fields, *masks)))

    def row(self, index: int, frame: resize.Frame, size: tuple[int, int]) -> Row:
        """Batch fields of one picture, but masks, fitted into `size` by `frame`."""
        given = {name: values[index] for name, values in self.fields.items()}
        row: Row = {}
        if 'label' in given:
            row['label'] = given['label']
        if 'keypoints' in given:
            row |= fit_keypoints(given['keypoints'], given['visible'], frame, size)
        if 'boxes' in given:
            row |= fit_boxes(given['boxes'], given['boxes_valid'], frame, size)
        if 'part_boxes' in given:
            row |= fit_parts(given['part_boxes'], given['part_label'], frame, size)
        return row


def read_annotations(path: str | os.PathLike, found: Sequence[str]) -> Annotations:
    """Reads an annotation file; never a pickle.

    Args:
        path: the .npz file.
        found: names of the pictures there are, relative, with '/'.

    Raises:
        UserError: not an .npz of plain arrays, arrays that do not fit each other, or
            names that are not among `found`.
    """
    return from_arrays(os.fspath(path), load(path), found)


def from_arrays(
    path: str, arrays: Mapping[str, np.ndarray], found: Sequence[str]
) -> Annotations:
    """`read_annotations` of the arrays of a file; `path` is what messages call it."""
    files = _match(path, arrays, found)
    _tell_misspelt(path, arrays)
    count = len(files)
    fields = _points(path, arrays, count) | _boxes(path, arrays, count)
    fields |= _parts(path, arrays, count)
    names = _names(path, arrays, 'keypoint_names')
    if names and 'keypoints' in fields and len(names) != fields['keypoints'].shape[-2]:
        raise UserError(
            f"{path}: 'keypoint_names' has {len(names)} names of "
            f'{fields["keypoints"].shape[-2]} points'
        )
    if 'label' in arrays:
        fields['label'] = _array(path, arrays, 'label', (count,)).astype(np.int32)
    order = np.array(sorted(range(count), key=lambda i: files[i]))
    return Annotations(
        files=tuple(files[i] for i in order),
        fields={name: values[order] for name, values in fields.items()},
        split=_texts(_optional(path, arrays, ('split',), order)),
        groups=_optional(path, arrays, ('identity', 'video'), order),
        videos=_optional(path, arrays, ('video',), order),
        class_names=_names(path, arrays, 'class_names'),
        keypoint_names=names,
        masks=_masks(path, arrays, order),
        mask_ground=_ground(path, arrays),
        mirrored=_optional(path, arrays, ('mirrored',), order),
    )


def _tell_misspelt(path, arrays):
    """Arrays of others may lie beside ours, but hardly under nearly the same name."""
    for name in arrays:
        near = difflib.get_close_matches(name, _KNOWN, 1, 0.8)
        if name not in _KNOWN and near and near[0] not in arrays:
            _log.warning('%s: %r is not read, is it %r?', path, name, near[0])


def load(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of an annotation file, `files` among them, not checked further.

    Raises:
        UserError: not an .npz of plain arrays, or without `files`.
    """
    try:
        with open(path, 'rb') as file:
            arrays = npy.arrays(file)
    except npy.BROKEN as e:
        raise UserError(f'{path}: not an .npz of plain arrays ({e})') from e
    if 'files' not in arrays:
        there = ', '.join(sorted(arrays)) or 'nothing'
        raise UserError(f"{path}: needs an array 'files' of picture names, has {there}")
    return arrays


def _match(path, arrays, found):
    """The found name of every row; names compare after Unicode normalisation."""
    names = [str(name) for name in arrays['files'].ravel()]
    known = {normal_name(name): name for name in found}
    missing = [name for name in names if normal_name(name) not in known]
    if missing:
        raise UserError(
            f'{path}: {len(missing)} of {len(names)} names are not pictures in the '
            f'folder: {", ".join(missing[:3])}'
        )
    rows = [(normal_name(name), one) for name, one in zip(names, _objects(path, arrays),
                                                          strict=True)]  # fmt: skip
    if len(set(rows)) < len(rows) or not rows:
        raise UserError(
            f"{path}: 'files' must name each picture once (with 'object': each picture "
            'and object), at least one'
        )
    return [known[normal_name(name)] for name in names]


def _objects(path, arrays):
    """Which object of its picture each row is about."""
    count = arrays['files'].size
    if 'object' not in arrays:
        return [0] * count
    return _array(path, arrays, 'object', (count,)).tolist()


def normal_name(name: str) -> str:
    """A name to compare by: one separator, one spelling."""
    # A Mac spells accents with two code points, others with one.
    return unicodedata.normalize('NFC', posixpath.normpath(name.replace('\\', '/')))


def _array(path, arrays, name, shape):
    """The named array; None in `shape` fits any length."""
    values = arrays[name]
    fits = len(values.shape) == len(shape) and all(
        want in (None, got) for want, got in zip(shape, values.shape, strict=True)
    )
    if not fits:
        wanted = ', '.join('any' if want is None else str(want) for want in shape)
        raise UserError(
            f'{path}: {name!r} must be [{wanted}], got {list(values.shape)}'
        )
    _check_kind(path, name, values)
    return values


def _check_kind(path, name, values):
    """UserError for text where numbers belong, or fractions where whole ones do."""
    number = values.dtype.kind in 'iufb'
    if name in _NUMBERS and not number:
        raise UserError(f'{path}: {name!r} must hold numbers, got {values.dtype}')
    if name in _NUMBERS and (np.abs(values.astype(np.float64)) > _FAR).any():
        raise UserError(f'{path}: {name!r} must hold pixels, of at most {_FAR:g}')
    if name in _WHOLE and not (number and _whole(values).all()):
        raise UserError(
            f'{path}: {name!r} must hold whole numbers from 0, got {values.dtype}; names '
            "of classes belong into 'class_names'"
        )


def _whole(values):
    values = values.astype(np.float64)
    return (values == np.round(values)) & (np.abs(values) < 2**31)


def _optional(path, arrays, names, order):
    for name in names:
        if name in arrays:
            return _array(path, arrays, name, (len(order),))[order]
    return None


def _texts(values):
    if values is not None and values.dtype.kind == 'S':
        values = np.char.decode(values, 'utf-8', 'replace')
    return None if values is None else values.astype(str)


def _names(path, arrays, name):
    if name not in arrays:
        return ()
    return tuple(_texts(_array(path, arrays, name, (None,))).tolist())


def _masks(path, arrays, order):
    names = _optional(path, arrays, ('masks',), order)
    if names is None:
        return None
    names = [str(name).replace('\\', '/') for name in names]
    names = [posixpath.normpath(name) if name else '' for name in names]
    outside = [name for name in names if name.startswith(('/', '../')) or name == '..']
    if outside:
        raise UserError(f'{path}: masks must be below the folder, got {outside[0]}')
    return tuple(names)


def _ground(path, arrays):
    if 'mask_ground' not in arrays:
        return ()
    return tuple(_array(path, arrays, 'mask_ground', (3,)).tolist())


def _points(path, arrays, count):
    name = 'keypoints' if 'keypoints' in arrays else 'landmarks'
    if name not in arrays:
        return {}
    middle = (None,) * (arrays[name].ndim - 2 if arrays[name].ndim == 4 else 1)
    xy = _array(path, arrays, name, (count, *middle, 2)).astype(np.float32)
    visible = np.ones(xy.shape[:-1], bool)
    if 'visible' in arrays:
        visible = _array(path, arrays, 'visible', xy.shape[:-1]).astype(bool)
    return {'keypoints': xy, 'visible': visible}


def _boxes(path, arrays, count):
    if 'boxes' not in arrays:
        return {}
    packed, rows, places = _packed(path, arrays, 'boxes', 'box_image', count)
    valid = np.zeros(packed.shape[:2], bool)
    valid[rows, places] = True
    return {'boxes': packed, 'boxes_valid': valid}


def _parts(path, arrays, count):
    """Boxes of parts and which part each is, -1 where there is none."""
    if 'part_boxes' not in arrays:
        return {}
    packed, rows, places = _packed(path, arrays, 'part_boxes', 'part_image', count)
    if 'part_label' not in arrays:
        raise UserError(
            f"{path}: 'part_boxes' needs 'part_label', the part of each box"
        )
    parts = _array(path, arrays, 'part_label', (len(rows),))
    if (parts < 0).any():
        raise UserError(f"{path}: 'part_label' must be >= 0, got {parts.min()}")
    label = np.full(packed.shape[:2], -1, np.int32)
    label[rows, places] = parts.astype(np.int32)
    return {'part_boxes': packed, 'part_label': label}


def _packed(path, arrays, name, image_name, count):
    """Boxes `[M, 4]` as `[N, most, 4]`, edges moved to pixel centres, and their places.

    Returns:
        The boxes, -1 where there is none, and row and place `[M]` of each.
    """
    boxes, image = _listed(path, arrays, name, image_name, count)
    _check_boxes(path, name, boxes)
    _check_kind(path, image_name, image)
    image = image.astype(np.int64)
    if image.shape != (len(boxes),) or (image < 0).any() or (image >= count).any():
        raise UserError(
            f'{path}: {image_name!r} must name a row 0..{count - 1} for each box'
        )
    filled = np.zeros(count, np.int64)
    places = np.zeros(len(boxes), np.int64)
    for box, row in enumerate(image):
        places[box] = filled[row]
        filled[row] += 1
    most = max(1, int(filled.max()))
    if count * most > _FREE_PLACES + _MOST_PLACES * len(boxes):
        raise UserError(f'{path}: {most} of {len(boxes)} {name!r} are of one picture')
    packed = np.full((count, most, 4), -1, np.float32)
    packed[image, places] = boxes - 0.5
    return packed, image, places


def _listed(path, arrays, name, image_name, count):
    """Boxes `[M, 4]` and the row of each, however many a picture are given."""
    if arrays[name].ndim != 3:
        total = None if image_name in arrays else count
        boxes = _array(path, arrays, name, (total, 4)).astype(np.float32)
        return boxes, arrays.get(image_name, np.arange(count))
    boxes = _array(path, arrays, name, (count, None, 4)).astype(np.float32)
    there = ~((boxes == -1) | np.isnan(boxes)).all(axis=-1)
    return boxes[there], np.nonzero(there)[0]


def _check_boxes(path, name, boxes):
    wrong = ~(boxes[:, 2:] >= boxes[:, :2]).all(axis=1)  # NaN among them.
    if wrong.any():
        first = ', '.join(f'{value:g}' for value in boxes[wrong][0])
        raise UserError(
            f'{path}: {wrong.sum()} of {len(boxes)} {name!r} have x1 < x0 or y1 < y0, '
            f'({first}) say: they are corners (x0, y0, x1, y1); are these x, y, width '
            'and height?'
        )

"""A source over a prepared TensorFlow Datasets set, without TensorFlow.

Nothing is downloaded here: preparing a set is a command of its own, which the error for
a missing set spells out. Fields follow the set's features, whatever its name:
    landmarks (celeb_a)   keypoints [5, 2]: left eye, right eye, nose, left and right
                          corner of the mouth; whole pixels, from the centre of the
                          first. TFDS has the aligned 178x218 pictures, and no file
                          names, so MAFL's list of test pictures cannot be applied.
    objects (clevr)       attributes shape, color, size, material [10], -1 without
                          object; keypoints [10, 1, 2] are the objects' centres.
    bbox                  boxes [1, 4].
    label                 label.
    segmentation_mask     mask bool [H, W], above half of full scale: birds of
                          caltech_birds2011, half the annotators agreeing. Of
                          oxford_iiit_pet it says 1 pet, 2 ground, 3 their border: mask,
                          and the border as mask_ignored bool [H, W].
"""

from __future__ import annotations

import copy
import functools
import logging
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kpdiscovery.data import resize as resize_lib
from kpdiscovery.data.annotations.fitting import fit_boxes, fit_keypoints
from kpdiscovery.data.files.masks import foreground
from kpdiscovery.types import Row, UserError

_log = logging.getLogger(__name__)
_LANDMARKS = ('lefteye', 'righteye', 'nose', 'leftmouth', 'rightmouth')
_ATTRIBUTES = ('shape', 'color', 'size', 'material')
_MOST_OBJECTS = 10  # In a CLEVR scene.
_MOST_LABELS = 100_000  # Reading ImageNet's 140 GB to check its labels is not cheap.
_FIELDS = {
    'landmarks': ('keypoints', 'visible'),
    'objects': ('attributes', 'keypoints', 'visible'),
    'bbox': ('boxes', 'boxes_valid'),
    'label': ('label',),
    'segmentation_mask': ('mask',),
}
_TRIMAPS = ('oxford_iiit_pet',)  # Sets whose masks are 1 object, 2 ground, 3 border.


class TfdsSource:
    """Rows of a prepared TFDS set, fitted into (H, W).

    A row has `image`, `frame`, with resize='pad' `pixels_valid`, and the fields named
    by `truth`; see `folder.Folder`. Rows are decoded each time they are asked for.

    Args:
        name: of the set, 'clevr' or 'mnist:3.0.1' say.
        split: TFDS's, slices like 'train[:90%]' included.
        size: (H, W) of the rows, or the side of a square.
        resize: 'stretch', 'crop', 'crop:SHARE' or 'pad', see `resize.fit_frame`.
        keep: which examples become rows. It sees each example once, when the source is
            built, with its image still encoded; `clevr.ClevrScenes` is one.
        fields: annotation fields wanted; None: all there are.
        data_dir: where sets were prepared; None: TFDS's own default.
        method: 'bilinear', 'bicubic' or 'nearest'.

    Attributes:
        truth: names of the annotation fields.
        class_names: () if unknown.
        digest: name, version, split and rows, which runs are compared by.

    Raises:
        UserError: no such set, split or field, not prepared, or nothing kept.
    """

    def __init__(
        self,
        name: str,
        *,
        split: str,
        size: int | tuple[int, int],
        resize: str = 'stretch',
        keep: Callable[[Mapping[str, Any]], bool] | None = None,
        fields: Sequence[str] | None = None,
        data_dir: str | None = None,
        method: str = 'bilinear',
    ):
        self.size, self._how, self._method = resize_lib.as_size(size), resize, method
        resize_lib.fit_frame((1, 1), self.size, resize)  # A wrong name, told early.
        self._encoded = functools.partial(_encoded, name, data_dir, split)
        builder = _builder(name, data_dir)
        self._trimap = builder.name in _TRIMAPS
        self._examples = _examples(builder, name, split)
        features = builder.info.features
        if 'image' not in features:
            raise UserError(f"{name}: no feature 'image', only {', '.join(features)}")
        self.truth = _truth(name, features, fields, self._trimap)
        self.class_names = _class_names(features)
        self._rows = np.arange(len(self._examples))
        if keep is not None:
            self._rows = _kept(self._encoded(), name, split, keep)
        rows = zlib.crc32(self._rows.tobytes())
        self.digest = f'{builder.info.full_name} {split} {rows}'

    @functools.cached_property
    def labels(self) -> np.ndarray | None:
        """`[N]` int32 class of each row; None if unknown or of too many rows.

        The first time reads all records, without decoding pictures: seconds.
        """
        if 'label' not in self.truth or len(self) > _MOST_LABELS:
            return None
        encoded = self._encoded()
        read = lambda row: _example(encoded, int(row))['label']
        return np.array([read(row) for row in self._rows], np.int32)

    def __len__(self) -> int:
        return len(self._rows)

    def resized(self, size: tuple[int, int]) -> TfdsSource:
        """The same rows fitted to another (H, W)."""
        other = copy.copy(self)
        other.size = resize_lib.as_size(size)
        return other

    def __getitem__(self, index: int) -> Row:
        example = _example(self._examples, int(self._rows[index]))
        image, frame = resize_lib.fit_image(
            example['image'], self.size, self._how, method=self._method
        )
        row: Row = {'image': image, 'frame': frame.vector}
        if self._how == 'pad':
            row['pixels_valid'] = resize_lib.pixels_valid(frame, self.size)
        known = _annotations(example, frame, self.size)
        if 'mask' in self.truth:
            known |= self._masks(example['segmentation_mask'], frame)
        return row | {name: known[name] for name in self.truth}

    def _masks(self, values, frame):
        grey = np.asarray(values).reshape(np.shape(values)[:2])
        if (grey.shape[::-1] != frame.original).any():
            raise UserError(
                f'the mask has {grey.shape[1]} x {grey.shape[0]} pixels, its picture '
                f'{frame.original[0]:.0f} x {frame.original[1]:.0f}'
            )
        fit = lambda whole: resize_lib.fit_labels(whole, self.size, self._how)
        if self._trimap:
            return {'mask': fit(grey == 1), 'mask_ignored': fit(grey == 3)}
        return {'mask': fit(foreground(grey))}


def _builder(name, data_dir):
    import tensorflow_datasets as tfds  # Half a second, only for those who use it.

    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        raise UserError(f'TFDS has no data set {name!r}') from error
    except Exception as error:  # An unknown version, or damaged files: any type at all.
        raise UserError(f'{name}: {_first_line(error)}') from error


def _examples(builder, name, split, **options):
    try:
        examples = builder.as_data_source(split=split, **options)
        len(examples)  # Opens the files.
    except (KeyError, NotImplementedError) as error:  # No files, or in another format.
        raise UserError(_how_to_prepare(name, builder)) from error
    except Exception as error:  # No such split, or damaged files: any type at all.
        raise UserError(f'{name}, split {split!r}: {_first_line(error)}') from error
    return examples


def _example(examples, row):
    """One of them; UserError if it is damaged."""
    try:
        return examples[row]
    except Exception as error:  # Records, formats, pictures: any type at all.
        raise UserError(f'record {row} cannot be read: {_first_line(error)}') from error


def _how_to_prepare(name, builder):
    # The folder of all sets: NAME/[CONFIG/]VERSION is taken off.
    root = str(builder.data_dir).split(f'/{builder.name}/')[0]
    return (
        f'{name} is not prepared as array_record in {root}, and nothing is downloaded '
        f'unasked: run `pip install tensorflow` and `tfds build {name} '
        f'--file_format=array_record --data_dir={root}` once'
    )


def _first_line(error):
    line = str(error).strip('\'" ').split('\n')[0]
    return line or type(error).__name__


def _truth(name, features, fields, trimap):
    there = {f for key in _FIELDS if _has(features, key) for f in _FIELDS[key]}
    if trimap:
        there.add('mask_ignored')
    unknown = set(fields or ()) - there
    if unknown:
        raise UserError(
            f'{name} has no {", ".join(sorted(unknown))}; fields: '
            f'{", ".join(sorted(there)) or "none"}'
        )
    return tuple(sorted(there if fields is None else fields))


def _has(features, key):
    """Whether a feature is there and of the one kind that is understood."""
    inner = {'landmarks': 'lefteye_x', 'objects': 'pixel_coords'}.get(key)
    return key in features and (inner is None or inner in features[key])


def _class_names(features):
    if 'label' not in features:
        return ()
    return tuple(getattr(features['label'], 'names', None) or ())


def _encoded(name, data_dir, split):
    """The examples with their pictures as they are in the file."""
    from tensorflow_datasets import decode

    builder = _builder(name, data_dir)
    kinds = ('image', 'segmentation_mask')
    there = [kind for kind in kinds if kind in builder.info.features]
    skip = dict.fromkeys(there, decode.SkipDecoding())
    return _examples(builder, name, split, decoders=skip)


def _kept(encoded, name, split, keep):
    kept = [keep(_example(encoded, i)) for i in range(len(encoded))]
    rows = np.flatnonzero(kept)
    _log.info('%s, split %s: kept %d of %d', name, split, len(rows), len(encoded))
    if not len(rows):
        raise UserError(f'{name}: keep={keep} leaves nothing of split {split!r}')
    return rows


def _annotations(example, frame, size):
    row: Row = {}
    if 'label' in example:
        row['label'] = np.int32(example['label'])
    if 'bbox' in example:  # Edges (y0, x0, y1, x1), 1 being the far side.
        y0, x0, y1, x1 = np.asarray(example['bbox'], np.float64)
        box = np.array([x0, y0, x1, y1]) * np.tile(frame.original, 2) - 0.5
        row |= fit_boxes(box[None], np.ones(1, bool), frame, size)
    if 'lefteye_x' in example.get('landmarks', ()):
        points = example['landmarks']
        xy = np.array([(points[f'{p}_x'], points[f'{p}_y']) for p in _LANDMARKS])
        row |= fit_keypoints(xy, np.ones(len(xy), bool), frame, size)
    if 'pixel_coords' in example.get('objects', ()):
        row |= _objects(example['objects'], frame, size)
    return row


def _objects(objects, frame, size):
    count = min(len(objects['shape']), _MOST_OBJECTS)
    xy = np.full((_MOST_OBJECTS, 2), np.nan, np.float32)
    # CLEVR rounds a position measured from the picture's corner.
    xy[:count] = np.asarray(objects['pixel_coords'])[:count, :2] - 0.5
    attributes = {name: np.full(_MOST_OBJECTS, -1, np.int32) for name in _ATTRIBUTES}
    for name, values in attributes.items():
        values[:count] = np.asarray(objects[name])[:count]
    row = fit_keypoints(xy, np.ones(_MOST_OBJECTS, bool), frame, size)
    row = {name: value[:, None] for name, value in row.items()}  # One point an object.
    return row | {'attributes': attributes}

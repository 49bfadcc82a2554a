"""MNIST digits from where people have them: an .npz, IDX files, or TFDS."""

from __future__ import annotations

import gzip
import math
import pathlib
import struct
import zlib

import numpy as np

from kpdiscovery.data.files import npy
from kpdiscovery.types import UserError

_NPZ_NAMES = (('{}_images', '{}_labels'), ('x_{}', 'y_{}'))  # The second is Keras'.
_IDX_NAMES = {
    'train': ('train-images-idx3-ubyte', 'train-labels-idx1-ubyte'),
    'test': ('t10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte'),
}
_MEND = 'give an .npz, a directory of IDX files, or nothing for TFDS'


def load_digits(path: str | None, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 `[N, 28, 28]` and labels int32 `[N]` of MNIST's own `split`.

    Args:
        path: an `.npz` with `train_images`, `train_labels`, `test_images`,
            `test_labels` (or Keras' `x_train` ...); a directory with the four IDX
            files, gzipped or not, or one of these files; None or 'tfds' for TFDS.
        split: 'train' or 'test'.

    Raises:
        UserError: no such file, or not MNIST.
    """
    if split not in _IDX_NAMES:
        raise UserError(f"MNIST has the splits 'train' and 'test', not {split!r}")
    if path is None or str(path) == 'tfds':
        return _checked(*_read_tfds(split), where='TFDS mnist')
    file = pathlib.Path(path).expanduser()
    if not file.exists():
        raise UserError(f'no MNIST at {file}: {_MEND}')
    read = _read_npz if file.suffix == '.npz' else _read_idx
    return _checked(*read(file, split), where=str(file))


def _checked(images, labels, *, where):
    n = images.size // 28**2
    if n == 0 or images.shape != (n, 28, 28) or labels.shape != (n,):
        shapes = f'{images.shape} and {labels.shape}'
        raise UserError(
            f'{where}: wanted digits [N, 28, 28] and labels [N], got {shapes}'
        )
    if images.dtype != np.uint8 or labels.dtype.kind not in 'iu':
        kinds = f'{images.dtype} and {labels.dtype}'
        raise UserError(f'{where}: wanted uint8 digits and integer labels, got {kinds}')
    if labels.min() < 0 or labels.max() > 9:
        raise UserError(
            f'{where}: labels must be 0..9, got {labels.min()}..{labels.max()}'
        )
    return images, labels.astype(np.int32)


def _read_npz(file, split):
    try:
        with file.open('rb') as raw:
            arrays = npy.arrays(raw)
    except npy.BROKEN as error:
        raise UserError(
            f'{file} is not a readable .npz of plain arrays: {error}'
        ) from None
    for names in _NPZ_NAMES:
        images, labels = (name.format(split) for name in names)
        if images in arrays and labels in arrays:
            return arrays[images], arrays[labels]
    found = ', '.join(arrays) or 'nothing'
    raise UserError(f'{file} lacks {split}_images and {split}_labels; it has {found}')


def _read_idx(file, split):
    folder = file if file.is_dir() else file.parent
    if file.is_file() and 'idx' not in file.name:
        raise UserError(f'{file} is neither .npz nor IDX: {_MEND}')
    images, labels = _IDX_NAMES[split]
    return _idx_array(_find(folder, images), 3), _idx_array(_find(folder, labels), 1)


def _find(folder, name):
    plain = (name, name.replace('-idx', '.idx'))  # Some unpackers write the dot.
    for candidate in (*plain, *(f'{p}.gz' for p in plain)):
        if (folder / candidate).is_file():
            return folder / candidate
    raise UserError(
        f'{folder} lacks {name}[.gz]: put the four IDX files of MNIST there'
    )


def _idx_array(file, rank):
    header = 4 + 4 * rank
    try:
        with _unzipped(file) as stream:
            head = stream.read(header)
            if len(head) < header or head[:4] != bytes((0, 0, 8, rank)):
                raise UserError(f'{file} is not an IDX file of uint8 with {rank} axes')
            shape = struct.unpack(f'>{rank}I', head[4:])
            npy.check_growth(math.prod(shape), file.stat().st_size)
            data = stream.read(math.prod(shape) + 1)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f'{file} is damaged, fetch it again: {error}') from None
    if len(data) != math.prod(shape):
        there = 'more' if len(data) > math.prod(shape) else len(data)
        sizes = f'{math.prod(shape)} bytes announced, {there} there'
        raise UserError(f'{file} is damaged, fetch it again: {sizes}')
    return np.frombuffer(data, np.uint8).reshape(shape)


def _unzipped(file):
    with file.open('rb') as stream:
        zipped = stream.read(2) == b'\x1f\x8b'
    return gzip.open(file) if zipped else file.open('rb')


def _read_tfds(split):
    try:
        import tensorflow_datasets as tfds

        # The default file format has no random access. No download: it would need
        # TensorFlow, and offline it retries for minutes.
        form = {'file_format': 'array_record'}
        rows = tfds.data_source(
            'mnist', split=split, download=False, builder_kwargs=form
        )
        pairs = [(row['image'][..., 0], row['label']) for row in rows]
    except Exception as error:  # Files, codecs, formats: any type at all.
        cause = str(error).strip().split('\n')[0] or type(error).__name__
        raise UserError(
            f'TFDS cannot give MNIST ({cause}): give the path of an .npz or of IDX '
            'files, or run `tfds build mnist --file_format=array_record`'
        ) from error
    images, labels = zip(*pairs, strict=True)
    return np.stack(images), np.asarray(labels)

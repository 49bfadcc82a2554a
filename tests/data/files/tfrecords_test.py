import gzip
import struct

import numpy as np
import pytest

from kpdiscovery.data.files import tfrecords
from kpdiscovery.data.files.tfrecords import example, records
from kpdiscovery.types import UserError
from tests.data.files import tfrecord_writer as w

CONTENTS = [b'one', b'', bytes(range(256)), b'\x1f\x8b four']


def refused(read, message):
    with pytest.raises(UserError, match=message) as error:
        read()
    assert '\n' not in str(error.value)


def test_the_checksum_is_the_published_one():
    """CRC-32C of '123456789', as every list of checksums has it."""
    assert w.crc32c(b'123456789') == 0xE3069283
    turned = (0xE3069283 >> 15 | 0xE3069283 << 17) & 0xFFFFFFFF
    want = (turned + 0xA282EAD8) % 2**32
    assert tfrecords.checksum(b'123456789') == want
    assert w.masked(b'abc') == struct.pack('<I', tfrecords.checksum(b'abc'))


@pytest.mark.parametrize('zipped', [False, True])
def test_records_in_their_order(tmp_path, zipped):
    path = w.write(tmp_path / 'a.tfrecords', CONTENTS, zipped=zipped)
    assert list(records(path)) == CONTENTS
    assert list(records(str(path))) == CONTENTS
    assert next(records(path)) == b'one'  # Without what follows.


def test_records_that_others_have_written(tmp_path):
    writer = pytest.importorskip('tensorboardX.record_writer').RecordWriter
    file = writer(str(tmp_path / 'events'))
    for content in CONTENTS:
        file.write(content)
    file.close()
    assert list(records(tmp_path / 'events')) == CONTENTS


def test_an_empty_file_has_no_records(tmp_path):
    assert not list(records(w.write(tmp_path / 'plain', [], zipped=False)))
    assert not list(records(w.write(tmp_path / 'zipped', [])))


def damages():
    good = b''.join(map(w.record, CONTENTS))
    long = struct.pack('<Q', 2**60)
    yield 'text', b'keypoints, landmarks and parts', 'record 0: its length has a wrong'
    yield 'short', b'text', 'record 0: cut short'
    yield 'length', good[:19] + b'\x01' + good[20:], 'record 1: its length has a wrong'
    yield 'checksum', good[:8] + b'\x00' + good[9:], 'record 0: its length has a wrong'
    yield 'head', good[:25], 'record 1: cut short'
    yield 'content', good[:100], 'record 2: cut short'
    yield 'end', good[:-1], 'record 3: cut short'
    yield 'bomb', long + w.masked(long), r'1,152,921,504,606,846,976'
    yield 'gzip', gzip.compress(good)[:-9], 'no TFRecord file or damaged'
    yield 'no gzip', b'\x1f\x8b' + good, 'no TFRecord file or damaged'
    yield 'gzipped text', gzip.compress(b'no records'), 'record 0: cut short'
    broken = bytearray(gzip.compress(good))
    broken[20] ^= 255
    yield 'deflate', bytes(broken), 'no TFRecord file or damaged'
    broken = bytearray(gzip.compress(good))
    broken[-6] ^= 255  # In gzip's own checksum, the last thing that is read.
    yield 'sum of gzip', bytes(broken), 'record 4: CRC check failed'


@pytest.mark.parametrize(('data', 'message'), [
    pytest.param(data, message, id=name) for name, data, message in damages()
])  # fmt: skip
def test_damaged_and_foreign_files(tmp_path, data, message):
    path = tmp_path / 'damaged.tfrecords'
    path.write_bytes(data)
    refused(lambda: list(records(path)), f'damaged.tfrecords .*{message}')


def test_files_that_are_not_there(tmp_path):
    refused(lambda: next(records(tmp_path / 'none')), 'none: No such file')
    refused(lambda: next(records(tmp_path)), 'Is a directory')


@pytest.mark.parametrize('packed', [False, True])
def test_lists_of_numbers(packed):
    whole = [0, 1, 127, 128, 300, -1, 2**63 - 1, -(2**63)]
    real = [0.0, -1.5, 3.25e7]
    found = example(w.example({
        'whole': w.integers(whole, packed=packed), 'real': w.floats(real, packed=packed),
    }))  # fmt: skip
    assert list(found) == ['whole', 'real']
    assert found['whole'].dtype == np.int64 and found['whole'].tolist() == whole
    assert found['real'].dtype == np.float32 and found['real'].tolist() == real


def test_packed_and_single_numbers_may_be_mixed():
    packed = w.field(1, struct.pack('<2f', 1, 2))
    single = w.field(1, struct.pack('<f', 3), w.FIXED32)
    mixed = w.field(2, packed + single + packed)
    assert example(w.example({'a': mixed}))['a'].tolist() == [1, 2, 3, 1, 2]
    mixed = w.field(3, w.field(1, b'\x05', w.VARINT) + w.field(1, b'\x06\x07'))
    assert example(w.example({'a': mixed}))['a'].tolist() == [5, 6, 7]


def test_lists_of_strings(rng):
    picture = rng.integers(0, 256, 230_400, np.uint8)
    found = example(w.example({
        'picture': w.one_byte_strings(picture), 'names': w.strings([b'', b'a', b'bcd']),
        'one': w.strings([b'\x00']), 'none': w.strings([]),
        'three': w.strings([b'\n\x01x']),  # Looks like a field inside.
    }))  # fmt: skip
    assert found['picture'].dtype == np.uint8
    np.testing.assert_array_equal(found['picture'], picture)
    assert found['names'].tolist() == [b'', b'a', b'bcd']
    assert found['one'].tolist() == [0] and found['none'].shape == (0,)
    assert found['three'].tolist() == [b'\n\x01x']


def test_one_byte_strings_between_fields_that_are_unknown():
    unknown = w.field(9, b'?') + w.field(8, b'\x01', w.VARINT)
    feature = w.field(1, w.field(1, b'a') + unknown + w.field(1, b'b'))
    found = example(w.example({'a': feature}))['a']
    assert found.dtype == np.uint8 and bytes(found) == b'ab'


def test_fields_in_any_order_and_unknown_ones():
    unknown = [
        w.field(7, b'\x96\x01', w.VARINT), w.field(16, bytes(8), 1),
        w.field(700, b'text'), w.field(3, bytes(4), w.FIXED32),
    ]  # fmt: skip
    value, name = w.field(2, w.integers([4])), w.field(1, b'late')
    entry = w.field(1, unknown[0] + value + unknown[1] + name + unknown[2])
    other = w.field(1, w.field(1, b'no value'))
    features = w.field(1, unknown[3] + entry) + unknown[2] + w.field(1, other)
    found = example(features)  # In two parts.
    assert found['late'].tolist() == [4] and found['no value'].shape == (0,)
    assert example(b'') == {}


def test_examples_that_protobuf_has_written():
    """Protobuf's own library, of a schema that is made here."""
    descriptors = pytest.importorskip('google.protobuf.descriptor_pb2')
    factory = pytest.importorskip('google.protobuf.message_factory')
    file = descriptors.FileDescriptorProto(name='e', package='e', syntax='proto3')
    types = {'bytes': 12, 'float': 2, 'int64': 3, 'string': 9}
    for name, fields in {
        'Strings': [('v', 1, 'bytes')], 'Floats': [('v', 1, 'float')],
        'Integers': [('v', 1, 'int64')],
        'Feature': [('s', 1, 'Strings'), ('f', 2, 'Floats'), ('i', 3, 'Integers')],
        'Entry': [('key', 1, 'string'), ('value', 2, 'Feature')],
        'Features': [('entry', 1, 'Entry')], 'Example': [('features', 1, 'Features')],
    }.items():  # fmt: skip
        message = file.message_type.add(name=name)
        for key, number, kind in fields:
            told = (
                {'type': types[kind]} if kind in types else {'type_name': f'.e.{kind}'}
            )
            label = 3 if key in ('v', 'entry') else 1  # Repeated, optional.
            message.field.add(name=key, number=number, label=label, **told)
    made = factory.GetMessages([file])['e.Example']()
    for key, kind, values in (
        ('a', 's', [b'x', b'\x00']), ('b', 'f', [0.5, -2]), ('c', 'i', [-7, 2**40]),
    ):  # fmt: skip
        entry = made.features.entry.add(key=key)
        getattr(entry.value, kind).v.extend(values)
    found = example(made.SerializeToString())
    assert {k: v.tolist() for k, v in found.items()} == {
        'a': [120, 0], 'b': [0.5, -2], 'c': [-7, 2**40],
    }  # fmt: skip


@pytest.mark.parametrize(('content', 'message'), [
    (b'\x0a\x05abc', 'cut short'),
    (b'\x0a', 'a number without an end'),
    (b'\x0a' + b'\xff' * 11, 'a number without an end'),
    (b'\x0b', 'a field of unknown type 3'),
    (w.example({'a': w.field(2, w.field(1, b'abcde'))}), 'multiple of'),
    (w.example({'a': w.field(3, w.field(1, b'\x80'))}), 'a number without an end'),
    (w.field(1, w.field(1, w.field(1, b'\xff'))), 'decode'),
    (b'\x0d\x01', 'cut short'),
])  # fmt: skip
def test_what_is_no_example(content, message):
    refused(lambda: example(content), f'no tf.train.Example: .*{message}')


def test_no_damage_is_more_than_an_error(rng):
    good = w.example({
        'picture': w.one_byte_strings(rng.integers(0, 256, 9, np.uint8)),
        'names': w.strings([b'ab', b'c']), 'real': w.floats([1, 2], packed=False),
        'whole': w.integers([1, -1, 1000]),
    })  # fmt: skip
    for _ in range(2000):
        content = bytearray(good)
        for at in rng.integers(0, len(good), 3):
            content[at] = rng.integers(256)
        try:
            found = example(bytes(content[: rng.integers(1, len(good) + 1)]))
        except UserError:
            continue
        assert all(array.ndim == 1 for array in found.values())

import gzip
import pickle
import struct

import numpy as np
import pytest

from kpdiscovery.data.files.mnist import load_digits
from kpdiscovery.types import UserError

NAMES = {'train': 'train', 'test': 't10k'}


def digits(n=7):
    rng = np.random.default_rng(n)
    images = rng.integers(0, 256, (n, 28, 28), np.uint8)
    return images, rng.integers(0, 10, n, np.uint8)


def idx(array):
    return struct.pack(f'>HBB{array.ndim}I', 0, 8, array.ndim, *array.shape) + (
        array.tobytes()
    )


def write_idx(folder, split, images, labels, *, zipped=False, dot='-'):
    for kind, array in ((f'images{dot}idx3', images), (f'labels{dot}idx1', labels)):
        data = gzip.compress(idx(array)) if zipped else idx(array)
        name = f'{NAMES[split]}-{kind}-ubyte' + ('.gz' if zipped else '')
        (folder / name).write_bytes(data)


@pytest.mark.parametrize('names', ['{}_images {}_labels', 'x_{} y_{}'])
def test_npz(tmp_path, names):
    arrays = {}
    for split, n in (('train', 7), ('test', 5)):
        arrays |= zip(names.format(split, split).split(), digits(n), strict=True)
    np.savez(tmp_path / 'mnist.npz', **arrays)
    images, labels = load_digits(tmp_path / 'mnist.npz', 'test')
    assert images.dtype == np.uint8 and labels.dtype == np.int32
    np.testing.assert_array_equal(images, digits(5)[0])
    np.testing.assert_array_equal(labels, digits(5)[1])


@pytest.mark.parametrize('zipped', [False, True])
@pytest.mark.parametrize('dot', ['-', '.'])
def test_idx_round_trip(tmp_path, zipped, dot):
    for split, n in (('train', 7), ('test', 5)):
        write_idx(tmp_path, split, *digits(n), zipped=zipped, dot=dot)
    for path in (tmp_path, next(tmp_path.iterdir())):  # The folder, or a file in it.
        images, labels = load_digits(str(path), 'train')
        np.testing.assert_array_equal(images, digits(7)[0])
        np.testing.assert_array_equal(labels, digits(7)[1])


def test_tfds_without_files():
    tfds = pytest.importorskip('tensorflow_datasets')
    with tfds.testing.mock_data(num_examples=3):
        for path in (None, 'tfds'):
            images, labels = load_digits(path, 'train')
            assert images.shape == (3, 28, 28) and images.dtype == np.uint8
            assert labels.shape == (3,) and labels.dtype == np.int32


def test_tfds_not_prepared_says_how(tmp_path, monkeypatch):
    tfds = pytest.importorskip('tensorflow_datasets')

    def nothing(*args, **options):
        raise FileNotFoundError('nothing prepared\nand a long story')

    monkeypatch.setattr(tfds, 'data_source', nothing)
    with pytest.raises(UserError, match=r'^TFDS.*nothing prepared\).*tfds build.*$'):
        load_digits(None, 'train')


def broken_files(folder):
    """Name of a damage to good IDX files -> what the error says."""
    images, labels = digits()
    data = idx(images)
    plain = folder / 'train-images-idx3-ubyte'
    write_idx(folder, 'train', images, labels)
    yield plain, data[:-1], 'announced'
    yield plain, data + b'x', 'announced'
    yield plain, data[:9], 'not an IDX file'
    yield plain, b'', 'not an IDX file'
    yield plain, idx(labels), 'not an IDX file'
    yield plain, idx(images[:5]), r'wanted digits \[N, 28, 28\]'
    yield plain, idx(images[:, :20]), r'wanted digits \[N, 28, 28\]'
    yield plain, gzip.compress(data)[:-20], 'damaged'
    yield plain, b'\x1f\x8b' + bytes(40), 'damaged'
    plain.write_bytes(data)
    yield folder / 'train-labels-idx1-ubyte', idx(labels + 10), 'labels must be 0..9'


def test_broken_idx(tmp_path):
    for file, data, message in broken_files(tmp_path):
        file.write_bytes(data)
        with pytest.raises(UserError, match=message):
            load_digits(tmp_path, 'train')


def test_missing_files(tmp_path):
    with pytest.raises(UserError, match='no MNIST at'):
        load_digits(tmp_path / 'nowhere.npz', 'train')
    with pytest.raises(UserError, match='lacks train-images'):
        load_digits(tmp_path, 'train')
    with pytest.raises(UserError, match="not 'valid'"):
        load_digits(tmp_path, 'valid')
    (tmp_path / 'notes.txt').write_text('hello')
    with pytest.raises(UserError, match='neither'):
        load_digits(tmp_path / 'notes.txt', 'train')


def bad_npz(case, file):
    images, labels = digits()
    if case == 'keys':
        np.savez(file, pictures=images)
    elif case == 'objects':
        with np.errstate(all='ignore'):
            np.savez(file, train_images=images.astype(object), train_labels=labels)
    elif case == 'pickle':
        file.write_bytes(pickle.dumps({'train_images': images}))
    elif case == 'npy':
        with file.open('wb') as stream:
            np.save(stream, images)
    elif case == 'truncated':
        np.savez(file, train_images=images, train_labels=labels)
        file.write_bytes(file.read_bytes()[:-100])
    elif case == 'float':
        np.savez(file, train_images=images / 255, train_labels=labels)
    elif case == 'empty':
        np.savez(file, train_images=images[:0], train_labels=labels[:0])


@pytest.mark.parametrize(
    ('case', 'message'),
    [
        ('keys', 'lacks train_images and train_labels; it has pictures'),
        ('objects', 'not a readable .npz'),
        ('pickle', 'not a readable .npz'),
        ('npy', 'not a readable .npz'),
        ('truncated', 'not a readable .npz'),
        ('float', 'wanted uint8 digits'),
        ('empty', 'wanted digits'),
    ],
)
def test_bad_npz(tmp_path, case, message):
    file = tmp_path / 'mnist.npz'
    bad_npz(case, file)
    with pytest.raises(UserError, match=message) as error:
        load_digits(file, 'train')
    assert '\n' not in str(error.value)

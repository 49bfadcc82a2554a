"""Dense features from files: both kinds, fitted onto their pictures, and mistakes."""

import io
import pickle
import zipfile

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from PIL import Image

from kpdiscovery import data
from kpdiscovery.data import feeds, resize
from kpdiscovery.data.files.folder import Folder
from kpdiscovery.data.generated import Generated
from kpdiscovery.data.generated.tetrominoes import tetrominoes
from kpdiscovery.data.joined import Joined, detections, feature_files, features
from kpdiscovery.types import UserError


class Rows:
    truth = ()

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return {'image': np.full((2, 3, 3), index, np.uint8)}


def save_records(path, maps):
    """One record a map; bytes go in as they are."""
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(path), 'group_size:1')
    for one in maps:
        file = io.BytesIO()
        if not isinstance(one, bytes):
            np.save(file, one)
        writer.write(one if isinstance(one, bytes) else file.getvalue())
    writer.close()


def grid(n, h, w, d=3, dtype=np.float32):
    return np.random.default_rng(0).normal(size=(n, h, w, d)).astype(dtype)


def pooled(pixels, cell):
    """Means over squares of `cell` pixels."""
    h, w, c = pixels.shape
    parts = pixels.reshape(h // cell, cell, w // cell, cell, c).astype(np.float32)
    return parts.mean((1, 3))


def eight_devices():
    mesh = jax.make_mesh((8,), ('data',), (AxisType.Auto,), devices=jax.devices()[:8])
    return NamedSharding(mesh, PartitionSpec('data'))


def read(folder, n, resize='stretch', **options):
    return features.join(Rows(n), folder, 'train', resize=resize, **options)


# Both kinds of file.


@pytest.mark.parametrize('kept', ['npz', 'compressed', 'records'])
@pytest.mark.parametrize('how', features.HOW)
def test_square_maps_arrive_as_they_are(tmp_path, kept, how):
    maps = grid(5, 4, 4)
    if kept == 'records':
        save_records(tmp_path / 'train.array_record', maps)
    else:
        write = np.savez if kept == 'npz' else np.savez_compressed
        write(tmp_path / 'train.npz', features=maps)
    source = read(tmp_path, 5, how)
    assert isinstance(source, Joined) and source.truth == () and len(source) == 5
    row = source[3]
    assert row['image'][0, 0, 0] == 3 and row['features'].dtype == np.float32
    np.testing.assert_array_equal(row['features'], maps[3])
    assert row['features_valid'].dtype == bool and row['features_valid'].all()
    np.testing.assert_array_equal(
        source.extra(np.array([4, 0, 4]))['features'], maps[[4, 0, 4]]
    )


@pytest.mark.parametrize('kept', ['npz', 'records'])
@pytest.mark.parametrize(
    'stored, given', [('f2', 'f2'), ('f4', 'f4'), ('f8', 'f4'), ('>f2', 'f2')]
)
def test_half_stays_half_and_all_else_becomes_single(tmp_path, kept, stored, given):
    maps = grid(3, 4, 2).astype(stored)
    if kept == 'npz':
        np.savez(tmp_path / 'train.npz', features=maps)
    else:
        save_records(tmp_path / 'train.array_record', maps)
    for how in features.HOW:
        batch = read(tmp_path, 3, how).extra(np.arange(3))
        assert batch['features'].dtype == np.dtype(given)
        assert batch['features'].dtype.isnative and batch['features'].shape == (
            3,
            4,
            4,
            3,
        )


def test_records_of_two_types_give_one(tmp_path):
    maps = [np.ones((2, 2, 3), np.float16), np.ones((2, 2, 3), np.float32)]
    save_records(tmp_path / 'train.array_record', maps)
    assert read(tmp_path, 2)[0]['features'].dtype == np.float32


@pytest.mark.parametrize('order', ['C', 'F'])
def test_plain_arrays_stay_on_disk(tmp_path, order):
    maps = np.asarray(grid(6, 3, 5, dtype=np.float16), order=order)
    path = tmp_path / 'train.npz'
    np.savez(path, names=np.array(['a']), features=maps, valid=np.ones((6, 3, 5), bool))
    file = feature_files.load(path)
    assert isinstance(file._maps, np.memmap) and file._maps.dtype == np.float16
    for row in range(6):
        np.testing.assert_array_equal(file.read(row), maps[row])
    assert not isinstance(file.read(0), np.memmap)
    np.savez_compressed(path, features=maps)
    assert not isinstance(feature_files.load(path)._maps, np.memmap)


def test_records_are_read_when_asked_for(tmp_path, monkeypatch):
    save_records(tmp_path / 'train.array_record', grid(4, 2, 2))
    source = read(tmp_path, 4)
    seen = []
    whole = feature_files.Records.read
    monkeypatch.setattr(
        feature_files.Records,
        'read',
        lambda self, row: seen.append(row) or whole(self, row),
    )
    assert source.extra(np.array([2, 1]))['features'].shape == (2, 2, 2, 3)
    assert seen == [2, 1]
    source.fields['features_valid'][0]
    assert seen == [2, 1]


def test_record_files_can_be_pickled(tmp_path):
    save_records(tmp_path / 'train.array_record', grid(4, 2, 2))
    source = read(tmp_path, 4)
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again[2]['features'], source[2]['features'])


# On the picture.


@pytest.mark.parametrize('shape', [(64, 48), (48, 64), (32, 64), (64, 64)])
def test_padded_features_lie_on_the_padded_picture(rng, shape):
    picture = rng.integers(0, 256, (*shape, 3), np.uint8)
    fitted, frame = resize.fit_image(picture, (64, 64), 'pad')
    got, valid = features.fit(pooled(picture, 8), side=8, resize='pad')
    inside = resize.pixels_valid(frame, (64, 64))[4::8, 4::8]
    np.testing.assert_array_equal(valid, inside)
    np.testing.assert_allclose(got[valid], pooled(fitted, 8)[valid], atol=1e-3)
    assert not got[~valid].any()


def test_half_a_cell_of_bar_is_half_a_cell(rng):
    """64 x 40 pixels in 64 x 64: bars of 12 pixels, one cell and a half."""
    y, x = np.mgrid[:40, :64].astype(np.uint8)
    picture = np.stack([3 * y, 3 * x, x + y], axis=-1)
    fitted, _ = resize.fit_image(picture, (64, 64), 'pad')
    got, valid = features.fit(pooled(picture, 8), side=8, resize='pad')
    want_rows = [False, True, True, True, True, True, True, False]
    np.testing.assert_array_equal(valid, np.repeat(np.array(want_rows)[:, None], 8, 1))
    np.testing.assert_allclose(got[2:6], pooled(fitted, 8)[2:6], atol=1e-3)
    np.testing.assert_array_equal(got[[1, 6]], pooled(picture, 8)[[0, 4]])  # Edges.


@pytest.mark.parametrize('how', features.HOW)
def test_smaller_maps_grow_onto_their_picture(how):
    """A ramp of positions keeps its places, apart from the outermost half cells."""
    y, x = np.mgrid[:8, :6].astype(np.float32)
    ramp = np.stack([x, y], axis=-1)
    got, valid = features.fit(ramp, side=16, resize=how)
    frame = resize.fit_frame((8, 6), (16, 16), how)
    np.testing.assert_array_equal(valid, resize.pixels_valid(frame, (16, 16)))
    there = np.stack(np.meshgrid(np.arange(16), np.arange(16)), axis=-1)
    want = resize.to_original(frame, there).clip(0, [5, 7])
    np.testing.assert_allclose(got[valid], want[valid], atol=1e-5)


def test_maps_of_other_shapes_share_the_largest_side(tmp_path):
    maps = [np.full(shape, i + 1, np.float16) for i, shape in
            enumerate([(4, 6, 2), (6, 4, 2), (2, 3, 2), (3, 3, 2)])]  # fmt: skip
    save_records(tmp_path / 'train.array_record', maps)
    stretched, padded = (read(tmp_path, 4, how) for how in features.HOW)
    batch = stretched.extra(np.arange(4))
    assert batch['features'].shape == (4, 6, 6, 2) and batch['features_valid'].all()
    for row in range(4):
        assert (batch['features'][row] == row + 1).all()
    batch = padded.extra(np.arange(4))
    flat = np.zeros((6, 6), bool)
    flat[1:5] = True
    wanted = [flat, flat.T, flat, np.ones((6, 6), bool)]
    np.testing.assert_array_equal(batch['features_valid'], wanted)
    for row in range(4):
        value = (row + 1) * batch['features_valid'][row][..., None] * np.ones(2)
        np.testing.assert_array_equal(batch['features'][row], value)


def test_cells_that_do_not_count_leave_no_trace(tmp_path):
    maps, valid = np.ones((2, 4, 4, 3), np.float32), np.ones((2, 4, 4), bool)
    maps[:, 0], valid[:, 0] = np.nan, False
    np.savez(tmp_path / 'train.npz', features=maps, valid=valid)
    row = read(tmp_path, 2)[0]
    np.testing.assert_array_equal(row['features_valid'], valid[0])
    np.testing.assert_array_equal(
        row['features'], np.where(valid[0], 1, 0)[..., None] * np.ones(3)
    )
    got, counts = features.fit(maps[0], valid[0], side=8, resize='stretch')
    assert not counts[:2].any() and counts[2:].all()
    np.testing.assert_allclose(got[2:], 1)
    assert not got[:2].any()


def test_a_folder_of_padded_pictures(tmp_path, rng):
    pictures, found = tmp_path / 'pictures', tmp_path / 'features'
    pictures.mkdir(), found.mkdir()
    shapes = {'a': (64, 48), 'b/c': (32, 64), 'd': (64, 64)}
    maps = []
    for name, shape in shapes.items():
        (pictures / name).parent.mkdir(exist_ok=True)
        picture = rng.integers(0, 256, (*shape, 3), np.uint8)
        Image.fromarray(picture).save(pictures / f'{name}.png')
        maps.append(pooled(picture, 8))
    np.savez(
        pictures / 'annotations.npz',
        files=[f'{n}.png' for n in shapes],
        split=['train'] * 3,
    )
    save_records(found / 'train.array_record', maps)
    section = {'source': 'folder', 'path': str(pictures), 'size': 64, 'resize': 'pad',
               'options': {}, 'features': str(found)}  # fmt: skip
    source = data.build(section, split='train')
    assert source.files == ('a.png', 'b/c.png', 'd.png') and source.class_names == ()
    feed = feeds.Feed(source, 8, eight_devices())
    batch = feeds.first_batch(feed, feeds.sequential(8))
    for row in range(8):
        inside = np.asarray(batch['features_valid'][row])
        np.testing.assert_array_equal(
            inside, np.asarray(batch['pixels_valid'][row])[4::8, 4::8]
        )
        image = np.asarray(batch['image'][row])
        got = np.asarray(batch['features'][row])
        np.testing.assert_allclose(got[inside], pooled(image, 8)[inside], atol=1e-3)


# On the devices.


@pytest.mark.parametrize('kept', ['npz', 'records'])
def test_drawn_pictures_get_features_on_eight_devices(tmp_path, kept):
    maps = grid(20, 4, 4, dtype=np.float16)
    if kept == 'npz':
        np.savez(tmp_path / 'train.npz', features=maps)
    else:
        save_records(tmp_path / 'train.array_record', maps)
    section = {'source': 'tetrominoes', 'size': 35, 'resize': 'stretch',
               'options': {'length': 20}, 'features': str(tmp_path)}  # fmt: skip
    source = data.build(section, split='train')
    assert isinstance(source.source, Generated)
    order = feeds.shuffled(20, 8, seed=1)
    alone = tetrominoes(split='train', length=20)
    plain = feeds.Feed(alone, 8, eight_devices()).stream(order, 0, 4)
    joined = feeds.Feed(source, 8, eight_devices()).stream(order, 0, 4)
    for want, batch in zip(plain, joined, strict=True):
        batch = dict(batch)
        got, valid = batch.pop('features'), batch.pop('features_valid')
        assert got.dtype == np.float16 and np.asarray(valid).all()
        assert got.addressable_shards[0].data.shape == (1, 4, 4, 3)
        np.testing.assert_array_equal(got, maps[np.asarray(batch['index'])])
        jax.tree.map(np.testing.assert_array_equal, batch, dict(want))


def test_found_points_and_features_are_joined_once(tmp_path):
    np.savez(tmp_path / 'train.npz', features=grid(8, 2, 2))
    drawn = tetrominoes(split='train', length=8)
    source = features.join(drawn, tmp_path, 'train', resize='stretch')
    points = detections.Detections(np.zeros((8, 3, 2), 'f4'), np.ones((8, 3), 'f4'))
    both = detections.join(source, points)
    assert both.source is drawn
    batch = feeds.first_batch(feeds.Feed(both, 8, eight_devices()), feeds.sequential(8))
    assert {'features', 'features_valid', 'detected', 'image'} <= set(batch)
    with pytest.raises(ValueError, match='already has'):
        features.join(both, tmp_path, 'train', resize='stretch')


def test_only_the_pictures_are_looked_at_for_points(tmp_path):
    save_records(
        tmp_path / 'train.array_record', [*grid(1, 2, 2), *grid(1, 2, 2) * np.nan]
    )
    source = read(tmp_path, 2)
    nothing = lambda images, valid: detections.Detections(
        np.zeros((len(images), 1, 2), 'f4'), np.zeros((len(images), 1), 'f4')
    )
    found = detections.detect(source, nothing, num=1, progress=False)
    assert found.xy.shape == (2, 1, 2)


# Rows by name.


class Named(Rows):
    """Whose row i is picture i of so many."""

    def __init__(self, *files):
        super().__init__(len(files))
        self.files = files


def test_files_say_whose_each_row_is(tmp_path):
    """In any order, with more pictures than are asked for, whatever the spelling."""
    maps = grid(4, 2, 2)
    files = ['b/\u0301.png', 'c.png', 'no/more.png', r'a\1.png']
    np.savez(tmp_path / 'train.npz', features=maps, files=files)
    source = Named('a/1.png', 'b/\u0301.png', 'c.png')
    for num, want in ((0, [3, 0, 1]), (2, [3, 0])):
        got = features.join(source, tmp_path, 'train', resize='stretch', num=num)
        assert len(got) == len(want)
        for row, there in enumerate(want):
            np.testing.assert_array_equal(got[row]['features'], maps[there])


@pytest.mark.parametrize(
    ('files', 'message'),
    [
        (['a', 'c', 'd'], "'files' lacks 1 of 2 pictures of the split: b"),
        (['a', 'b', 'a'], "'files' names a picture twice: a"),
        (['a', 'b'], r'files must be \[3\], one name a row of features, got \[2\]'),
    ],
)
def test_mistakes_in_files(tmp_path, files, message):
    np.savez(tmp_path / 'train.npz', features=grid(3, 2, 2), files=files)
    with pytest.raises(UserError, match=message):
        features.join(Named('a', 'b'), tmp_path, 'train', resize='stretch')


def test_rows_without_names_are_taken_in_order(tmp_path, caplog):
    maps = grid(2, 2, 2)
    np.savez(tmp_path / 'train.npz', features=maps, files=['a', 'b'])
    np.testing.assert_array_equal(read(tmp_path, 2)[1]['features'], maps[1])
    assert "'files' is not read" in caplog.text


# Thinned with the pictures.


@pytest.mark.parametrize('kept', ['npz', 'records'])
def test_features_are_thinned_with_their_pictures(tmp_path, kept):
    maps = grid(7, 2, 2)
    maps[1] = np.nan  # Left out, and so not looked at.
    if kept == 'npz':
        np.savez(tmp_path / 'train.npz', features=maps)
    else:
        save_records(tmp_path / 'train.array_record', maps)
    source = read(tmp_path, 7, num=3)
    assert len(source) == 3
    for number, row in enumerate([0, 2, 4]):
        np.testing.assert_array_equal(source[number]['features'], maps[row])
        assert source[number]['image'][0, 0, 0] == row


def test_drawn_rows_are_the_first(tmp_path):
    maps = grid(9, 2, 2)
    np.savez(tmp_path / 'train.npz', features=maps)
    np.savez(tmp_path / 'test.npz', features=maps)
    section = {'source': 'tetrominoes', 'size': 35, 'resize': 'stretch', 'rows': 4,
               'options': {'length': 9}, 'features': str(tmp_path)}  # fmt: skip
    source = data.build(section, split='train')
    assert isinstance(source.source, Generated) and len(source) == 4
    np.testing.assert_array_equal(source.extra(np.arange(4))['features'], maps[:4])
    assert len(data.build(section, split='test')) == 9


# Mistakes.


def wrong(folder, match, n=2, **options):
    with pytest.raises(UserError, match=match) as error:
        read(folder, n, **options)
    assert '\n' not in str(error.value)


def test_no_file_of_the_split(tmp_path):
    wrong(tmp_path / 'none', 'no such folder; give --config.data.features=FOLDER')
    wrong(tmp_path, r'no train.npz or train.array_record; there are: no files')
    np.savez(tmp_path / 'test.npz', features=grid(2, 2, 2))
    wrong(tmp_path, r'no train.npz .*; there are: test.npz')
    wrong(tmp_path / 'test.npz', 'no such folder')
    np.savez(tmp_path / 'train.npz', features=grid(2, 2, 2))
    save_records(tmp_path / 'train.array_record', grid(2, 2, 2))
    wrong(tmp_path, 'both train.array_record and train.npz; keep one')


def test_cropped_pictures(tmp_path):
    wrong(tmp_path, "data.resize must be 'stretch' or 'pad', got 'crop'", resize='crop')


@pytest.mark.parametrize(
    'arrays, match',
    [
        ({'maps': grid(2, 2, 2)}, "no array 'features', there are: maps"),
        ({}, "no array 'features', there are: none"),
        ({'features': grid(2, 2, 2)[0]}, r'must have shape \[N, h, w, D\], got \[2, 2, 3\]'),
        ({'features': grid(2, 2, 2)[:, :0]}, r'must have shape .*, got \[2, 0, 2, 3\]'),
        ({'features': grid(3, 2, 2)}, 'of 3 pictures, but the train split has 2'),
        ({'features': np.ones((2, 2, 2, 3), int)}, 'must be float16, .* got int64'),
        ({'features': grid(2, 2, 2), 'valid': np.ones((2, 2, 3), bool)},
         r'valid must be bool \[2, 2, 2\] .*, got bool \[2, 2, 3\]'),
        ({'features': grid(2, 2, 2), 'valid': np.ones((2, 2, 2))}, 'got float64'),
        ({'features': np.array([[[[None]]]] * 2)}, 'must be float16, .* got object'),
        ({'features': grid(2, 2, 2), 'valid': np.array([None])}, 'Object arrays cannot'),
        ({'features': np.stack([np.ones((2, 2, 3)), np.full((2, 2, 3), 1e300)])},
         'picture 1 has values that are not finite'),
        ({'features': np.full((2, 2, 2, 3), np.nan, np.float16)}, 'picture 0 .*not finite'),
    ],
)  # fmt: skip
def test_wrong_arrays(tmp_path, arrays, match):
    np.savez(tmp_path / 'train.npz', **arrays)
    wrong(tmp_path, match)


@pytest.mark.parametrize('name', ['train.npz', 'train.array_record'])
def test_damaged_files(tmp_path, name):
    path = tmp_path / name
    kind = 'not an .npz file' if name.endswith('npz') else 'not an array_record file'
    for content in (b'', b'hello' * 100, b'PK\x03\x04'):
        path.write_bytes(content)
        wrong(tmp_path, kind)
    if name.endswith('npz'):
        np.savez(path, features=grid(2, 2, 2))
    else:
        save_records(path, grid(2, 2, 2))
    path.write_bytes(path.read_bytes()[:-40])
    wrong(tmp_path, kind)


def test_an_array_that_lies_about_its_length(tmp_path):
    file = io.BytesIO()
    np.save(file, grid(2, 2, 2))
    with zipfile.ZipFile(tmp_path / 'train.npz', 'w') as archive:
        lie = file.getvalue().replace(b'(2, 2, 2, 3)', b'(2, 2, 2, 9)')
        archive.writestr('features.npy', lie)
    wrong(tmp_path, 'not an .npz file of plain arrays .*bytes, wanted')


@pytest.mark.parametrize(
    'records, match',
    [
        ([], 'there is no record in it'),
        ([b'junk', *grid(1, 2, 2)], 'record 0 is not what numpy.save writes'),
        ([*grid(1, 2, 2), b'junk'], 'record 1 is not what numpy.save writes'),
        ([*grid(1, 2, 2), b''], 'record 1 is not what numpy.save writes'),
        ([*grid(1, 2, 2), grid(2, 2, 2)], r'record 1 must have shape \[h, w, D\]'),
        ([*grid(1, 2, 2), np.ones((2, 2, 3), int)], 'record 1 must be float16'),
        (
            [*grid(1, 2, 2), *grid(1, 2, 2, 5)],
            'picture 1 has 5 values a cell, picture 0 3',
        ),
        ([*grid(3, 2, 2)], 'of 3 pictures, but the train split has 2'),
    ],
)
def test_wrong_records(tmp_path, records, match):
    save_records(tmp_path / 'train.array_record', records)
    wrong(tmp_path, match)


def test_pickles_are_not_read(tmp_path):
    file = io.BytesIO()
    np.save(file, np.array([[[None]]]), allow_pickle=True)
    save_records(tmp_path / 'train.array_record', [file.getvalue()] * 2)
    wrong(tmp_path, 'record 0 must be float16, .* got object')


def test_broken_values_of_records_are_told_when_read(tmp_path):
    file = io.BytesIO()
    np.save(file, grid(1, 2, 2)[0])
    short = file.getvalue()[:-5]
    save_records(tmp_path / 'train.array_record', [*grid(1, 2, 2) * np.inf, short])
    source = read(tmp_path, 2)
    with pytest.raises(UserError, match='picture 0 has values that are not finite'):
        source[0]
    with pytest.raises(UserError, match='record 1 is not what numpy.save writes'):
        source[1]
    feed = feeds.Feed(source, 8, eight_devices())
    with pytest.raises(UserError, match='picture 0|record 1'):
        feeds.first_batch(feed, feeds.sequential(8))


@pytest.mark.parametrize('other', ['npz', 'records'])
def test_splits_of_two_networks(tmp_path, other):
    np.savez(tmp_path / 'train.npz', features=grid(2, 2, 2))
    np.savez(tmp_path / 'notes.npz', anything=1)  # None of a split.
    if other == 'npz':
        np.savez(tmp_path / 'test.npz', features=grid(4, 2, 2, 7))
    else:
        save_records(tmp_path / 'test.array_record', grid(4, 2, 2, 7))
    wrong(tmp_path, r'has 3 values a cell, test\.\w+ 7: extract all splits with one')


def test_pictures_and_features_of_other_number(tmp_path):
    Image.new('RGB', (8, 8)).save(tmp_path / 'a.png')
    np.savez(tmp_path / 'train.npz', features=grid(3, 2, 2))
    with pytest.raises(UserError, match='of 3 pictures, but the train split has 1'):
        features.join(Folder(tmp_path, size=8), tmp_path, 'train', resize='pad')

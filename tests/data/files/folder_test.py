import logging
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from kpdiscovery.data import resize
from kpdiscovery.data.annotations import npz, splits
from kpdiscovery.data.files import folder
from kpdiscovery.data.files.folder import Folder
from kpdiscovery.types import Source, UserError

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (6, 4, 3)).astype(np.uint8)
UNDO = {  # Orientation -> how a camera would have stored an upright picture.
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def save(root, name, color=(9, 8, 7), size=(5, 4)):
    """A plain picture under `root`; returns its path."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', size, color).save(path)
    return path


def spoil(root):
    """Four files that are pictures by name only."""
    whole = root / 'whole.jpg'
    Image.fromarray(np.kron(PICTURE, np.ones((40, 40, 1), np.uint8))).save(whole)
    data = whole.read_bytes()
    whole.unlink()
    (root / 'b_cut.jpg').write_bytes(data[: len(data) // 2])
    (root / 'c_empty.png').write_bytes(b'')
    (root / 'd_text.jpg').write_text('not a picture\n' * 9)
    png = save(root, 'e_cut.png', size=(50, 50)).read_bytes()
    (root / 'e_cut.png').write_bytes(png[: len(png) // 2])


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('suffix', ['png', 'webp', 'jpg'])
def test_every_exif_orientation_comes_out_upright(tmp_path, orientation, suffix):
    upright = Image.fromarray(np.kron(PICTURE, np.ones((16, 16, 1), np.uint8)))
    stored = upright.transpose(UNDO[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {'lossless': True} if suffix == 'webp' else {}
    if suffix == 'jpg':
        options = {'quality': 100, 'subsampling': 0}
    stored.save(tmp_path / f'a.{suffix}', exif=exif, **options)
    got = np.asarray(folder.read_image(tmp_path / f'a.{suffix}')).astype(int)
    limit = 4 if suffix == 'jpg' else 0
    np.testing.assert_allclose(got, np.asarray(upright).astype(int), atol=limit)
    row = Folder(tmp_path, size=(96, 64))[0]
    np.testing.assert_array_equal(row['frame'][4:], [64, 96])


def modes():
    grey, rgb = Image.fromarray(PICTURE[..., 0]), Image.fromarray(PICTURE)
    half = np.zeros((6, 4), np.uint8)
    half[:3] = 255
    alpha = Image.fromarray(half)
    white = np.where(half[..., None] == 255, PICTURE, 255)
    grey3, white_grey = np.repeat(PICTURE[..., :1], 3, -1), white[..., :1].repeat(3, -1)
    palette = rgb.quantize(20)
    table = np.asarray(palette.convert('RGB'))
    index = np.asarray(palette)
    deep = Image.fromarray(PICTURE[..., 0].astype(np.uint16) * 257)
    black = np.where(PICTURE[..., :1] > 127, 255, 0).repeat(3, -1)
    yield 'L', grey, {}, grey3
    yield 'LA', Image.merge('LA', (grey, alpha)), {}, white_grey
    yield 'RGB', rgb, {}, PICTURE
    yield 'RGBA', Image.merge('RGBA', (*rgb.split(), alpha)), {}, white
    yield 'P', palette, {}, table
    see_through = bytes([0, *[255] * 19])
    hole = np.where(index[..., None] == 0, 255, table)
    yield 'P with bytes', palette, {'transparency': see_through}, hole
    yield 'P with index', palette, {'transparency': 0}, hole
    level = int(PICTURE[0, 0, 0])
    yield (
        'L with key',
        grey,
        {'transparency': level},
        np.where(grey3 == level, 255, grey3),
    )
    yield '16 bit', deep, {}, grey3
    yield '1 bit', grey.point(lambda v: 255 * (v > 127), '1'), {}, black


@pytest.mark.parametrize('case', list(modes()), ids=lambda case: case[0])
def test_every_mode_becomes_rgb(tmp_path, case):
    _, image, options, want = case
    image.save(tmp_path / 'a.png', **options)
    np.testing.assert_array_equal(folder.read_image(tmp_path / 'a.png'), want)
    np.testing.assert_array_equal(Folder(tmp_path, size=(6, 4))[0]['image'], want)


def test_cmyk_animated_and_misnamed_pictures_are_read(tmp_path):
    Image.new('CMYK', (8, 8), (0, 255, 255, 0)).save(tmp_path / 'a.jpg', quality=95)
    frames = [Image.new('RGB', (8, 8), c) for c in ('blue', 'green')]
    frames[0].save(tmp_path / 'b.webp', save_all=True, append_images=frames[1:])
    Image.new('RGB', (8, 8), 'lime').save(tmp_path / 'c.jpg', format='PNG')
    frames[0].save(tmp_path / 'd.jpg', 'MPO', save_all=True, append_images=frames[1:])
    rows = [row['image'][4, 4].astype(int) for row in Folder(tmp_path, size=8)]
    want = [[255, 0, 0], [0, 0, 255], [0, 255, 0], [0, 0, 255]]
    np.testing.assert_allclose(rows, want, atol=12)


def test_names_are_sorted_nested_unicode_and_never_hidden(tmp_path):
    names = ['b/Z.JPeG', 'a.PNG', 'b/c/ünï 名前.webp', 'b/10.jpg', 'A.jpg']
    for name in [*names, '.hidden.png', '.git/x.png', 'b/._10.jpg', '__MACOSX/a.jpg']:
        save(tmp_path, name)
    (tmp_path / 'notes.txt').write_text('hello')
    source = Folder(tmp_path, size=8)
    assert source.files == tuple(sorted(names))
    assert [p.is_file() for p in source.paths] == [True] * 5
    assert source.truth == ()
    assert isinstance(source, Source)
    assert len(list(source)) == 5


def test_spoilt_pictures_are_named_and_skipped(tmp_path, caplog):
    save(tmp_path, 'a.png', (255, 0, 0))
    spoil(tmp_path)
    save(tmp_path, 'f.png', (0, 255, 0))
    source = Folder(tmp_path, size=8)
    assert source.files == ('a.png', 'f.png')
    assert [tuple(row['image'][0, 0]) for row in source] == [(255, 0, 0), (0, 255, 0)]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert 'skipped 4 of 6' in record.message
    assert all(f in record.message for f in ('b_cut.jpg', 'c_empty.png', 'd_text.jpg'))
    assert 'e_cut' not in record.message


def test_nothing_to_read_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match='no pictures in it'):
        Folder(tmp_path, size=8)
    with pytest.raises(UserError, match='nowhere: no such file'):
        Folder(tmp_path / 'nowhere', size=8)
    with pytest.raises(UserError, match=r'no such picture: .*gone.png'):
        Folder([tmp_path / 'gone.png'], size=8)
    spoil(tmp_path)
    with pytest.raises(UserError, match=r'none of 4 pictures can be read.*b_cut.jpg'):
        Folder(tmp_path, size=8)
    with pytest.raises(ValueError, match="got 'squash'"):
        Folder(tmp_path, size=8, resize='squash')


def test_huge_pictures_are_read_without_a_warning(tmp_path, monkeypatch, caplog):
    save(tmp_path, 'a.png', size=(50, 40))
    save(tmp_path, 'b.png', size=(30, 30))
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 15)
    assert Folder(tmp_path, size=8, megapixels=0.002).files == ('a.png', 'b.png')
    assert not caplog.records
    assert Folder(tmp_path, size=8, megapixels=0.001).files == ('b.png',)
    assert 'a.png: cannot be read as a picture (it has 0.002 megapixels' in caplog.text
    assert '--config.data.options.megapixels=1 allows it' in caplog.text
    assert Image.MAX_IMAGE_PIXELS == 15


def test_huge_jpegs_are_decoded_at_a_fraction_of_their_size(tmp_path, monkeypatch):
    """Annotations and the way back stay in pixels of the file, upright."""
    points = np.array([[[333, 41]], [[333, 41]]], np.float32)
    image = Image.new('L', (401, 203))
    image.paste(255, (327, 35, 340, 48))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / 'a.jpg', quality=95)
    image.transpose(UNDO[6]).save(tmp_path / 'b.jpg', quality=95, exif=exif)
    files = ['a.jpg', 'b.jpg']
    np.savez(tmp_path / 'annotations.npz', files=files, keypoints=points)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 15)
    source = Folder(tmp_path, size=(50, 100), megapixels=0.03)  # A half of 0.08.
    assert source.files == ('a.jpg', 'b.jpg')
    y, x = np.mgrid[:50, :100]
    for row in source:
        np.testing.assert_array_equal(row['frame'][4:], [401, 203])
        mass = row['image'][..., 0].astype(float)
        mass[mass < 30] = 0
        centroid = np.array([(mass * x).sum(), (mass * y).sum()]) / mass.sum()
        np.testing.assert_allclose(row['keypoints'][0], centroid, atol=0.3)


@pytest.mark.parametrize('kind', ['grey', 'RGB', 'float'])
def test_contrast_of_few_bits_in_deep_files(tmp_path, caplog, kind):
    values = np.linspace(100, 4095, 64).reshape(8, 8)
    if kind == 'float':
        Image.fromarray((values / 1e6).astype(np.float32)).save(tmp_path / 'a.tif')
        assert Folder(tmp_path, size=8)[0]['image'].max() == 255  # No full scale.
        return
    if kind == 'RGB':
        cv2 = pytest.importorskip('cv2', reason='OpenCV is not installed')
        deep = np.repeat(values[..., None], 3, -1).astype(np.uint16)
        cv2.imwrite(str(tmp_path / 'a.png'), deep)
    else:
        Image.fromarray(values.astype(np.uint16)).save(tmp_path / 'a.png')
    dark = Folder(tmp_path, size=8)
    assert dark[0]['image'].max() <= 16
    assert any('contrast=range' in line for line in dark.doubts) and caplog.records
    light = Folder(tmp_path, size=8, contrast='range')
    image = light[0]['image']
    assert (image.min(), image.max()) == (0, 255) and not light.doubts
    assert 100 < image.mean() < 155


def test_contrast_of_pictures_with_transparency_and_colours(tmp_path):
    rgb = np.array([[[10, 10, 10, 255], [60, 35, 10, 255]]], np.uint8)
    Image.fromarray(rgb[..., :3]).save(tmp_path / 'a.png')
    got = np.asarray(folder.read_image(tmp_path / 'a.png', contrast='range'))
    assert got.tolist() == [[[0, 0, 0], [255, 128, 0]]]
    rgb[0, 0, 3] = 0  # White, as on a page.
    Image.fromarray(rgb).save(tmp_path / 'b.png')
    got = np.asarray(folder.read_image(tmp_path / 'b.png', contrast='range'))
    assert got[0, 0].tolist() == [255, 255, 255] and got[0, 1, 2] == 0


def test_a_broken_link_is_skipped_in_folders_and_lists(tmp_path, caplog):
    save(tmp_path, 'a.png')
    (tmp_path / 'b.png').symlink_to(tmp_path / 'not' / 'here.png')
    for path in (tmp_path, [tmp_path / 'a.png', tmp_path / 'b.png']):
        caplog.clear()
        assert Folder(path, size=8).files == ('a.png',)
        assert 'skipped 1 of 2 pictures' in caplog.text and 'b.png' in caplog.text
    with pytest.raises(UserError, match='none of 1 pictures can be read'):
        Folder([tmp_path / 'b.png'], size=8)


def test_broken_exif_does_not_cost_the_picture(tmp_path):
    exif = b'Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01'
    Image.new('RGB', (8, 8), 'lime').save(tmp_path / 'a.jpg', exif=exif)
    assert len(Folder(tmp_path, size=8)) == 1


def test_one_pixel_and_long_pictures_fit(tmp_path):
    save(tmp_path, 'a.png', (200, 100, 50), size=(1, 1))
    save(tmp_path, 'b.png', (200, 100, 50), size=(300, 1))
    for how in resize.HOW:
        one, long = Folder(tmp_path, size=(16, 24), resize=how)
        valid = [
            row.get('pixels_valid', np.ones((16, 24), bool)) for row in (one, long)
        ]
        assert (one['image'][valid[0]] == (200, 100, 50)).all()
        assert (long['image'][valid[1]] == (200, 100, 50)).all()
        assert ('pixels_valid' in one) == (how == 'pad')
        assert one['frame'].dtype == np.float32 and one['frame'].shape == (6,)


def test_rows_come_from_memory_up_to_a_limit(tmp_path):
    for name in 'abc':
        save(tmp_path, f'{name}.png')
    source = Folder(tmp_path, size=8, cache_bytes=2 * 8 * 8 * 3)
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy[1]['image'], source[1]['image'])
    for path in source.paths:
        path.unlink()
    assert source[0]['image'].shape == source[1]['image'].shape == (8, 8, 3)
    with pytest.raises(UserError, match=r'c.png: cannot be read'):
        source[2]
    with pytest.raises(UserError, match=r'a.png: cannot be read'):
        copy[0]
    with pytest.raises(ValueError, match='read-only'):
        source[0]['image'][:] = 0
    with pytest.raises(IndexError):
        source[3]


def test_threads_read_what_one_reads(tmp_path):
    for i in range(12):
        save(tmp_path, f'{i:02}.png', (20 * i, i, 0), size=(9, 5 + i))
    source = Folder(tmp_path, size=16, resize='pad', cache_bytes=0)
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(source.__getitem__, list(range(12)) * 3))
    for i, row in enumerate(rows):
        for name, value in source[i % 12].items():
            np.testing.assert_array_equal(row[name], value)


def test_a_list_of_pictures_keeps_its_order(tmp_path):
    paths = [save(tmp_path, name) for name in ('b/2.png', 'a/1.png', 'c.PNG')]
    assert Folder(paths, size=8).files == ('b/2.png', 'a/1.png', 'c.PNG')
    assert Folder(str(paths[0]), size=8).files == ('2.png',)


def test_splits_without_an_annotation_file(tmp_path, caplog):
    for i in range(25):
        save(tmp_path, f'{i:02}.png')

    def get(split, **options):
        return Folder(tmp_path, size=4, split=split, **options).files

    assert get('all') == tuple(f'{i:02}.png' for i in range(25))
    assert get('test') == ('09.png', '19.png')
    assert set(get('train')) == set(get('all')) - set(get('test'))
    assert get('validation') == ('10.png', '21.png')
    held = get('train', holdout_validation=True)
    assert set(held) == set(get('train')) - set(get('validation'))
    with pytest.raises(UserError, match=r"split 'tets'.*splits: test, train"):
        get('tets')
    assert not caplog.records
    few = tmp_path / 'few'
    for i in range(9):
        save(few, f'{i}.png')
    assert Folder(few, size=4, split='test').files == Folder(few, size=4).files
    assert 'fewer than ten pictures (9)' in caplog.text
    assert len(Folder(few, size=4, split='train', holdout_validation=True)) == 8


def test_directories_can_be_classes(tmp_path):
    for name in ('cat/1.png', 'dog/a/1.png', 'cat/2.png'):
        save(tmp_path, name)
    source = Folder(tmp_path, size=4, folder_labels=True)
    assert source.class_names == ('cat', 'dog')
    assert [int(row['label']) for row in source] == [0, 0, 1]
    assert source.truth == ('label',)
    save(tmp_path, 'stray.png')
    with pytest.raises(UserError, match=r'stray.png is in no directory'):
        Folder(tmp_path, size=4, folder_labels=True)


@pytest.mark.parametrize('how', resize.HOW)
def test_annotated_points_land_on_their_pixels(tmp_path, how):
    points = np.array([[[40, 30]], [[70, 50]]], np.float32)
    for i, (x, y) in enumerate(points[:, 0].astype(int)):
        image = np.zeros((100, 120, 3), np.uint8)
        image[y - 2 : y + 3, x - 2 : x + 3] = 255
        Image.fromarray(image).save(tmp_path / f'{i}.png')
    boxes = np.array([[38, 28, 43, 33], [68, 48, 73, 53]], np.float32)
    notes = {
        'files': ['1.png', '0.png'],
        'keypoints': points[::-1],
        'boxes': boxes[::-1],
    }
    np.savez(tmp_path / 'annotations.npz', **notes)
    source = Folder(tmp_path, size=(64, 64), resize=how)
    assert source.truth == ('boxes', 'boxes_valid', 'keypoints', 'visible')
    for row in source:
        mass = row['image'][..., 0].astype(float)
        y, x = np.mgrid[:64, :64]
        centroid = np.array([(mass * x).sum(), (mass * y).sum()]) / mass.sum()
        np.testing.assert_allclose(row['keypoints'][0], centroid, atol=0.1)
        middle = row['boxes'][0].reshape(2, 2).mean(0)
        np.testing.assert_allclose(middle, row['keypoints'][0], atol=1e-4)
        assert row['visible'].all() and row['boxes_valid'].all()


def test_pictures_the_file_leaves_out_are_left_out(tmp_path, caplog):
    for name in 'abc':
        save(tmp_path, f'{name}.png')
    (tmp_path / 'b.png').write_bytes(b'')
    np.savez(tmp_path / 'notes.npz', files=['c.png', 'b.png'], label=[2, 1])
    source = Folder(tmp_path, size=4, annotations=tmp_path / 'notes.npz')
    assert source.files == ('c.png',)
    assert [int(row['label']) for row in source] == [2]
    assert 'leaves out 1 pictures' in caplog.text


@pytest.mark.parametrize(
    ('name', 'train', 'test', 'truth'),
    [
        ('mouse', 82, 17, ('keypoints', 'visible')),
        ('animals', 358, 110, ('boxes', 'boxes_valid', 'label')),
    ],
)
def test_the_shared_sets_load(shared_data, name, train, test, truth):
    options = {'size': 64, 'resize': 'pad'}
    source = Folder(shared_data / name, split='test', **options)
    assert len(source) == test
    assert source.truth == truth
    _, found = folder.list_images(shared_data / name)
    notes = npz.read_annotations(shared_data / name / 'annotations.npz', found)
    rows = splits.choose_rows('train', len(found), texts=notes.split)
    assert len(rows) == train  # Counted, not decoded.
    row = source[0]
    visible = row['visible'] if 'visible' in truth else row['boxes_valid']
    assert visible.any()


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (
            {'contrast': 'auto'},
            r"contrast must be one of \('full', 'range'\), got 'auto'",
        ),
        ({'megapixels': 0}, 'megapixels must be a number above 0, got 0'),
        ({'megapixels': 'all'}, "above 0, got 'all'"),
    ],
)
def test_wrong_options_are_told_once(tmp_path, options, said):
    save(tmp_path, 'a.png')
    with pytest.raises(UserError, match=f'^data.options.*{said}'):
        Folder(tmp_path, size=8, **options)

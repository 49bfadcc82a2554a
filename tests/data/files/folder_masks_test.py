import pickle

import numpy as np
import pytest
from PIL import Image

from kpdiscovery.data import resize
from kpdiscovery.data.files.folder import Folder
from kpdiscovery.types import UserError

BOX = (30, 10, 70, 40)  # (x0, y0, x1, y1), the last exclusive, of 100 x 60 pixels.


def white_box(size=(100, 60)):
    image = Image.new('RGB', size, 'black')
    image.paste((255, 255, 255), BOX)
    return image


def save(root, name, image):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


@pytest.fixture
def folder(tmp_path):
    """Three pictures of a white box; the first two with their masks."""
    for name in ('bird/1.png', 'bird/2.png', 'fish/1.png'):
        save(tmp_path, name, white_box())
    for name in ('masks/bird/1.png', 'masks/bird/2.png'):
        save(tmp_path, name, white_box().convert('1'))
    return tmp_path


@pytest.mark.parametrize('how', resize.HOW)
@pytest.mark.parametrize('size', [(60, 100), (32, 48), (97, 61)])
def test_a_mask_follows_its_picture(folder, how, size):
    for row in list(Folder(folder, size=size, resize=how, method='nearest'))[:2]:
        light = row['image'][..., 0] > 127
        assert row['mask'].dtype == bool and row['mask'].shape == size
        assert light.any()
        edge = np.abs(np.diff(light.astype(int), axis=1)).sum()
        edge += np.abs(np.diff(light.astype(int), axis=0)).sum()
        assert (row['mask'] != light).sum() <= edge / 2  # Ties of the nearest pixel.
        assert not row['mask_ignored'].any()


def test_pictures_without_a_mask_are_ignored_as_a_whole(folder):
    source = Folder(folder, size=16)
    assert source.truth == ('mask', 'mask_ignored')
    assert source.files == ('bird/1.png', 'bird/2.png', 'fish/1.png')
    assert [row['mask'].any() for row in source] == [True, True, False]
    assert [row['mask_ignored'].all() for row in source] == [False, False, True]
    assert len({tuple(row) for row in source}) == 1  # They stack.
    save(folder, 'masks/fish/1.png', white_box())
    source = Folder(folder, size=16)
    assert source.truth == ('mask',)
    assert all('mask_ignored' not in row for row in source)


def test_masks_go_with_classes_by_directory(folder):
    source = Folder(folder, size=16, folder_labels=True)
    assert source.class_names == ('bird', 'fish')
    assert source.labels.tolist() == [0, 0, 1]


def test_the_annotation_file_names_masks(folder, caplog):
    save(folder, 'outlines/first.png', Image.new('L', (100, 60), 255))
    notes = {
        'files': ['fish/1.png', 'bird/1.png', 'bird/2.png'],
        'masks': ['', r'.\outlines\first.png', 'masks/bird/2.png'],
    }
    np.savez(folder / 'annotations.npz', **notes)
    source = Folder(folder, size=16)
    assert source.files == ('bird/1.png', 'bird/2.png', 'fish/1.png')
    assert [row['mask'].all() for row in source] == [True, False, False]
    assert [row['mask'].any() for row in source] == [True, True, False]
    assert not caplog.records  # The outline is no picture that was left out.


def test_rows_from_memory_and_from_files_are_the_same(folder):
    kept = Folder(folder, size=16)
    read = pickle.loads(pickle.dumps(kept))
    for one, other in zip(kept, read, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    with pytest.raises(ValueError, match='read-only'):
        kept[0]['mask'][:] = True


def test_a_mask_of_another_size_is_told_with_both_sizes(folder):
    save(folder, 'masks/bird/2.png', white_box((60, 100)))
    want = r'masks/bird/2.png: .*60 x 100 pixels, its picture bird/2.png 100 x 60'
    with pytest.raises(UserError, match=want):
        Folder(folder, size=16)


def test_a_mask_that_cannot_be_read_is_not_skipped(folder):
    (folder / 'masks/bird/1.png').write_bytes(b'')
    with pytest.raises(UserError, match=r'masks/bird/1\.png: cannot be read as a mask'):
        Folder(folder, size=16, cache_bytes=0)


@pytest.mark.parametrize(
    ('masks', 'message'),
    [
        (['', 'masks/no.png', 'x.png'], '2 of 3 masks are not.*masks/no.png, x.png'),
        (['', 'x' * 5000, '\0x'], '2 of 3 masks are not in the folder'),
        (['masks/bird/1.png'], r"'masks' must be \[3\], got \[1\]"),
        (np.zeros((3, 60, 100)), r"'masks' must be \[3\], got \[3, 60, 100\]"),
    ],
)
def test_wrong_names_of_masks(folder, masks, message):
    files = ['bird/1.png', 'bird/2.png', 'fish/1.png']
    np.savez(folder / 'annotations.npz', files=files, masks=masks)
    with pytest.raises(UserError, match=message):
        Folder(folder, size=16)


def test_every_class_is_in_every_split(tmp_path):
    for kind in ('cat', 'dog', 'owl'):
        for i in range(20):
            save(tmp_path, f'{kind}/{i:02}.png', Image.new('RGB', (5, 4)))
    get = lambda split, **options: Folder(
        tmp_path, size=4, split=split, folder_labels=True, **options
    )
    counts = {s: np.bincount(get(s).labels).tolist() for s in ('train', 'test')}
    assert counts == {'train': [18] * 3, 'test': [2] * 3}
    held = get('train', holdout_validation=True)
    validation = get('validation')
    assert validation.class_names == held.class_names == ('cat', 'dog', 'owl')
    assert set(validation.labels.tolist()) == {0, 1, 2}
    assert not set(held.files) & set(validation.files)
    assert len(held) + len(validation) == 54


@pytest.mark.parametrize('cached', [True, False])
def test_pixels_of_class_255_are_ignored(folder, caplog, cached):
    numbers = np.zeros((60, 100), np.uint8)
    numbers[:30], numbers[28:32] = 12, 255
    save(folder, 'masks/bird/2.png', Image.fromarray(numbers))
    source = Folder(folder, size=(60, 100), cache_bytes=2**30 if cached else 0)
    assert source.truth == ('mask', 'mask_ignored')
    one, two, three = source
    assert one['mask'].any() and not one['mask_ignored'].any()
    np.testing.assert_array_equal(two['mask'], numbers == 12)
    np.testing.assert_array_equal(two['mask_ignored'], numbers == 255)
    assert three['mask_ignored'].all()
    assert '1 masks hold class numbers' in caplog.text


def test_a_mask_without_anything_light_is_told(folder, caplog):
    save(folder, 'masks/bird/2.png', Image.new('L', (100, 60), 90))
    assert not Folder(folder, size=16)[1]['mask'].any()
    assert '1 masks are neither black nor have anything light' in caplog.text


def test_mirrored_rows_mirror_pictures_and_masks(tmp_path):
    half = np.zeros((4, 6), np.uint8)
    half[:, :2] = 255
    (tmp_path / 'masks').mkdir()
    for name in ('a', 'b'):
        Image.fromarray(half).save(tmp_path / f'{name}.png')
        Image.fromarray(half).save(tmp_path / f'masks/{name}.png')
    table = {'files': np.array(['a.png', 'b.png']), 'mirrored': np.array([False, True])}
    plain, turned = Folder(tmp_path, size=(4, 6), annotations=table)
    np.testing.assert_array_equal(turned['image'], plain['image'][:, ::-1])
    np.testing.assert_array_equal(turned['mask'], plain['mask'][:, ::-1])
    np.testing.assert_array_equal(plain['mask'], half > 0)


def test_a_picture_may_be_in_a_row_an_object(tmp_path):
    Image.new('RGB', (9, 8)).save(tmp_path / 'a.png')
    boxes = np.array([[0, 0, 4, 4], [4, 4, 8, 8]])
    table = {
        'files': np.array(['a.png'] * 2),
        'object': np.array([1, 2]),
        'boxes': boxes,
    }
    rows = Folder(tmp_path, size=(8, 9), annotations=table)
    assert [row['boxes'][0].tolist() for row in rows] == [
        [-0.5, -0.5, 3.5, 3.5], [3.5, 3.5, 7.5, 7.5],
    ]  # fmt: skip
    with pytest.raises(UserError, match='each picture once'):
        Folder(tmp_path, size=8, annotations={'files': table['files']})

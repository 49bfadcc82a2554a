"""Data as other tools leave it: COCO, DeepLabCut, SLEAP, videos, patterns."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from kpdiscovery import data
from kpdiscovery.data import formats
from kpdiscovery.data.formats import deeplabcut
from kpdiscovery.types import UserError


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


def save(path, size=(20, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', size, (80, 90, 60)).save(path)


def source(path, split='all', **options):
    section = {'source': 'folder', 'path': str(path), 'size': 16, 'resize': 'stretch',
               'options': options}  # fmt: skip
    return data.build(section, split='train' if split == 'all' else split)


def coco(root, notes, count=3, categories=None):
    names = [f'{i}.jpg' for i in range(count)]
    for name in names:
        save(root / 'val2017' / name)
    given = {
        'images': [{'id': 10 + i, 'file_name': n, 'width': 20, 'height': 16}
                   for i, n in enumerate(names)],
        'annotations': notes,
        'categories': categories or [{'id': 1, 'name': 'mouse', 'keypoints': ['a', 'b']}],
    }  # fmt: skip
    path = root / 'annotations/person.json'
    path.parent.mkdir()
    path.write_text(json.dumps(given))
    return path


def test_coco_keypoints_boxes_and_what_is_hidden(tmp_path):
    note = {'image_id': 11, 'category_id': 1, 'keypoints': [3, 4, 2, 5, 6, 1],
            'bbox': [2, 3, 10, 8]}  # fmt: skip
    path = coco(tmp_path, [note, {**note, 'iscrowd': 1}])
    root, table = formats.look(path)
    assert root == tmp_path / 'val2017'
    assert table['keypoints'].shape == (3, 2, 2) and table['keypoint_names'][0] == 'a'
    assert table['keypoints'][1].tolist() == [[3, 4], [5, 6]]
    assert table['visible'][1].tolist() == [True, False]
    assert np.isnan(table['keypoints'][0]).all()
    rows = source(path)
    assert rows[1]['boxes'][0].tolist() == pytest.approx([1.1, 2.5, 9.1, 10.5])


def test_coco_of_tools_that_know_no_visible_points(tmp_path):
    """v is 1 of all that is labelled; a box without points makes no second animal."""
    note = {'image_id': 10, 'category_id': 1, 'keypoints': [3, 4, 1, 0, 0, 0]}
    box = {'image_id': 10, 'category_id': 1, 'bbox': [0, 0, 5, 5]}
    _, table = formats.look(coco(tmp_path, [note, box]))
    assert table['keypoints'].shape[1:] == (2, 2)
    np.testing.assert_array_equal(table['visible'][0], [True, False])


def test_coco_of_several_animals_and_classes(tmp_path):
    categories = [
        {'id': 4, 'name': 'rat', 'keypoints': ['a']},
        {'id': 7, 'name': 'cat'},
    ]
    one = {'category_id': 4, 'keypoints': [3, 4, 2]}
    notes = [{**one, 'image_id': 10}, {**one, 'image_id': 10},
             {'image_id': 11, 'category_id': 7, 'keypoints': [5, 6, 2]},
             {'image_id': 12, 'category_id': 4, 'bbox': [1, 1, 4, 4]}]  # fmt: skip
    _, table = formats.look(coco(tmp_path, notes, categories=categories))
    assert table['keypoints'].shape == (3, 2, 1, 2)
    assert np.isnan(table['keypoints'][1, 1]).all()
    assert table['label'].tolist() == [0, 1, 0]
    assert table['class_names'].tolist() == ['rat', 'cat']


def test_coco_categories_with_points_of_their_own(tmp_path):
    """A tail is no wing, though both are the second point; a nose is one in both."""
    categories = [
        {'id': 1, 'name': 'bird', 'keypoints': ['nose', 'wing']},
        {'id': 2, 'name': 'cat', 'keypoints': ['tail', 'nose']},
    ]
    notes = [{'image_id': 10, 'category_id': 1, 'keypoints': [1, 1, 2, 2, 2, 2]},
             {'image_id': 11, 'category_id': 2, 'keypoints': [3, 3, 2, 4, 4, 2]}]  # fmt: skip
    _, table = formats.look(coco(tmp_path, notes, categories=categories))
    assert table['keypoint_names'].tolist() == ['nose', 'wing', 'tail']
    np.testing.assert_array_equal(table['keypoints'][0, :, 0], [1, 2, np.nan])
    np.testing.assert_array_equal(table['keypoints'][1, :, 0], [4, np.nan, 3])


def test_coco_of_fewer_names_than_points_is_told(tmp_path, caplog):
    note = {'image_id': 11, 'category_id': 1, 'keypoints': [3, 4, 2] * 3}
    _, found = formats.look(coco(tmp_path, [note]))
    assert found['keypoints'].shape == (3, 3, 2) and 'keypoint_names' not in found
    assert caplog.messages == ['2 names of keypoints for 3: left away']


def test_coco_beside_the_pictures_is_told_when_the_folder_is_read(tmp_path, caplog):
    path = coco(tmp_path, [])
    folder = tmp_path / 'val2017'
    path.rename(folder / 'mine.json')
    (folder / 'other.json').write_text('{"a": 1}')
    assert formats.look(folder).table is None
    assert [line for line in caplog.messages if '.json' in line] == [
        f'{folder}/mine.json is not read: if it is COCO, give it in place of the folder'
    ]


def test_coco_beside_several_folders_of_such_names(tmp_path):
    """The one that has all the pictures, then the one that is called as the file."""
    path = coco(tmp_path, [])
    for number in (0, 1):
        save(tmp_path / 'a_train' / f'{number}.jpg')
    assert formats.look(path)[0] == tmp_path / 'val2017'
    save(tmp_path / 'a_train' / '2.jpg')
    with pytest.raises(UserError, match='in several folders beside it'):
        formats.look(path)
    other = path.rename(path.with_name('person_keypoints_val2017.json'))
    assert formats.look(other)[0] == tmp_path / 'val2017'


@pytest.mark.parametrize(
    'text', ['[]', 'no json', '{"images": [{"id": 1}]}', '[' * 9999]
)
def test_what_is_no_coco_is_one_line(text, tmp_path):
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(UserError, match='COCO'):
        formats.look(tmp_path / 'a.json')


def test_pictures_of_coco_that_are_nowhere(tmp_path):
    path = coco(tmp_path, [])
    (tmp_path / 'val2017').rename(tmp_path / 'gone')
    (tmp_path / 'gone/0.jpg').unlink()
    with pytest.raises(UserError, match='in none of the folders beside it'):
        formats.look(path)


def project(root, rows, head=None):
    """A project of DeepLabCut of one video."""
    (root / 'labeled-data/vid').mkdir(parents=True)
    (root / 'config.yaml').write_text('Task: t\n')
    head = head or [
        ['scorer', *['me'] * 4], ['bodyparts', 'snout', 'snout', 'tail', 'tail'],
        ['coords', 'x', 'y', 'x', 'y'],
    ]  # fmt: skip
    path = root / 'labeled-data/vid/CollectedData_me.csv'
    with open(path, 'w', newline='') as file:
        csv.writer(file).writerows([*head, *rows])
    for name in ('img1.png', 'img2.png', 'img3.png'):
        save(root / 'labeled-data/vid' / name)
    return path


def test_a_project_of_deeplabcut(tmp_path):
    rows = [['labeled-data/vid/img1.png', 3, 4, '', ''],
            ['labeled-data/vid/img2.png', 5, 6, 7.5, 8]]  # fmt: skip
    path = project(tmp_path, rows)
    for given in (tmp_path, path):
        root, table = formats.look(given)
        assert root.samefile(tmp_path)
        assert table['keypoint_names'].tolist() == ['snout', 'tail']
        assert table['keypoints'][1].tolist() == [[5, 6], [7.5, 8]]
        assert np.isnan(table['keypoints'][0, 1]).all()
    found = source(tmp_path)
    assert len(found) == 2  # The third frame has no labels.
    assert found[0]['visible'].tolist() == [True, False]


def test_deeplabcut_of_several_animals_with_names_in_three_columns(tmp_path):
    head = [
        ['scorer', '', '', *['me'] * 4], ['individuals', '', '', 'm1', 'm1', 'm2', 'm2'],
        ['bodyparts', '', '', *['snout'] * 4], ['coords', '', '', 'x', 'y', 'x', 'y'],
    ]  # fmt: skip
    project(tmp_path, [['labeled-data', 'vid', 'img1.png', 3, 4, 5, 6]], head)
    _, table = formats.look(tmp_path)
    assert table['keypoints'].tolist() == [[[[3, 4]], [[5, 6]]]]


@pytest.mark.parametrize(('text', 'told'), [
    ('a,b\n1,2\n', 'its head needs lines'),
    ('scorer,me,me\nbodyparts,a,a\ncoords,x,y\nimg1.png,one,2\n', "'one' is no number"),
    ('scorer,me,me\nbodyparts,a,a\ncoords,x,y\n', 'no labelled pictures'),
])  # fmt: skip
def test_what_is_no_deeplabcut_is_one_line(text, told, tmp_path):
    (tmp_path / 'a.csv').write_text(text)
    with pytest.raises(UserError, match=told):
        formats.look(tmp_path / 'a.csv')


def test_deeplabcut_is_read_as_it_is_written(tmp_path):
    for name in ('a.png', 'b.png'):
        save(tmp_path / name)
    points = np.array([[[1.5, 2], [np.nan, np.nan]], [[3, 4], [5, 6]]])
    path = tmp_path / 'points.csv'
    deeplabcut.write(path, ['a.png', 'b.png'], points, np.ones((2, 2)))
    root, table = formats.look(path)
    assert root == tmp_path and table['files'].tolist() == ['a.png', 'b.png']
    np.testing.assert_array_equal(table['keypoints'], points)


def test_deeplabcut_from_a_spreadsheet(tmp_path):
    path = project(tmp_path, [['labeled-data/vid/img0.png', '3', '4', '5', '6']])
    text = path.read_text().replace(',', ';')
    path.write_text(text, encoding='utf-8-sig')
    _, table = formats.look(tmp_path)
    np.testing.assert_allclose(table['keypoints'][0], [[3, 4], [5, 6]])


def test_tables_of_pandas_are_not_read(tmp_path):
    h5py = pytest.importorskip('h5py', reason="pip install 'kpdiscovery[formats]'")
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file.create_group('df_with_missing')
    with pytest.raises(UserError, match=r'give the \.csv'):
        formats.look(tmp_path / 'a.h5')
    (tmp_path / 'b.h5').write_bytes(b'nothing')
    with pytest.raises(UserError, match='not an analysis file of SLEAP'):
        formats.look(tmp_path / 'b.h5')


def test_pages_of_a_tiff_keep_their_depth(tmp_path):
    pages = [Image.fromarray(np.full((8, 9), 300 * i, np.uint16)) for i in range(12)]
    path = tmp_path / 'stack.tif'
    pages[0].save(path, save_all=True, append_images=pages[1:])
    root, table = formats.look(path)
    assert table['files'][11] == 'stack/000011.tif' and len(table['files']) == 12
    assert np.asarray(Image.open(root / table['files'][11])).max() == 3300
    assert source(path)[5]['image'].max() == 6  # 1500 of 65535.
    pages[0].save(tmp_path / 'one.tif')
    assert formats.look(tmp_path / 'one.tif').table is None


def test_pictures_in_an_npz_with_their_points(tmp_path):
    images = np.zeros((12, 8, 9, 3), np.uint8)
    images[3] = 200
    points = np.full((12, 2, 2), 4.0)
    path = tmp_path / 'a.npz'
    np.savez(path, images=images, keypoints=points)
    found = source(path)
    assert found[3]['image'].min() == 200 and found[3]['visible'].all()
    np.savez(path, images=images.astype(np.float32))
    with pytest.raises(UserError, match=r'images must be uint8 .* got float32'):
        formats.look(path)
    np.savez(path, keypoints=points)
    with pytest.raises(UserError, match="no array 'images' in it, only keypoints"):
        formats.look(path)

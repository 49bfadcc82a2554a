import zipfile

import numpy as np
import pytest

from kpdiscovery.data import resize
from kpdiscovery.data.annotations import npz
from kpdiscovery.types import UserError

FOUND = [f'{i:02}.png' for i in range(30)]


def write(tmp_path, **arrays):
    path = tmp_path / 'annotations.npz'
    np.savez(path, **arrays)
    return path


def read(tmp_path, found=('a.png', 'b.png'), **arrays):
    arrays = {'files': list(found), **arrays}
    return npz.read_annotations(write(tmp_path, **arrays), found)


def test_rows_are_sorted_by_name_with_all_their_fields(tmp_path):
    notes = npz.read_annotations(
        write(
            tmp_path,
            files=['b.png', 'a.png'],
            landmarks=[[[1, 2]], [[3, 4]]],
            label=np.array([7, 8], np.int64),
            split=['test', 'train'],
            identity=[5, 6],
            class_names=['x', 'y'],
            keypoint_names=['nose'],
            boxes=[[0, 0, 2, 2], [1, 1, 4, 3], [2, 0, 5, 5]],
            box_image=[0, 1, 0],
            scale=[1.0, 2.0],  # Whatever else there is.
        ),
        ['a.png', 'b.png', 'c.png'],
    )
    assert notes.files == ('a.png', 'b.png')
    assert notes.class_names == ('x', 'y') and notes.keypoint_names == ('nose',)
    assert notes.split.tolist() == ['train', 'test'] and notes.groups.tolist() == [6, 5]
    assert notes.truth == ('boxes', 'boxes_valid', 'keypoints', 'label', 'visible')
    row = notes.row(1, resize.fit_frame((5, 5), (5, 5), 'stretch'), (5, 5))
    np.testing.assert_array_equal(row['keypoints'], [[1, 2]])
    np.testing.assert_array_equal(
        row['boxes'], [[-0.5, -0.5, 1.5, 1.5], [1.5, -0.5, 4.5, 4.5]]
    )
    assert row['label'] == 7 and row['label'].dtype == np.int32
    row = notes.row(0, resize.fit_frame((5, 5), (10, 5), 'stretch'), (10, 5))
    np.testing.assert_array_equal(row['boxes'], [[0.5, 1.5, 3.5, 5.5], [-1] * 4])
    np.testing.assert_array_equal(row['boxes_valid'], [True, False])


def test_missing_hidden_and_cropped_points_are_not_visible(tmp_path):
    xy = np.array([[[10, 5], [np.nan, 5], [2, 5], [12, 5], [10, 11]]], np.float32)
    seen = [[True, True, True, False, True]]
    notes = read(tmp_path, ('a.png',), keypoints=xy, visible=seen)
    row = notes.row(0, resize.fit_frame((10, 20), (10, 10), 'crop'), (10, 10))
    np.testing.assert_array_equal(row['visible'], [True, False, False, False, False])
    np.testing.assert_array_equal(
        row['keypoints'], [[5, 5], [-1, -1], [-3, 5], [7, 5], [5, 11]]
    )
    assert row['keypoints'].dtype == np.float32 and row['visible'].dtype == bool


def test_several_animals_a_picture(tmp_path):
    xy = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    notes = read(tmp_path, keypoints=xy)
    row = notes.row(0, resize.fit_frame((50, 50), (50, 50), 'pad'), (50, 50))
    np.testing.assert_allclose(row['keypoints'], xy[0])
    assert row['visible'].shape == (3, 2) and row['visible'].all()


def test_boxes_are_cut_at_the_canvas_and_lost_beyond_it(tmp_path):
    boxes = [[0, 0, 4, 10], [3, 2, 20, 8]]  # The crop keeps columns 5..14.
    notes = read(tmp_path, ('a.png',), boxes=boxes, box_image=[0, 0])
    row = notes.row(0, resize.fit_frame((10, 20), (10, 10), 'crop'), (10, 10))
    np.testing.assert_array_equal(row['boxes_valid'], [False, True])
    np.testing.assert_array_equal(row['boxes'], [[-1] * 4, [-0.5, 1.5, 9.5, 7.5]])


def test_boxes_may_be_given_by_picture(tmp_path):
    """The smallest case of a fault: one box a picture with an axis of its own."""
    listed = [[[0, 0, 2, 2], [1, 1, 4, 3]], [[-1] * 4, [np.nan] * 4]]
    notes = read(tmp_path, ('a.png', 'b.png'), boxes=listed)
    np.testing.assert_array_equal(notes.fields['boxes_valid'], [[1, 1], [0, 0]])
    np.testing.assert_array_equal(notes.fields['boxes'][0, 1], [0.5, 0.5, 3.5, 2.5])
    with pytest.raises(UserError, match=r'must be \[2, any, 4\]'):
        read(tmp_path, ('a.png', 'b.png'), boxes=listed[:1])
    with pytest.raises(UserError, match='x1 < x0'):
        read(tmp_path, ('a.png', 'b.png'), boxes=[[[3, 0, 2, 2]], [[0, 0, 1, 1]]])


def test_part_boxes_are_packed_by_picture_with_their_parts(tmp_path):
    notes = read(
        tmp_path,
        ('b.png', 'a.png', 'c.png'),
        part_boxes=[[0, 0, 4, 10], [3, 2, 20, 8], [6, 0, 8, 2], [1, 2, 30, 30]],
        part_image=[0, 0, 2, 0],
        part_label=np.array([5, 0, 7, 2], np.int64),
    )
    assert notes.truth == ('part_boxes', 'part_label') and notes.files[1] == 'b.png'
    # The crop keeps columns 5..14: nothing of the first part's box.
    row = notes.row(1, resize.fit_frame((10, 20), (10, 10), 'crop'), (10, 10))
    np.testing.assert_array_equal(
        row['part_boxes'], [[-1] * 4, [-0.5, 1.5, 9.5, 7.5], [-0.5, 1.5, 9.5, 9.5]]
    )
    np.testing.assert_array_equal(row['part_label'], [-1, 0, 2])
    assert row['part_boxes'].dtype == np.float32
    assert row['part_label'].dtype == np.int32
    row = notes.row(2, resize.fit_frame((5, 10), (10, 20), 'stretch'), (10, 20))
    np.testing.assert_array_equal(row['part_boxes'][0], [11.5, -0.5, 15.5, 3.5])
    np.testing.assert_array_equal(row['part_label'], [7, -1, -1])
    row = notes.row(0, resize.fit_frame((5, 10), (10, 20), 'stretch'), (10, 20))
    assert (row['part_boxes'] == -1).all() and (row['part_label'] == -1).all()


def test_one_part_box_a_picture_beside_its_object(tmp_path):
    boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 9]])
    notes = read(tmp_path, boxes=boxes, part_boxes=boxes - 0.5, part_label=[3, 1])
    assert notes.truth == ('boxes', 'boxes_valid', 'part_boxes', 'part_label')
    row = notes.row(1, resize.fit_frame((10, 10), (10, 10), 'stretch'), (10, 10))
    np.testing.assert_array_equal(row['boxes'], [[-0.5, -0.5, 8.5, 8.5]])
    np.testing.assert_array_equal(row['part_boxes'], [[-0.5, -0.5, 8, 8]])
    np.testing.assert_array_equal(row['part_label'], [1])
    none = read(
        tmp_path, part_boxes=np.zeros((0, 4)), part_image=np.zeros(0, int),
        part_label=np.zeros(0, int),
    )  # fmt: skip
    assert none.fields['part_boxes'].shape == (2, 1, 4)
    assert (none.fields['part_label'] == -1).all()


def test_names_compare_after_normalisation(tmp_path):
    found = ['u\u0308/a.png']  # As a Mac spells it.
    notes = npz.read_annotations(write(tmp_path, files=['.\\\u00fc\\a.png']), found)
    assert notes.files == tuple(found)
    assert notes.fields == {} and notes.split is None


@pytest.mark.parametrize(
    ('arrays', 'message'),
    [
        ({'files': ['a.png', 'x.png', 'y.png']}, '2 of 3 names are not.*x.png, y.png'),
        ({'files': ['a.png', 'a.png']}, 'each picture once'),
        ({'files': np.array([], str)}, 'at least one'),
        ({'label': [1]}, r"'label' must be \[2\], got \[1\]"),
        ({'keypoints': np.zeros((3, 4, 2))}, r'\[2, any, 2\], got \[3, 4, 2\]'),
        ({'landmarks': np.zeros((2, 4, 3))}, r"'landmarks'.*got \[2, 4, 3\]"),
        ({'landmarks': np.zeros(2)}, r"'landmarks' must be \[2, any, 2\]"),
        (
            {'landmarks': np.zeros((2, 4, 2)), 'visible': np.ones((2, 3), bool)},
            r"'visible' must be \[2, 4\]",
        ),
        ({'boxes': np.zeros((3, 4))}, r"'boxes' must be \[2, 4\]"),
        ({'boxes': np.zeros((3, 4)), 'box_image': [0, 1]}, "'box_image' must name"),
        ({'boxes': np.zeros((1, 4)), 'box_image': [2]}, r'a row 0\.\.1'),
        ({'part_boxes': np.zeros((3, 4))}, r"'part_boxes' must be \[2, 4\]"),
        ({'part_boxes': np.zeros((2, 4))}, "'part_boxes' needs 'part_label'"),
        (
            {'part_boxes': np.zeros((2, 4)), 'part_label': [1]},
            r"'part_label' must be \[2\], got \[1\]",
        ),
        (
            {'part_boxes': np.zeros((2, 4)), 'part_label': [1, -1]},
            "'part_label' must be >= 0, got -1",
        ),
        (
            {'part_boxes': np.zeros((1, 4)), 'part_image': [2], 'part_label': [0]},
            r"'part_image' must name a row 0\.\.1",
        ),
        ({'split': ['train']}, r"'split' must be \[2\]"),
        ({'identity': [1, 2, 3]}, "'identity' must be"),
        ({'label': ['cat', 'dog']}, "'label' must hold whole numbers.* 'class_names'"),
        ({'label': [0.5, 1]}, "'label' must hold whole numbers"),
        (
            {'boxes': np.zeros((1, 4)), 'box_image': [0.5]},
            "'box_image' must hold whole numbers",
        ),
        ({'keypoints': [[['x', 'y']]] * 2}, "'keypoints' must hold numbers"),
        ({'label': np.array([{}, {}])}, 'not an .npz of plain arrays'),
        ({'label': [0, 2**40]}, "'label' must hold whole numbers"),
        ({'label': [0, np.inf]}, "'label' must hold whole numbers"),
        ({'keypoints': np.full((2, 1, 2), 1e300)}, "'keypoints' must hold pixels"),
        ({'boxes': [[0, 0, np.inf, 1]] * 2}, "'boxes' must hold pixels"),
        ({'class_names': np.array(3)}, r"'class_names' must be .any"),
        (
            {'keypoints': np.zeros((2, 3, 2)), 'keypoint_names': ['a', 'b']},
            "'keypoint_names' has 2 names of 3 points",
        ),
        ({'masks': ['../a.png', '']}, 'masks must be below the folder'),
        ({'masks': ['', 'x/../../a.png']}, 'masks must be below the folder'),
        ({'masks': ['', '/etc/a.png']}, 'masks must be below the folder'),
        ({'masks': ['', '..\\a.png']}, 'masks must be below the folder'),
    ],
)
def test_wrong_files_are_user_errors(tmp_path, arrays, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, **arrays)


def test_what_is_no_archive_is_a_user_error(tmp_path):
    path = tmp_path / 'annotations.npz'
    with pytest.raises(UserError, match=r'not an .npz'):
        npz.read_annotations(path, FOUND)
    whole = write(tmp_path, files=FOUND, label=np.arange(30)).read_bytes()
    for data in (b'', b'hello', whole[: len(whole) // 2]):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r'annotations\.npz: not an \.npz'):
            npz.read_annotations(path, FOUND)
    with (tmp_path / 'one.npy').open('wb') as file:
        np.save(file, np.arange(3))
    with pytest.raises(UserError, match=r'one\.npy: not an \.npz'):
        npz.read_annotations(tmp_path / 'one.npy', FOUND)
    np.savez(path, names=FOUND)
    with pytest.raises(UserError, match=r"needs an array 'files'.*has names"):
        npz.read_annotations(path, FOUND)


def test_members_that_are_no_arrays(tmp_path):
    path = write(tmp_path, files=FOUND)
    with zipfile.ZipFile(path, 'a') as archive:
        archive.writestr('README', 'not read')
    assert npz.read_annotations(path, FOUND).files == tuple(FOUND)
    with zipfile.ZipFile(path, 'a') as archive:
        archive.writestr('label.npy', 'no array')
    with pytest.raises(UserError, match='not an .npz of plain arrays'):
        npz.read_annotations(path, FOUND)


def test_letters_that_are_none(tmp_path):
    path = write(tmp_path, files=FOUND)
    with zipfile.ZipFile(path) as archive:
        data = archive.read('files.npy').replace(b'0\0\0\0', b'0\0\0\2')
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('files.npy', data)
    with pytest.raises(UserError, match='not an .npz of plain arrays'):
        npz.read_annotations(path, FOUND)


def test_names_may_be_bytes(tmp_path):
    notes = read(
        tmp_path, split=[b'train', 'ö'.encode()], class_names=[b'\xff', b'owl']
    )
    assert notes.split.tolist() == ['train', 'ö']
    assert notes.class_names == ('\ufffd', 'owl')


def test_whole_numbers_may_be_floats_and_splits_numbers(tmp_path):
    boxes = np.array([[0, 0, 2, 2]])
    notes = read(tmp_path, label=[0.0, 1.0], boxes=boxes, box_image=[1.0], split=[0, 1])
    assert notes.fields['label'].dtype == np.int32
    assert notes.fields['boxes_valid'].sum() == 1
    assert notes.split.tolist() == ['0', '1']


def test_a_misspelt_array_is_told(tmp_path, caplog):
    points = np.zeros((2, 1, 2))
    read(tmp_path, landmark=points, others=[1, 2], label=[0, 1], labels=[3, 4])
    (line,) = caplog.messages
    assert line.endswith("annotations.npz: 'landmark' is not read, is it 'landmarks'?")

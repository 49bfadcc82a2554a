"""What each adapter makes of the numbers in its files."""

import numpy as np
import pytest

from kpdiscovery.data import official
from kpdiscovery.data.files import masks
from kpdiscovery.data.official import h36m
from tests.data.official import faces
from tests.data.official.official_test import source
from tests.data.official.releases import MAKE


def read(name, root):
    MAKE[name](root)
    return official.read(name, root)


def splits(table):
    return {str(s): int((table['split'] == s).sum()) for s in np.unique(table['split'])}


@pytest.mark.parametrize(('name', 'counts'), [
    ('celeba', {'train': 6, 'validation': 2, 'other': 2, 'test': 2}),
    ('mafl', {'train': 2, 'test': 2}),
    # The first picture's box covers 26 % of it.
    ('celeba_wild', {'train': 5, 'validation': 2, 'other': 2, 'test': 2}),
    ('celeba_unaligned', {'train': 6, 'validation': 2, 'other': 2, 'test': 2}),
])  # fmt: skip
def test_celeba(name, counts, tmp_path):
    table = read(name, tmp_path)
    assert splits(table) == counts
    tested = table['files'][table['split'] == 'test']
    assert [name[-10:] for name in tested] == ['000005.jpg', '000006.jpg']
    np.testing.assert_array_equal(table['keypoints'][0], faces.FIVE)
    if name in ('celeba_wild', 'celeba_unaligned'):
        assert table['boxes'][-1].tolist() == [1, 2, 13, 17]
        assert 'img_celeba/' in table['files'][0]


def test_mtfl_has_all_x_before_all_y(tmp_path):
    table = read('mtfl', tmp_path)
    np.testing.assert_array_equal(table['keypoints'][0], faces.FIVE)
    assert splits(table) == {'train': 2, 'test': 1}
    assert table['files'][2] == 'MTFL/AFLW/0001-image20056.jpg'


def test_aflw_has_a_row_a_face_with_all_five(tmp_path):
    table = read('aflw', tmp_path)
    assert table['object'].tolist()[:3] == [1, 2, 10]  # 99 has no nose.
    assert table['files'][0] == table['files'][1] == 'data/flickr/0/image00002.jpg'
    assert table['identity'][0] == table['identity'][1]
    assert table['boxes'][0].tolist() == [2, 4, 16, 19]
    np.testing.assert_array_equal(table['keypoints'][0], faces.FIVE)
    assert 'split' not in table
    assert (
        len(source('aflw', tmp_path)) == 10
    )  # The last of ten pictures is for testing.
    faces.text(tmp_path / 'testing.txt', 'AFLW\\0001-image00005.jpg 1 2 3')
    assert splits(official.read('aflw', tmp_path)) == {'train': 10, 'test': 1}


def test_ls3d_counts_pixels_from_one(tmp_path):
    table = read('ls3d', tmp_path)
    assert splits(table) == {'train': 2, 'test': 1}
    np.testing.assert_array_equal(table['keypoints'][0], faces.landmarks68() - 1)
    np.testing.assert_allclose(table['boxes'][0, 0], [2, 3 - 17 / 3, 17, 20])


def test_cats_lose_the_tips_of_their_ears(tmp_path):
    table = read('cat_heads', tmp_path)
    assert table['keypoints'].shape == (8, 7, 2) and splits(table)['test'] == 1
    assert table['keypoints'][0, [0, 3, 4, 6]].tolist() == [
        [5, 6],
        [3, 4],
        [6, 4],
        [15, 4],
    ]
    assert table['boxes'][0, 0].tolist() == [3, 1, 16, 13]  # The tips are in the box.


def test_cub(tmp_path):
    table = read('cub', tmp_path)
    assert splits(table) == {'train': 2, 'test': 2}
    assert table['label'].tolist() == [0, 1, 1, 1]
    assert table['boxes'][0].tolist() == [2, 3, 14, 13]
    assert table['keypoints'][1, 6].tolist() == [10, 5]
    assert np.isnan(table['keypoints'][1, 10]).all()
    assert table['masks'][1] == 'segmentations/002.Indigo_Bunting/B_1.png'
    assert not source('cub', tmp_path)[0]['mask'].any()


def test_cub_landmarks_look_to_one_side(tmp_path):
    """Pictures are 20 px wide: the right eye at x = 14 becomes the left one at 5."""
    table = read('cub_landmarks', tmp_path)
    assert [name[-7:] for name in table['files']] == ['B_1.jpg', 'B_2.jpg', 'B_3.jpg']
    assert table['mirrored'].tolist() == [False, True, False]
    assert table['keypoints'][1, 6].tolist() == [5, 5]
    assert np.isnan(table['keypoints'][1, 10]).all()
    assert table['keypoints'][1, 0].tolist() == [15, 5]  # The back was at 4.
    assert table['boxes'][1].tolist() == [6, 3, 18, 13]


def test_cars_count_from_one(tmp_path):
    table = read('cars', tmp_path)
    assert splits(table) == {'train': 3, 'test': 3}
    assert table['boxes'][0].tolist() == [2, 3, 15, 20]
    assert table['label'].tolist() == [0, 1, 0, 0, 1, 0]
    assert table['class_names'].tolist() == ['AM General Hummer', 'Audi TT']


def test_flowers_have_the_official_validation_part(tmp_path):
    table = read('flowers', tmp_path)
    assert splits(table) == {'train': 2, 'validation': 1, 'test': 3}
    assert table['label'].tolist() == [1, 0, 1, 0, 1, 0]
    assert len(source('flowers', tmp_path, 'validation')) == 1
    # Dark petals on blue are an object, whatever their light.
    faces.picture(tmp_path / 'm.png', color=(10, 20, 5))
    assert masks.read_mask(tmp_path / 'm.png', ground=(0, 0, 254)).object.all()
    assert not source('flowers', tmp_path)[0]['mask'].any()


def test_tiny_imagenet_tests_on_its_validation_part(tmp_path):
    table = read('tiny_imagenet', tmp_path)
    assert splits(table) == {'train': 4, 'test': 2}
    assert table['boxes'][0].tolist() == [0, 10, 64, 59]
    assert table['label'].tolist() == [0, 0, 1, 1, 0, 1]
    assert table['class_names'].tolist() == ['goldfish, Carassius auratus', 'n01629819']


def test_penn_action_tests_on_the_first_five_videos(tmp_path):
    table = read('penn_action', tmp_path)
    assert splits(table) == {'train': 2, 'test': 10}
    assert table['video'][-1] == 7 and 2 not in table['video']
    assert table['keypoints'][0, 0].tolist() == [2, 4]
    assert table['visible'][0].sum() == 12 and not table['visible'][0, 3]
    assert table['boxes'][0].tolist() == [2, 3, 15, 20]


def test_bbc_pose_trains_on_every_tenth_frame(tmp_path):
    table = read('bbc_pose', tmp_path)
    names = [name.split('/', 1)[1] for name in table['files']]
    assert names == ['1/1.jpg', '1/11.jpg', '1/21.jpg', '2/2.jpg', '2/5.jpg']
    assert table['keypoints'][0, 0].tolist() == [3, 3]
    assert np.isnan(table['keypoints'][2]).all()  # Not annotated, but trained on.


def test_deepfashion_keeps_whole_bodies(tmp_path):
    table = read('deepfashion', tmp_path)
    assert len(table['files']) == 63 and all('_full' in name for name in table['files'])
    assert table['boxes'][0, 0].tolist() == [2, 3, 15, 20]
    assert np.isnan(table['boxes'][-1]).all()


def test_pascal3d_has_the_largest_object(tmp_path):
    table = read('pascal3d_car', tmp_path)
    assert splits(table) == {'train': 2, 'test': 1}
    assert table['boxes'][0].tolist() == [2, 3, 15, 20]
    assert table['keypoint_names'].tolist() == ['wheel']
    assert table['keypoints'][0].tolist() == [[4, 5]]


def test_h36m_takes_every_50th_frame_of_six_activities(tmp_path):
    pytest.importorskip('cdflib', reason="pip install 'kpdiscovery[formats]'")
    table = read('h36m', tmp_path)
    assert splits(table) == {'train': 6 * 3, 'test': 2}
    assert table['files'][1] == 'S1/Walking 1.54138969/000050.jpg'
    np.testing.assert_allclose(table['keypoints'][1, 3], [13.5, 9])
    raw = official.read('h36m_white', tmp_path)['keypoints']
    np.testing.assert_allclose(raw[1, 3], [13.5, 9])
    np.testing.assert_allclose(table['boxes'][0, 0], [-10, -12, 38, 44])


def test_h36m_changes_sides_but_in_the_protocol_on_white(tmp_path, monkeypatch):
    pytest.importorskip('cdflib', reason="pip install 'kpdiscovery[formats]'")
    read('h36m', tmp_path)
    turned = np.tile(np.arange(32.0)[::-1, None], (400, 1, 2))
    monkeypatch.setattr(h36m, '_joints', lambda path: turned)
    usual, white = (
        h36m.table(tmp_path, white=w)['keypoints'][0] for w in (False, True)
    )
    np.testing.assert_array_equal(white, turned[0])
    np.testing.assert_array_equal(usual, h36m.sided(turned[:1])[0])
    assert usual[1].tolist() == white[6].tolist() != white[1].tolist()


def test_h36m_changes_sides_where_a_person_is_turned():
    """Joint j of person 1 is at x = j: right hip and knee are left of the left ones."""
    xy = np.tile(np.arange(32.0)[:, None], (3, 1, 2))
    xy[1, 1, 0] = 40  # The right hip is right of the left one: hips and arms.
    xy[2, 2, 0] = 40  # The right knee: legs.
    got = h36m.sided(xy)
    np.testing.assert_array_equal(got[0], xy[0])
    assert got[1, :8, 0].tolist() == [0, 6, 2, 3, 4, 5, 40, 7] and got[1, 17, 0] == 25
    assert got[2, :11, 0].tolist() == [0, 1, 7, 8, 9, 10, 6, 40, 3, 4, 5]
    assert got[2, 17, 0] == 17

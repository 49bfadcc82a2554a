"""Releases of data sets as their owners distribute them: tables, sources, errors."""

import re

import numpy as np
import pytest

from kpdiscovery import data
from kpdiscovery.data import official
from kpdiscovery.data.official import torch7
from kpdiscovery.types import UserError
from tests.data.official import faces
from tests.data.official.releases import MAKE

PICTURES = sorted(name for name, one in official.RELEASES.items() if not one.clips)


@pytest.fixture(autouse=True)
def formats(request):
    if 'h36m' in request.node.name:
        pytest.importorskip('cdflib', reason="pip install 'kpdiscovery[formats]'")


def source(name, root, split='train', resize='pad', **more):
    section = {'source': 'folder', 'path': str(root), 'size': 16, 'resize': resize,
               'options': {}, 'release': name, **more}  # fmt: skip
    return data.build(section, split=split)


def test_every_release_has_a_fixture():
    assert set(MAKE) == set(official.RELEASES)


@pytest.mark.parametrize('name', PICTURES)
def test_a_release_is_a_source_of_both_splits(name, tmp_path):
    MAKE[name](tmp_path)
    train = source(name, tmp_path)
    assert train[0]['image'].shape == (16, 16, 3)
    assert set(train.truth) & {'keypoints', 'label', 'boxes'}
    assert len(source(name, tmp_path, 'test'))
    if 'boxes' in train.truth:
        cut = source(name, tmp_path, resize='box:0.1')[0]
        assert cut['boxes_valid'][0] or name == 'bbc_pose'


@pytest.mark.parametrize('name', sorted(official.RELEASES))
def test_a_missing_part_is_named_with_the_mend(name, tmp_path):
    MAKE[name](tmp_path)
    release = official.named(name)
    part = next(part for part in release.parts if part.needed)
    while place := official.find(tmp_path, part.name, release.folder):
        (tmp_path / place).rename(tmp_path / 'elsewhere' if '*' not in part.name
                                  else (tmp_path / place).with_suffix('.gone'))  # fmt: skip
    told = f'lacks {re.escape(part.name)}.*kpd doctor --data={name} --root='
    with pytest.raises(UserError, match=told):
        official.read(name, tmp_path)


def test_another_folder_is_none_of_the_release(tmp_path):
    faces.picture(tmp_path / 'a.jpg')
    assert not official.is_there('cub', tmp_path)
    assert source('cub', tmp_path).truth == ()  # The user's own pictures.


def test_an_unknown_release_names_the_nearest():
    with pytest.raises(UserError, match='did you mean flowers'):
        official.named('flower')


def test_a_damaged_file_is_one_line(tmp_path):
    MAKE['mtfl'](tmp_path)
    (tmp_path / 'MTFL/training.txt').write_text('lfw_5590\\A_0001.jpg 1 2 three\n')
    with pytest.raises(UserError, match='not as its owners describe it'):
        official.read('mtfl', tmp_path)
    MAKE['flowers'](tmp_path)
    (tmp_path / 'setid.mat').write_bytes(b'no matlab')
    with pytest.raises(UserError, match='not a MATLAB file'):
        official.read('flowers', tmp_path)


def test_truth_of_a_detector_joins_by_name(tmp_path):
    MAKE['deepfashion'](tmp_path)
    files = official.read('deepfashion', tmp_path)['files']
    points = np.full((1, 14, 2), 7.0)
    np.savez(tmp_path / 'truth.npz', files=files[3:4], keypoints=points)
    joined = official.read('deepfashion', tmp_path, truth=tmp_path / 'truth.npz')
    assert np.flatnonzero(np.isfinite(joined['keypoints']).all((1, 2))).tolist() == [3]
    np.savez(tmp_path / 'truth.npz', files=['other.jpg'], keypoints=points)
    with pytest.raises(UserError, match="none of the data set's pictures"):
        official.read('deepfashion', tmp_path, truth=tmp_path / 'truth.npz')


def test_truth_of_several_objects_of_a_picture(tmp_path):
    table = {
        'files': np.array(['a.jpg', 'a.jpg', 'b.jpg']),
        'object': np.array([1, 2, 1]),
    }
    points = np.arange(4.0).reshape(2, 1, 2)
    path = tmp_path / 'truth.npz'
    np.savez(path, files=['a.jpg', 'a.jpg'], object=[2, 1], keypoints=points)
    found = official.with_truth(table, path)['keypoints'][:, 0]
    np.testing.assert_array_equal(found, [[2, 3], [0, 1], [np.nan, np.nan]])
    for wrong, told in (
        ({'files': ['a.jpg'], 'keypoints': points[:1]}, "needs their 'object'"),
        ({'files': ['a.jpg', 'b.jpg'], 'keypoints': points[:1]}, 'a row of'),
        ({'files': ['a.jpg', 'a.jpg'], 'keypoints': points}, 'once'),
    ):
        np.savez(path, **wrong)
        with pytest.raises(UserError, match=told):
            official.with_truth(table, path)


def test_truth_may_be_boxes_of_parts(tmp_path):
    MAKE['pascal3d_car'](tmp_path)
    files = official.read('pascal3d_car', tmp_path)['files']
    np.savez(tmp_path / 'truth.npz', files=files[::-1], part_boxes=[[1, 2, 3, 4]],
             part_label=[5], part_image=[0])  # fmt: skip
    options = {'truth': str(tmp_path / 'truth.npz')}
    test = source('pascal3d_car', tmp_path, 'test', options=options)
    assert test[0]['part_label'].tolist() == [5]


def test_tensors_of_torch7_are_read_and_nothing_else(tmp_path):
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    path = tmp_path / 'a.t7'
    path.write_bytes(faces.t7(values))
    np.testing.assert_array_equal(torch7.read_tensor(path), values)
    for content in (b'', faces.t7(values)[:-3], b'\x01' * 40,
                    faces.t7(values).replace(b'FloatTensor', b'EvilTensors')):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(UserError, match='not a tensor of Torch 7'):
            torch7.read_tensor(path)


def test_a_folder_of_ones_own_may_have_a_common_name(tmp_path):
    """images/ alone does not make CUB, images.txt does."""
    faces.picture(tmp_path / 'images/a.jpg')
    assert not official.is_there('cub', tmp_path)
    (tmp_path / 'images.txt').write_text('1 a.jpg\n')
    assert official.is_there('cub', tmp_path)

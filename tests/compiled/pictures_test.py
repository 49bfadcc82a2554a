"""Shapes of batches, of pictures that are here and of those that are not."""

import pytest

from kpdiscovery import config, data
from kpdiscovery.compiled import pictures
from kpdiscovery.types import UserError


def look(name, *overrides, **options):
    settings = config.load(name, overrides)
    return pictures.look(settings, **options), settings


def shapes(fields):
    return {name: (leaf.shape, str(leaf.dtype)) for name, leaf in fields.items()}


def test_of_generated_pictures_everything_is_known():
    seen, settings = look('tusk/tetrominoes:smoke')
    row = data.build(settings.data, split='train')[0]
    known = {name: (leaf.shape, str(leaf.dtype)) for name, leaf in row.items()
             if name != 'attributes'}  # fmt: skip
    assert {'image', 'instances'} < set(known)
    assert known.items() <= shapes({n: seen.fields[n] for n in known}).items()
    assert set(seen.fields) == set(row) and seen.assumed == ()


def test_classes_are_counted():
    seen, settings = look('lmpnet/critters:smoke')
    assert settings.method.num_classes > 1 and seen.fields['label'].shape == ()


def test_pictures_that_are_not_here_have_the_papers_number():
    seen, _ = look('weight_map/cub')
    assert shapes(seen.fields) == {
        'image': ((256, 256, 3), 'uint8'), 'label': ((), 'int32'),
    }  # fmt: skip
    assert seen.rows == 5_994 and len(seen.assumed) == 2
    assert 'label int32' in seen.assumed[0] and '5,994' in seen.assumed[1]


@pytest.mark.parametrize('name, given, rows, side', [
    ('cub:cpu', {}, 2_000, 128), ('mafl', {}, 19_000, 272), ('mafl', {'rows': 77}, 77, 272),
])  # fmt: skip
def test_thinned_splits_and_rows_by_hand(name, given, rows, side):
    seen, _ = look(f'feature_alignment/{name}', **given)
    assert seen.rows == rows
    assert shapes(seen.fields)['pixels_valid'] == ((side, side), 'bool')


@pytest.mark.parametrize('keypoints, channels', [
    ('superpoint', 128), ('superpoint+sift', 128), ('xfeat', 64), ('orb', 256),
])  # fmt: skip
def test_generic_keypoints_are_assumed(keypoints, channels):
    options = f'data.keypoints={keypoints}', 'data.num_detected=5'
    seen, _ = look('self_training/mafl:smoke', *options)
    found = shapes(seen.fields)
    assert found['detected'] == ((5, 2), 'float32')
    assert found['detected_score'] == ((5,), 'float32')
    assert found['detected_descriptors'] == ((5, channels), 'float32')


def test_landmarks_to_start_from_are_assumed():
    found = shapes(look('self_training/mafl:clusters,smoke')[0].fields)
    assert found['detected'] == ((4, 2), 'float32')
    assert found['detected_label'] == found['detected_mirror'] == ((4,), 'int32')
    assert 'detected_descriptors' not in found


def test_later_frames_are_assumed():
    seen, _ = look('self_training/bbc_pose:temporal,smoke')
    assert shapes(seen.fields)['flow'] == ((32, 32, 2), 'float32')
    assert shapes(seen.fields)['later'] == ((32, 32, 3), 'uint8')


@pytest.mark.parametrize('name, override, mend', [
    ('self_training/mafl', 'data.path=/nowhere', 'nowhere'),
    ('self_training/mafl', 'data.keypoints=mine.npz', 'compile with one of'),
    ('lmpnet/folder', 'data.size=64', '--config.method.num_classes'),
])  # fmt: skip
def test_what_cannot_be_told_is_asked_for(name, override, mend):
    with pytest.raises(UserError, match=mend):
        look(name, override)

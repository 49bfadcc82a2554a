import functools
import io
import pickle

import ml_collections
import numpy as np
import pytest
from PIL import Image

from kpdiscovery import data, methods
from kpdiscovery.data import class_labels
from kpdiscovery.data.files import tfds_source
from kpdiscovery.data.files.clevr import ClevrScenes
from kpdiscovery.data.files.tfds_source import TfdsSource
from kpdiscovery.types import Source, UserError

tfds = pytest.importorskip('tensorflow_datasets')


def png(image):
    """An open file, which TFDS takes as it is: it would encode arrays by TensorFlow."""
    file = io.BytesIO()
    image.save(file, 'PNG')
    file.seek(0)
    return file


class TinyBirds(tfds.core.GeneratorBasedBuilder):
    """Four encoded pictures with a label and a box; registered by being defined."""

    VERSION = tfds.core.Version('1.0.0')
    pkg_dir_path = None

    def _info(self):
        features = {
            'image': tfds.features.Image(shape=(None, None, 3), encoding_format='png'),
            'label': tfds.features.ClassLabel(names=['wren', 'owl']),
            'bbox': tfds.features.BBoxFeature(),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {'train': self._generate_examples()}

    def _generate_examples(self):
        for i in range(4):
            file = png(Image.new('RGB', (20, 10), (60 * i, 0, 0)))
            box = tfds.features.BBox(ymin=0.1, xmin=0.2, ymax=0.5, xmax=0.6)
            yield i, {'image': file, 'label': i % 2, 'bbox': box}


class TinyMasks(tfds.core.GeneratorBasedBuilder):
    """Two pictures with masks of five votes, as caltech_birds2011 has them."""

    VERSION = tfds.core.Version('1.0.0')
    pkg_dir_path = None

    def _info(self):
        features = {
            'image': tfds.features.Image(),
            'label': tfds.features.ClassLabel(num_classes=200),
            'segmentation_mask': tfds.features.Image(shape=(None, None, 1)),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {'train': self._generate_examples()}

    def _generate_examples(self):
        votes = np.repeat(np.array([[0, 51, 102, 153, 255]], np.uint8), 4, axis=0)
        for i in range(2):
            image = png(Image.new('RGB', (5, 4), (100 * i, 0, 0)))
            mask = png(Image.fromarray(votes))
            yield i, {'image': image, 'label': i, 'segmentation_mask': mask}


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp('tfds'))
    for builder in (TinyBirds, TinyMasks):
        builder(data_dir=folder, file_format='array_record').download_and_prepare()
    return folder


def test_a_prepared_set_is_read_from_its_files(prepared):
    options = {'split': 'train', 'data_dir': prepared}
    source = TfdsSource('tiny_birds', size=(20, 40), **options)
    assert isinstance(source, Source) and len(source) == 4
    assert source.truth == ('boxes', 'boxes_valid', 'label')
    assert source.class_names == ('wren', 'owl')
    for row in source:
        np.testing.assert_allclose(row['boxes'], [[7.5, 1.5, 23.5, 9.5]], atol=1e-4)
        assert row['boxes_valid'].all()
        assert row['label'] == row['image'][0, 0, 0] // 60 % 2
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy[2]['image'], source[2]['image'])
    padded = TfdsSource(
        'tiny_birds', size=16, resize='pad', fields=['label'], **options
    )
    assert set(padded[0]) == {'image', 'frame', 'pixels_valid', 'label'}
    assert padded[0]['pixels_valid'].sum() == 8 * 16


def test_another_split_may_stand_for_one_that_is_missing(prepared):
    options = {'name': 'tiny_birds', 'data_dir': prepared}
    settings = {'source': 'tfds', 'size': 8, 'resize': 'pad', 'options': options}
    with pytest.raises(UserError, match='split'):
        data.build(settings, split='test')
    options['splits'] = {'test': 'train[3:]'}
    assert len(data.build(settings, split='test')) == 1
    assert len(data.build(settings, split='train')) == 4


def test_keep_sees_encoded_pictures_and_chooses_rows(prepared):
    def keep(example):
        assert isinstance(example['image'], bytes)
        return example['label'] == 1

    options = {'split': 'train', 'size': 8, 'data_dir': prepared}
    source = TfdsSource('tiny_birds', keep=keep, **options)
    assert [int(row['label']) for row in source] == [1, 1]
    with pytest.raises(UserError, match="leaves nothing of split 'train'"):
        TfdsSource('tiny_birds', keep=lambda example: False, **options)


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('tiny_birds', {'split': 'tets'}, "split 'tets': Unknown split"),
        ('tiny_birds', {'split': 'train[x]'}, 'Error parsing split'),
        ('tiny_birds', {'fields': ['mask']}, 'has no mask; fields: boxes, boxes_valid'),
        ('tiny_birds:3.0.0', {}, 'cannot be loaded at version 3.0.0'),
        ('tiny_bird', {}, "TFDS has no data set 'tiny_bird'"),
        (
            'celeb_a',
            {},
            'nothing is downloaded.*tfds build celeb_a --file_format=array',
        ),
    ],
)
def test_mistakes_are_one_line(prepared, name, options, message):
    with pytest.raises(UserError, match=message) as error:
        TfdsSource(
            name, **{'split': 'train', 'size': 8, 'data_dir': prepared, **options}
        )
    assert '\n' not in str(error.value)


def test_celeb_a_has_five_landmarks():
    with tfds.testing.mock_data(num_examples=3):
        source = TfdsSource('celeb_a', split='train', size=(109, 89))
        raw = tfds.builder('celeb_a').as_data_source(split='train')[1]['landmarks']
    assert len(source) == 3 and source.truth == ('keypoints', 'visible')
    row = source[1]
    assert row['image'].shape == (109, 89, 3) and row['image'].dtype == np.uint8
    want = [raw['nose_x'] / 2 - 0.25, raw['nose_y'] / 2 - 0.25]
    np.testing.assert_allclose(row['keypoints'][2], want, atol=1e-4)
    parts = ('lefteye', 'righteye', 'nose', 'leftmouth', 'rightmouth')
    inside = [raw[f'{p}_x'] < 178 and raw[f'{p}_y'] < 218 for p in parts]
    np.testing.assert_array_equal(row['visible'], inside)


def test_grey_pictures_with_labels_are_the_plain_case():
    with tfds.testing.mock_data(num_examples=5):
        source = TfdsSource('mnist', split='train', size=28)
        row = source[4]
    assert source.truth == ('label',)
    assert row['image'].shape == (28, 28, 3) and row['label'].dtype == np.int32
    np.testing.assert_array_equal(row['image'][..., 0], row['image'][..., 2])


def scene(number, count):
    """A CLEVR example with `count` objects, object i at pixel (10 i + 5, 50)."""
    objects = {name: np.arange(count) % 2 for name in ('shape', 'color', 'size')}
    position = np.stack([np.arange(count) * 10 + 5, *np.full((2, count), 50)], -1)
    objects |= {'material': np.ones(count, int), 'pixel_coords': position}
    image = np.zeros((320, 480, 3), np.uint8)
    return {
        'file_name': f'CLEVR_train_{number:06}.png',
        'image': image,
        'objects': objects,
    }


def test_clevr_objects_and_the_papers_subsets():
    scenes = [scene(5, 3), scene(61_000, 6), scene(59_999, 7), scene(69_999, 10)]
    with tfds.testing.mock_data(as_data_source_fn=lambda self, split, **_: scenes):
        get = functools.partial(TfdsSource, 'clevr', split='train', size=(160, 240))
        source = get()
        assert len(get(keep=ClevrScenes(6, 0, 60_000))) == 1
        assert len(get(keep=ClevrScenes(6, 60_000, 70_000))) == 1
        assert len(get(keep=ClevrScenes(10))) == 4
    assert source.truth == ('attributes', 'keypoints', 'visible')
    row = source[0]
    np.testing.assert_array_equal(row['attributes']['shape'], [0, 1, 0] + [-1] * 7)
    assert set(row['attributes']) == {'shape', 'color', 'size', 'material'}
    np.testing.assert_allclose(row['keypoints'][1, 0], [7, 24.5])
    np.testing.assert_array_equal(row['visible'][:, 0], [True] * 3 + [False] * 7)
    assert source[3]['visible'].all()


def test_labels_of_all_rows_without_their_pictures(prepared, monkeypatch):
    options = {'split': 'train', 'size': 8, 'data_dir': prepared}
    source = TfdsSource('tiny_birds', **options)
    assert source.labels.dtype == np.int32
    assert source.labels.tolist() == [int(row['label']) for row in source]
    owls = TfdsSource('tiny_birds', keep=lambda e: e['label'] == 1, **options)
    assert owls.labels.tolist() == [1, 1]
    assert pickle.loads(pickle.dumps(owls)).labels.tolist() == [1, 1]
    assert TfdsSource('tiny_birds', fields=['boxes'], **options).labels is None
    monkeypatch.setattr(tfds_source, '_MOST_LABELS', 3)
    assert TfdsSource('tiny_birds', **options).labels is None
    settings = ml_collections.ConfigDict(
        {'method': {'name': 'lmpnet', 'num_classes': 0}, 'data': {'source': 'tfds'}}
    )
    class_labels.prepare(source, settings, methods.named('lmpnet'))
    assert settings.method.num_classes == 2


def test_a_mask_is_what_most_annotators_marked(prepared):
    options = {'split': 'train', 'data_dir': prepared}
    source = TfdsSource('tiny_masks', size=(4, 10), resize='pad', **options)
    assert source.truth == ('label', 'mask') and source.labels.tolist() == [0, 1]
    for row in source:
        columns = [0] * 2 + [0, 0, 0, 1, 1] + [0] * 3  # The longer bar is on the right.
        np.testing.assert_array_equal(row['mask'], np.array([columns] * 4, bool))
        np.testing.assert_array_equal(row['pixels_valid'].sum(1), [5] * 4)
    source = TfdsSource('tiny_masks', size=(8, 10), fields=['label'], **options)
    assert set(source[0]) == {'image', 'frame', 'label'}


def pet(trimap):
    image = np.zeros((2, 3, 3), np.uint8)
    return {
        'image': image,
        'label': 5,
        'segmentation_mask': np.array(trimap)[..., None],
    }


def test_the_border_of_a_pet_does_not_count():
    pets = [pet([[1, 3, 2], [3, 3, 2]]), pet([[1, 2], [1, 2]])]
    with tfds.testing.mock_data(as_data_source_fn=lambda self, split, **_: pets):
        source = TfdsSource('oxford_iiit_pet', split='train', size=(4, 6))
    assert source.truth == ('label', 'mask', 'mask_ignored')
    assert len(source.class_names) == 37
    double = lambda rows: np.kron(rows, np.ones((2, 2))).astype(bool)
    row = source[0]
    np.testing.assert_array_equal(row['mask'], double([[1, 0, 0], [0, 0, 0]]))
    np.testing.assert_array_equal(row['mask_ignored'], double([[0, 1, 0], [1, 1, 0]]))
    with pytest.raises(UserError, match='the mask has 2 x 2 pixels, its picture 3 x 2'):
        source[1]


@pytest.mark.parametrize(
    ('name', 'classes', 'truth'),
    [
        ('caltech_birds2011', 200, ('boxes', 'boxes_valid', 'label', 'mask')),
        ('cars196', 196, ('boxes', 'boxes_valid', 'label')),
        ('oxford_flowers102', 102, ('label',)),
        ('imagenette', 10, ('label',)),
    ],
)
def test_sets_with_classes(name, classes, truth):
    with tfds.testing.mock_data(num_examples=2):
        source = TfdsSource(name, split='train', size=16)
    assert source.truth == truth
    assert len(source.class_names) == classes


def test_a_source_is_known_by_its_set_and_rows(prepared):
    get = lambda **more: TfdsSource('tiny_birds', data_dir=prepared, size=8, **more)
    train = get(split='train')
    assert train.digest.startswith('tiny_birds/1.0.0 train ')
    assert train.digest == get(split='train', method='nearest').digest
    owls = get(split='train', keep=lambda e: e['label'] == 1)
    assert owls.digest != train.digest

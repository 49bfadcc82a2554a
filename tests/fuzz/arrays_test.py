"""Files of arrays: annotations, digits, points found beforehand, features."""

import gzip
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kpdiscovery.data.files import folder, mnist
from kpdiscovery.data.files.multi_object_layout import decoded
from kpdiscovery.data.joined import detections, feature_files
from tests.data.files import tfrecord_writer
from tests.fuzz import mutations
from tests.fuzz.checks import cases, survives

NAMES = ('a.png', 'b.png', 'c.png')
ANNOTATIONS = {
    'files': np.array(NAMES),
    'keypoints': np.array([[[1, 2], [3, 1]], [[0, 0], [2, 2]], [[1, 1], [np.nan] * 2]]),
    'visible': np.array([[1, 1], [1, 0], [1, 0]], bool),
    'label': np.array([0, 1, 1]),
    'class_names': np.array(['wren', 'owl']),
    'keypoint_names': np.array(['beak', 'tail']),
    'boxes': np.array([[0, 0, 3, 3], [1, 1, 4, 3], [0, 1, 2, 2.5]]),
    'box_image': np.array([0, 1, 1]),
    'part_boxes': np.array([[0, 0, 2, 2], [1, 1, 3, 3.0]]),
    'part_label': np.array([0, 2]),
    'part_image': np.array([0, 2]),
    'masks': np.array(['m/a.png', '', '']),
    'split': np.array(['train', 'train', 'test']),
    'identity': np.array([1, 2, 2]),
    'video': np.array([0, 0, 1]),
}
DIGITS = {
    'train_images': np.zeros((3, 28, 28), np.uint8),
    'train_labels': np.arange(3),
    'test_images': np.zeros((2, 28, 28), np.uint8),
    'test_labels': np.arange(2),
}
POINTS = {
    'detector': np.array('sift'),
    'xy': np.ones((3, 2, 2), np.float32),
    'score': np.ones((3, 2), np.float32),
    'descriptors': np.ones((3, 2, 4), np.float32),
    'files': np.array(NAMES),
}
FEATURES = {
    'features': np.ones((3, 2, 2, 4), np.float16),
    'valid': np.ones((3, 2, 2), bool),
    'files': np.array(NAMES),
}


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A folder of three pictures and a mask, beside what is none of its business."""
    root = tmp_path_factory.mktemp('arrays') / 'pictures'
    (root / 'm').mkdir(parents=True)
    for name in (*NAMES, 'm/a.png', '../outside'):
        file = io.BytesIO()
        Image.new('L', (5, 4), 255).save(file, 'PNG')
        (root / name).write_bytes(file.getvalue())
    return root


@given(
    data=mutations.forged_npz(ANNOTATIONS),
    split=st.sampled_from(['all', 'train', 'test', 'validation']),
)
@cases(0.10)
def test_annotations(place, data, split):
    path = place / 'annotations.npz'
    path.write_bytes(data)
    source = survives(lambda: folder.Folder(place, size=4, split=split), place)
    if source is not None:
        rows = survives(lambda: [source[i] for i in range(len(source))], place)
        assert all(
            path.resolve().is_relative_to(place.resolve()) for path in source.paths
        )
        if 'keypoints' in source.truth:
            assert all(np.isfinite(row['keypoints']).all() for row in rows)
        if 'boxes' in source.truth:
            assert all(np.isfinite(row['boxes']).all() for row in rows)


@given(data=mutations.forged_npz(DIGITS))
@cases(0.05)
def test_digits(place, data):
    path = place / 'mnist.npz'
    path.write_bytes(data)
    survives(lambda: mnist.load_digits(path, 'train'), place)


def _idx(array):
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, '>u4').tobytes()
    return head + array.tobytes()


IDX = [_idx(DIGITS['train_images']), gzip.compress(_idx(DIGITS['train_images']))]


@given(data=mutations.damaged(IDX))
@cases(0.03)
def test_idx_files(place, data):
    (place / 'train-images-idx3-ubyte').write_bytes(data)
    (place / 'train-labels-idx1-ubyte').write_bytes(_idx(np.arange(3, dtype=np.uint8)))
    survives(lambda: mnist.load_digits(place, 'train'), place)


@given(data=mutations.forged_npz(POINTS))
@cases(0.07)
def test_points_found_beforehand(place, data):
    path = place / 'points.npz'
    path.write_bytes(data)
    found = survives(lambda: detections.load(path, rows=3, size=(4, 5)), place)
    survives(lambda: detections.detector_of(path), place)
    if found is not None:
        assert found.xy.shape == (3, 2, 2) and np.isfinite(found.xy).all()


@given(data=mutations.forged_npz(FEATURES))
@cases(0.06)
def test_features(place, data):
    path = place / 'train.npz'
    path.write_bytes(data)
    survives(lambda: feature_files.width(path), place)
    found = survives(lambda: feature_files.load(path), place)
    if found is not None:
        survives(
            lambda: [(found.read(i), found.valid(i)) for i in range(len(found))], place
        )


SCENE = tfrecord_writer.tetrominoes()
RECORDS = 3 * tfrecord_writer.record(SCENE)
SCENES = {
    'plain': lambda edits: mutations.edited(RECORDS, edits),
    'zipped': lambda edits: mutations.edited(gzip.compress(RECORDS), edits),
    # Whole records around what is damaged.
    'inside': lambda edits: 3 * tfrecord_writer.record(mutations.edited(SCENE, edits)),
}


@given(kind=st.sampled_from(list(SCENES)), edits=mutations.EDITS)
@cases(0.05)
def test_scenes(place, kind, edits):
    path = place / 'tetrominoes_train.tfrecords'
    path.write_bytes(SCENES[kind](edits))
    read = lambda: list(decoded(path, 'tetrominoes', (8, 8), 'stretch', 5))
    for scene in survives(read, place) or ():
        assert scene.picture[..., 3].max() <= scene.present <= 3

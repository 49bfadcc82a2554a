"""COCO of pictures with other numbers of keypoints."""

import numpy as np

from kpdiscovery.reporting import annotations
from kpdiscovery.types import Keypoints


def test_annotations_are_as_long_as_their_category():
    """Wide pictures have more keypoints than others."""
    points = lambda k: Keypoints(
        np.ones((k, 2)), np.ones(k), np.zeros(k, int), np.ones(k, bool)
    )
    found = [annotations.Found(f'{k}.png', (8, 8), points(k)) for k in (1, 3)]
    content = annotations.coco(found)
    (category,), (short, long) = content['categories'], content['annotations']
    assert len(category['keypoints']) == 3
    assert short['keypoints'] == [1.0, 1.0, 2] + [0] * 6
    assert short['labels'] == [0, -1, -1] and short['keypoint_scores'] == [1.0, 0, 0]
    assert short['num_keypoints'] == 1 and long['num_keypoints'] == 3


def test_likelihoods_of_deeplabcut_end_at_one(tmp_path):
    """Heights of heat maps may not."""
    label, valid = np.zeros(3, int), np.array([True, True, False])
    points = Keypoints(np.ones((3, 2)), np.array([1.25, 0.5, 9]), label, valid)
    annotations.write_deeplabcut(
        tmp_path / 'a.csv', [annotations.Found('1.png', (8, 8), points)]
    )
    row = (tmp_path / 'a.csv').read_text().splitlines()[-1].split(',')
    assert row[3::3] == ['1.0', '0.5', '']

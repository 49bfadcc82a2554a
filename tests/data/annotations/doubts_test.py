"""Annotations that can hardly be meant so: told, or refused where nothing is left."""

import re

import numpy as np
import pytest
from PIL import Image

from kpdiscovery.data.files.folder import Folder
from kpdiscovery.types import UserError

W, H = 64, 48
POINTS = np.tile(np.array([[10, 10], [50, 40]], np.float32), (3, 1, 1))
BOXES = np.tile(np.array([[8, 8, 40, 30]], np.float32), (3, 1))


def doubts(tmp_path, **arrays):
    for name in 'abc':
        Image.new('RGB', (W, H)).save(tmp_path / f'{name}.png')
    np.savez(tmp_path / 'annotations.npz', files=['a.png', 'b.png', 'c.png'], **arrays)
    return Folder(tmp_path, size=16).doubts


def changed(array, index, value):
    array = array.copy()
    array[index] = value
    return array


def test_what_fits_is_not_doubted(tmp_path):
    edge = changed(BOXES, 1, [0, 0, W, H])
    hidden = changed(POINTS, (1, 0), np.nan)
    assert doubts(tmp_path, keypoints=hidden, boxes=edge) == ()


@pytest.mark.parametrize(
    ('arrays', 'said'),
    [
        (
            {'keypoints': changed(POINTS, (1, 0), [1e4, 5])},
            r'1 of 6 lie outside .*\(10000, 5\) in b.png of 64 x 48',
        ),
        ({'keypoints': np.full((3, 2, 2), np.nan)}, 'none is annotated'),
        (
            {'keypoints': POINTS, 'visible': np.zeros((3, 2), bool)},
            'none is annotated',
        ),
        ({'keypoints': POINTS / [W, H]}, 'are they fractions'),
        ({'boxes': BOXES / [W, H, W, H]}, 'are they fractions'),
        (
            {'boxes': changed(BOXES, 2, [70, 8, 90, 30])},
            r'1 of 3 are empty or reach beyond .*\(70, 8, 90, 30\) in c.png',
        ),
        ({'boxes': changed(BOXES, 0, [8, 8, 8, 30])}, '1 of 3 are empty'),
        ({'boxes': 3 * BOXES}, '3 of 3 are empty or reach beyond'),
        (
            {'part_boxes': 3 * BOXES, 'part_label': [0, 0, 1]},
            'part_boxes: 3 of 3 are empty or reach',
        ),
    ],
)
def test_what_is_suspected_is_told(tmp_path, caplog, arrays, said):
    (line,) = doubts(tmp_path, **arrays)
    (record,) = [message for message in caplog.messages if line in message]
    assert re.search(said, record)


@pytest.mark.parametrize(
    ('arrays', 'said'),
    [
        (
            {'boxes': [[40, 30, 20, 10]] * 3},
            r"3 of 3 'boxes' .*x1 < x0 or y1 < y0, \(40, 30, 20, 10\).*width and height",
        ),
        ({'boxes': changed(BOXES, 1, np.nan)}, r"1 of 3 'boxes' .*nan"),
        (
            {'part_boxes': [[40, 30, 20, 10]] * 3, 'part_label': [0, 1, 2]},
            "'part_boxes' .*x1 < x0",
        ),
        ({'keypoints': POINTS + 100}, 'keypoints: none lies in its picture'),
        ({'boxes': BOXES + 100}, 'boxes: none covers a part of its picture'),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, arrays, said):
    with pytest.raises(UserError, match=said):
        doubts(tmp_path, **arrays)

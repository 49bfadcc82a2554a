"""Crops around the object: pictures, maps, points and boxes move together."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.data.generated import crops
from kpdiscovery.data.generated.critters import critters


@pytest.fixture
def row():
    """A white square of 8 px with its corner pixels at (10, 12) and (17, 19)."""
    image = np.zeros((40, 40, 3), np.uint8)
    image[12:20, 10:18] = 255
    return {
        'image': image,
        'mask': image[..., 0] > 0,
        'keypoints': np.float32([[10, 12], [17, 19], [0, 0]]),
        'visible': np.array([True, False, True]),
        'boxes': np.float32([[9.5, 11.5, 17.5, 19.5]]),
        'boxes_valid': np.array([True]),
        'label': np.int32(3),
    }


def crop(row, **options):
    return jax.jit(functools.partial(crops.crop_row, **options))(row)


def test_box_fills_what_the_margin_leaves(row):
    """Side 8 with half of it free on either side is 16 px, drawn 32: twice as large."""
    new = crop(row, size=32, margin=0.5)
    np.testing.assert_allclose(new['boxes'], [[7.5, 7.5, 23.5, 23.5]], atol=1e-4)
    np.testing.assert_allclose(
        new['keypoints'][:2], [[8.5, 8.5], [22.5, 22.5]], atol=1e-4
    )
    np.testing.assert_array_equal(new['visible'], [True, False, False])
    want = np.zeros((32, 32), bool)
    want[8:24, 8:24] = True
    np.testing.assert_array_equal(new['mask'], want)
    inside, outside = np.asarray(new['image'])[9:23, 9:23], np.asarray(new['image'])[:7]
    assert (inside == 255).all() and (outside == 0).all()
    assert new['image'].dtype == jnp.uint8 and new['label'] == 3


def test_boxes_of_parts_follow(row):
    boxes = np.float32([[9.5, 11.5, 13.5, 15.5], [-1, -1, -1, -1]])
    new = crop(
        {**row, 'part_boxes': boxes, 'part_label': np.array([4, -1])},
        size=32, margin=0.5,
    )  # fmt: skip
    wanted = [[7.5, 7.5, 15.5, 15.5], [-1, -1, -1, -1]]
    np.testing.assert_allclose(new['part_boxes'], wanted, atol=1e-4)


def test_object_that_cannot_be_seen_leaves_the_whole_picture(row):
    new = crop({**row, 'boxes_valid': np.array([False])}, size=40, margin=0.1)
    np.testing.assert_array_equal(new['image'], row['image'])
    np.testing.assert_allclose(new['keypoints'], row['keypoints'], atol=1e-5)
    assert (new['boxes'] == -1).all()


def test_box_beyond_the_border(row):
    far = {**row, 'boxes': np.float32([[-30, -30, -20, -20]])}
    new = crop(far, size=16, margin=0.1)
    assert (new['image'] == 0).all() and not new['visible'].any()


def test_critters_are_cropped_row_by_row():
    whole = critters(split='validation', size=crops.drawn_size(32), length=3)
    source = crops.crop_to_object(whole, size=32, margin=0.1)
    batch, one = source.batch([0, 1, 2]), source[2]
    assert batch['image'].shape == (3, 32, 32, 3) and len(source) == 3
    np.testing.assert_allclose(batch['keypoints'][2], one['keypoints'], atol=1e-4)
    longest = (batch['boxes'][:, 0, 2:] - batch['boxes'][:, 0, :2]).max(-1)
    np.testing.assert_allclose(longest, 32 / 1.2, atol=1e-3)
    assert set(source.truth) == set(whole.truth)

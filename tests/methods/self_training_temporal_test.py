"""Second views of a later frame: points follow the optical flow."""

import dataclasses

import jax
import numpy as np
import pytest

from kpdiscovery.methods.self_training import SelfTraining
from kpdiscovery.methods.self_training.augmentation import Augmentation
from kpdiscovery.methods.self_training.correspond import Rules, make_views

STILL = Augmentation(
    scale_low=1, scale_high=1, translation=0, rotation=0, flip=0.0, contrast_low=1,
    contrast_high=1, brightness_low=1, brightness_high=1, noise=0, blur=0, color=0,
)  # fmt: skip
QUIET = Rules()
HEIGHT, WIDTH, STRIDE = 24, 32, 4
CELLS = np.float32([[1, 1], [3, 2], [6, 4]])  # Of picture 0; of picture 1 shifted.


@pytest.fixture
def batch(rng):
    pictures = rng.integers(0, 256, (2, 2, HEIGHT, WIDTH, 3), np.uint8)
    flow = np.zeros((2, HEIGHT, WIDTH, 2), np.float32)
    return {'image': pictures[0], 'later': pictures[1], 'flow': flow,
            'index': np.array([1, 0], np.int32)}  # fmt: skip


@pytest.fixture
def table():
    """Of rows 0 and 1; the batch has them the other way round."""
    label = np.int32([[5, 6, 7], [0, 1, 2]])
    return {'xy': np.stack([CELLS + [1, 0], CELLS]), 'label': label,
            'mirror': label + 10}  # fmt: skip


_views = jax.jit(make_views, static_argnums=(0, 1))


def views(batch, table, rules=QUIET, augmentation=STILL, seed=0):
    method = SelfTraining(augmentation=augmentation)
    return _views(method, rules, jax.random.key(seed), batch, table)


def test_points_follow_the_flow_into_the_later_picture(batch, table):
    batch['flow'][0] = (4, -4)  # A cell to the right and one up.
    found = views(batch, table)
    np.testing.assert_allclose(found.image[:, 0] * 255, batch['image'], atol=1e-2)
    np.testing.assert_allclose(found.image[:, 1] * 255, batch['later'], atol=1e-2)
    np.testing.assert_array_equal(found.cells[0], np.stack([CELLS, CELLS + [1, -1]]))
    np.testing.assert_array_equal(found.cells[1], np.stack([CELLS + [1, 0]] * 2))
    np.testing.assert_array_equal(found.label, [[[0, 1, 2]] * 2, [[5, 6, 7]] * 2])


def test_flow_is_read_between_pixels(batch, table):
    """The middle of cell 1 is pixel 5.5: the mean of the flow at pixels 5 and 6."""
    batch['flow'][0, :, 5, 0], batch['flow'][0, :, 6, 0] = 0.0, 8.0
    found = views(batch, table)
    np.testing.assert_array_equal(found.cells[0, 1], CELLS + [[1, 0], [0, 0], [0, 0]])


def test_points_that_leave_the_later_picture_lose_their_label(batch, table):
    # Cell (6, 4) is pixel (25.5, 17.5); the picture ends at 31.5.
    batch['flow'][0] = (6.5, 0)
    assert views(batch, table).label[0, 1].tolist() == [0, 1, -1]
    batch['flow'][0] = (5.5, 0)
    assert views(batch, table).label[0, 1].tolist() == [0, 1, 2]


def test_lost_points_have_no_mirror_label_either(batch, table):
    batch['flow'][:] = (100, 0)
    always = dataclasses.replace(STILL, flip=1.0)
    found = views(batch, table, Rules(flip=True), always)
    np.testing.assert_array_equal(found.label[:, 0], [[10, 11, 12], [15, 16, 17]])
    assert (found.label[:, 1] == -1).all()


def test_still_pairs_are_views_of_one_picture(batch, table):
    turning = dataclasses.replace(STILL, rotation=40.0, translation=0.05)
    batch['later'] = batch['image']
    alone = {name: batch[name] for name in ('image', 'index')}
    for seed in range(3):
        pair, single = (views(b, table, augmentation=turning, seed=seed)
                        for b in (batch, alone))  # fmt: skip
        jax.tree.map(np.testing.assert_array_equal, pair, single)


def test_the_view_warps_what_the_flow_moved(batch, table):
    """Chapter 6 mirrors: the moved point is mirrored in the view, not before."""
    batch['flow'][0] = (4, 0)
    always = dataclasses.replace(STILL, flip=1.0)
    found = views(batch, table, Rules(flip=True), always)
    last = WIDTH // STRIDE - 1
    want = np.stack([last - (CELLS[:, 0] + 1), CELLS[:, 1]], axis=-1)
    np.testing.assert_array_equal(found.cells[0, 1], want)


def test_other_pictures_of_chapter_five_are_later_ones_too(batch, table):
    batch['flow'][:] = (0, -4)
    found = views(batch, table, Rules(others=1.0, across=True))
    np.testing.assert_allclose(found.image[0, 1] * 255, batch['later'][1], atol=1e-2)
    np.testing.assert_array_equal(found.cells[0, 1], CELLS + [1, -1])
    np.testing.assert_array_equal(found.label[0, 1], [5, 6, 7])

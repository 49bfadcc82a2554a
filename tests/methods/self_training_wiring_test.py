"""What a sweep or a phase hands on to the next, of maps that are given: no network is run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery import config, methods
from kpdiscovery.methods.self_training import (
    SelfTraining,
    correspond,
    label_tables,
    landmarks,
    network,
)
from kpdiscovery.methods.self_training.augmentation import Augmentation, View
from kpdiscovery.methods.self_training.correspond import Rules
from kpdiscovery.types import State

STATE = State(jnp.zeros((), jnp.int32), {}, {})
IMAGES = np.zeros((2, 32, 32, 3), np.float32)


@pytest.mark.parametrize('start', ['points', 'clusters'])
def test_points_that_another_run_gave_stay_through_the_rounds(monkeypatch, start):
    """A detector that finds nothing loses none of them; generic points are not kept."""
    maps = network.Maps(jnp.zeros((2, 8, 8)), jnp.ones((2, 8, 8, 4)))
    monkeypatch.setattr(network, 'stage_one', lambda *unused: maps)
    method = SelfTraining(num_keypoints=2, num_points=3, start=start)
    xy = jnp.tile(jnp.array([[1.0, 1], [6, 5], [3, 3]]), (2, 1, 1))
    label = jnp.tile(jnp.array([0, 1, -1]), (2, 1))
    labels = {'xy': xy, 'score': jnp.ones((2, 3)), 'label': label, 'landmark': label}
    rows = label_tables.describe(method, STATE, {'image': IMAGES}, labels)
    kept = start == 'clusters'
    np.testing.assert_array_equal(rows['valid'].sum(axis=1), 2 if kept else 0)
    if kept:
        np.testing.assert_allclose(rows['xy'][:, :2], xy[:, :2])
        np.testing.assert_array_equal(rows['before'][:, :2], label[:, :2])


@pytest.mark.parametrize('side', [64, 256])
def test_channels_meet_at_a_distance_that_is_a_share_of_the_picture(monkeypatch, side):
    """1.425 of 64 cells, whatever the maps: two cells of 64 apart is too far, one not."""
    cells = side // network.STRIDE
    near, far = cells // 2 + cells / 64, cells // 2 + cells / 32
    peaks = jnp.array([[cells // 2, 3.0], [near, 3], [far, 3]])[None]
    monkeypatch.setattr(network, 'peaks', lambda maps: (peaks, jnp.ones((1, 3))))
    monkeypatch.setattr(landmarks, 'landmark_maps', lambda *unused: None)
    method = SelfTraining(chapter=5)
    batch = {'image': jnp.zeros((1, side, side, 3))}
    rows = landmarks._see_channels(method, STATE, batch, {})
    meet, _ = landmarks._meetings(rows['peak'], rows['sure'], method.merge_distance)
    np.testing.assert_array_equal(meet[0], [1, 1, 0])


def test_stage_two_goes_on_with_the_trunk_of_stage_one():
    chosen = config.load('self_training/critters:smoke')
    method = methods.build(chosen.method)
    first, _, last = method.phases(chosen.to_dict())
    batch, key = {'image': IMAGES, 'index': np.arange(2)}, jax.random.key(0)
    before = jax.jit(first.init)(key, batch, None)
    after = jax.jit(last.init)(jax.random.key(1), batch, before)
    equal = lambda a, b: jax.tree.map(np.testing.assert_array_equal, a, b)
    equal(after.variables['trunk'], before.variables['trunk'])
    kept, head = (dict(state.variables[name])
                  for state, name in ((before, 'descriptor'), (after, 'landmarks')))  # fmt: skip
    assert kept.pop('last').keys() == head.pop('last').keys()
    equal(head, kept)


@pytest.mark.parametrize('chapter', [5, 6])
def test_stage_two_learns_from_labels_of_all_of_stage_one(chapter):
    """The last round's network labels once more; generic points have no end to see."""
    method = SelfTraining(chapter=chapter)
    assert label_tables.from_network(method, 10).at_end
    assert not label_tables.from_generic(method, 10).at_end


def test_a_picture_twice_in_a_batch_is_seen_in_two_ways(monkeypatch):
    """And the others as in any batch: views are a function of the picture and the step."""
    lit = lambda self, key, image, xy, flipped: View(
        image + jax.random.uniform(key), xy
    )
    monkeypatch.setattr(Augmentation, 'view', lit)
    method, key = SelfTraining(num_keypoints=2, num_points=3), jax.random.key(0)
    blank = dict.fromkeys(
        ('label', 'mirror', 'landmark', 'score'), jnp.zeros((2, 3), int)
    )
    labels = {'xy': jnp.ones((2, 3, 2)), **blank}

    def views(*index):
        images = jnp.zeros((len(index), 32, 32, 3))
        batch = {'image': images, 'index': jnp.array(index)}
        pair = correspond.make_views(method, Rules(), key, batch, labels).image
        single = landmarks.make_views(method, None, key, batch, labels)[0]
        return pair[..., 0, 0, 0], single[..., 0, 0, 0]

    for once, often in zip(views(0, 1), views(1, 0, 1, 1), strict=True):
        np.testing.assert_allclose(often[:2], once[::-1])
        assert len(np.unique(often)) == often.size

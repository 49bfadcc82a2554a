"""Chapter 4's distillation: maps of many views, brought back and averaged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.methods.self_training import SelfTraining, network, rounds
from kpdiscovery.methods.self_training.augmentation import Augmentation
from kpdiscovery.types import State

SIDE = 64
METHOD = SelfTraining(
    chapter=4, num_keypoints=2, num_points=4, threshold=0.3, half=2, distill_views=6,
    augmentation=Augmentation(rotation=20.0, translation=0.1, scale_low=0.9,
                              scale_high=1.1, flip=0.5, cutout=0.0),
)  # fmt: skip


def brightness(size, variables, images):
    """A detector that follows every warp: the light of a cell's 4 x 4 pixels."""
    del size, variables
    b, h, w, _ = images.shape
    return images.mean(-1).reshape(b, h // 4, 4, w // 4, 4).mean((2, 4))


@pytest.fixture
def batch(rng):
    """Two soft spots a picture, well inside."""
    y, x = np.mgrid[:SIDE, :SIDE]
    places = rng.uniform(20, 44, (3, 2, 2))
    spots = [
        sum(np.exp(-((x - a) ** 2 + (y - b) ** 2) / 60) for a, b in pair)
        for pair in places
    ]
    images = np.stack([np.clip(s, 0, 1)[..., None].repeat(3, -1) for s in spots])
    return {'image': images.astype(np.float32), 'index': np.arange(3, dtype=np.int32)}


def test_views_of_a_detector_that_follows_agree(batch, monkeypatch):
    monkeypatch.setattr(network, 'scores', brightness)
    own = brightness(None, None, batch['image'])
    got = rounds._average(METHOD, {}, batch, jnp.asarray(batch['image']), own)
    inner = np.s_[:, 3:-3, 3:-3]
    np.testing.assert_allclose(got[inner], own[inner], atol=0.1)
    assert np.abs(got - own).max() > 1e-3


def test_what_one_view_alone_sees_is_averaged_away(batch, monkeypatch):
    """A false point at one place of every view's map is elsewhere in the picture's."""

    def fooled(*arguments):
        return brightness(*arguments).at[:, 4, 4].add(1.0)

    monkeypatch.setattr(network, 'scores', fooled)
    batch['image'] = jnp.zeros_like(batch['image'])
    own = fooled(None, None, batch['image'])
    got = rounds._average(METHOD, {}, batch, batch['image'], own)
    assert own.max() == 1 and got.max() < 0.6
    np.testing.assert_allclose(got.sum() / own.sum(), 1, atol=0.35)


@pytest.mark.parametrize('distill', [False, True])
def test_the_teachers_points_are_the_spots(batch, monkeypatch, distill):
    monkeypatch.setattr(network, 'scores', brightness)
    state = State(jnp.int32(0), {'teacher': {}}, {})
    labels = {'xy': jnp.zeros((3, 4, 2)), 'label': jnp.full((3, 4), -1)}
    ask = jax.jit(
        lambda b: rounds._ask_teacher(METHOD, state, b, labels, distill=distill)
    )
    rows = ask(batch)
    light = brightness(None, None, jnp.asarray(batch['image']))
    for row in range(3):
        x, y = np.asarray(rows['xy'][row, 0]).round().astype(int)
        assert light[row, y, x] > 0.85 * light[row].max()
    assert (rows['before'] == -1).all() and rows['valid'][:, 0].all()

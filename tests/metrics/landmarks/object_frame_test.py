import numpy as np
import pytest

from kpdiscovery import metrics
from kpdiscovery.metrics.landmarks import object_frame
from kpdiscovery.types import Unmeasurable

FACE = np.array([[30, 30], [50, 30], [40, 42], [32, 52], [48, 52]], float)


def faces(rng, n=40):
    """Annotated points moved by random similarities, and those maps."""
    turn = np.eye(2) * rng.uniform(0.8, 1.2, (n, 1, 1))
    shift = rng.uniform(-15, 15, (n, 1, 2))
    return (FACE - 40) @ turn + 40 + shift, turn, shift


@pytest.fixture
def make(split, rng):
    def build(xy, points, label=None, visible=None, **more):
        visible = np.ones(points.shape[:2], bool) if visible is None else visible
        truth = {'keypoints': points.astype(np.float32), 'visible': visible}
        if label is None:
            label = np.tile(np.arange(xy.shape[1]), (len(xy), 1))
        return split(truth, xy, label, size=(80, 80), **more)

    return build


def frame(test):
    return metrics.object_frame(test, test)


def test_points_of_the_object_do_not_move_on_it(make, rng):
    points, turn, shift = faces(rng)
    xy = (np.array([[35.0, 35], [45, 50]]) - 40) @ turn + 40 + shift
    got = frame(make(xy, points))
    assert got['label_spread'] > 8 and got['label_spread_object'] < 0.01
    assert got['on_object'] == 100


def test_points_of_the_picture_move_on_the_object(make, rng):
    points, *_ = faces(rng, 200)
    xy = np.tile([[10.0, 10], [40, 40]], (200, 1, 1))
    got = frame(make(xy, points))
    assert got['label_spread'] == pytest.approx(0, abs=1e-6)
    assert got['label_spread_object'] > 8
    assert got['on_object'] < 100 > got['on_object_chance']


def test_by_hand(make):
    """The object moves by 10 px; one point goes with it, one stays, weights 3 to 1."""
    points = np.stack([FACE - [5, 0], FACE + [5, 0]])
    xy = np.array([[[35, 30], [40, 40]], [[45, 30], [40, 40]]], float)
    got = frame(make(xy, points, num_labels=2))
    percent = 100 / 80
    assert got['label_spread'] == pytest.approx(percent * (5 + 0) / 2)
    assert got['label_spread_object'] == pytest.approx(percent * (0 + 5) / 2, abs=1e-4)
    high, wide = 22 * 1.2, 20 + 22 * 0.2  # A tenth of the longer side around.
    assert got['on_object_chance'] == pytest.approx(100 * high * wide / 80**2)
    same = frame(make(xy, points, label=[[0, 0], [0, 0]]))
    assert same['label_spread_object'] == pytest.approx(same['label_spread'], rel=0.5)


def test_random_points_of_faces_that_no_map_explains_do_not_shrink(make, rng):
    """Uniform in the picture, they follow nothing: on the object they are as far apart."""
    points, *_ = faces(rng, 300)
    points = points + 6 * rng.normal(size=points.shape)
    xy = rng.uniform(10, 70, (300, 3, 2))
    got = frame(make(xy, points))
    assert got['label_spread_object'] > got['label_spread']


def test_the_frame_is_as_large_as_the_faces(rng):
    """And not smaller after each round."""
    points, *_ = faces(rng, 300)
    points = points + 6 * rng.normal(size=points.shape)
    maps, told = object_frame._maps_to_mean(points, np.ones((300, 5), bool))
    moved = np.einsum('nki,nij->nkj', object_frame._with_one(points), maps)
    moved = moved[told].mean(axis=0)
    assert np.ptp(moved, axis=0) == pytest.approx([20, 22], rel=0.25)


def test_uniform_points_meet_chance(make, rng):
    points, *_ = faces(rng, 500)
    got = frame(make(rng.uniform(0, 79, (500, 6, 2)), points))
    assert got['on_object'] == pytest.approx(got['on_object_chance'], abs=3)


def test_hidden_points_and_what_does_not_count(make, rng):
    points, turn, shift = faces(rng)
    visible = rng.random(points.shape[:2]) < 0.8
    xy = (np.array([[35.0, 35]]) - 40) @ turn + 40 + shift
    points[~visible] = 1e6
    assert frame(make(xy, points, visible=visible))['label_spread_object'] < 0.01
    two = np.concatenate([xy, rng.uniform(0, 79, xy.shape)], axis=1)
    valid = np.tile([True, False], (len(xy), 1))
    got = frame(make(two, points, valid=valid, visible=visible))
    assert got['label_spread_object'] < 0.01


def test_nothing_to_measure(make):
    line = np.tile([[10.0, 10], [20, 20], [30, 30]], (3, 1, 1))
    xy = np.zeros((3, 1, 2))
    with pytest.raises(Unmeasurable, match='three visible points'):
        frame(make(xy, line))
    with pytest.raises(Unmeasurable, match='three visible points'):
        frame(make(xy, np.stack([FACE] * 3), visible=np.zeros((3, 5), bool)))
    with pytest.raises(Unmeasurable, match='occurs twice'):
        frame(make(xy, np.stack([FACE] * 3), label=[[0], [1], [2]]))
    with pytest.raises(Unmeasurable, match='one object'):
        frame(make(xy, np.zeros((3, 2, 5, 2))))

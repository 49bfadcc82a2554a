import numpy as np
import pytest

from kpdiscovery import metrics

SIZE = (200, 300)  # Reach 20 px.
POINTS = np.array([[[50.0, 50], [150, 50]], [[50, 150], [250, 150]]])


def test_the_shorter_side_counts():
    found = POINTS + np.array([[[20, 0], [20.001, 0]], [[0, -20], [12, 16]]])
    got = metrics.greedy_pck(found, POINTS, SIZE)
    np.testing.assert_array_equal(got.per_landmark, [100, 50])
    assert got.mean == 75
    sizes = np.array([SIZE, (190, 500)])
    assert metrics.greedy_pck(found, POINTS, sizes).mean == 25


def test_readings_differ_where_points_pile_up():
    found = np.tile(POINTS[:, :1], (1, 3, 1)) + np.array([[[9, 0], [3, 0], [-9, 0]]])
    assert metrics.greedy_pck(found, POINTS, SIZE).mean == 100
    got = metrics.greedy_pck(found, POINTS, SIZE, reading='one-to-one')
    np.testing.assert_array_equal(got.per_landmark, [0, 100, 0])  # The nearest.


def test_nearest_pair_first():
    # Point 1 is nearest to annotation 0, so point 0 is left with annotation 1.
    annotated = np.array([[[100.0, 100], [118, 100]]])
    found = np.array([[[103.0, 100], [101, 100], [119, 119]]])
    got = metrics.greedy_pck(found, annotated, SIZE, reading='one-to-one')
    np.testing.assert_array_equal(got.per_landmark, [100, 100, 0])


def test_missing_points_are_wrong_and_hidden_annotations_do_not_count():
    valid = np.array([[True, False], [True, True]])
    visible = np.array([[True, True], [True, False]])
    for reading in ('any', 'one-to-one'):
        measure = lambda *masks, way=reading: metrics.greedy_pck(
            POINTS, POINTS, SIZE, *masks, reading=way
        )
        np.testing.assert_array_equal(measure(valid).per_landmark, [100, 50])
        np.testing.assert_array_equal(measure(None, visible).per_landmark, [100, 50])
        visible[1] = False  # A picture without annotations does not count.
        assert measure(None, visible).mean == 100
        visible[1, 0] = True
    unused = np.where(valid[..., None], POINTS, np.nan)
    assert metrics.greedy_pck(unused, POINTS, SIZE, valid).mean == 75


def test_one_to_one_is_never_more(rng):
    found, truth = rng.uniform(0, 200, (30, 5, 2)), rng.uniform(0, 200, (30, 7, 2))
    free = metrics.greedy_pck(found, truth, SIZE)
    bound = metrics.greedy_pck(found, truth, SIZE, reading='one-to-one')
    assert (bound.per_landmark <= free.per_landmark).all() and bound.mean > 0
    order = rng.permutation(7)
    shuffled = metrics.greedy_pck(found, truth[:, order], SIZE, reading='one-to-one')
    np.testing.assert_array_equal(shuffled.per_landmark, bound.per_landmark)
    turned = metrics.greedy_pck(found[:, ::-1], truth, SIZE)
    np.testing.assert_array_equal(turned.per_landmark, free.per_landmark[::-1])


def test_chance_is_the_area_within_reach():
    annotated, boxes = np.full((400, 1, 2), 50.0), np.tile([0.0, 0, 100, 100], (400, 1))
    got = metrics.random_greedy_pck(annotated, boxes, SIZE, num_points=5)
    assert got.per_landmark.shape == (5,)
    assert got.mean == pytest.approx(100 * np.pi * 20**2 / 100**2, abs=1)
    again = metrics.random_greedy_pck(annotated, boxes, SIZE, num_points=5)
    assert again.mean == got.mean
    once = metrics.random_greedy_pck(
        annotated, boxes, SIZE, num_points=5, reading='one-to-one', draws=2
    )
    # One point at most of five: the chance that any is there, shared by five.
    want = 100 * (1 - (1 - np.pi / 25) ** 5) / 5
    assert once.mean == pytest.approx(want, abs=1)


def test_bad_input():
    with pytest.raises(ValueError, match=r"got 'best'"):
        metrics.greedy_pck(POINTS, POINTS, SIZE, reading='best')
    for size, alpha in (((200, 300, 3), 0.1), ((0, 300), 0.1), (SIZE, 0)):
        with pytest.raises(ValueError, match='image_size'):
            metrics.greedy_pck(POINTS, POINTS, size, alpha=alpha)
    with pytest.raises(ValueError, match='visible points, got none in 2 pictures'):
        metrics.greedy_pck(POINTS, POINTS, SIZE, None, np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r'got \(1, 2, 2\) and \(2, 2, 2\)'):
        metrics.greedy_pck(POINTS[:1], POINTS, SIZE)
    with pytest.raises(ValueError, match=r'boxes \[2, 4\], got \(1, 4\)'):
        metrics.random_greedy_pck(POINTS, np.ones((1, 4)), SIZE, num_points=5)
    with pytest.raises(ValueError, match='got 0 and 10'):
        metrics.random_greedy_pck(POINTS, np.ones((2, 4)), SIZE, num_points=0)

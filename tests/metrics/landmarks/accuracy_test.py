import itertools

import numpy as np
import pytest

from kpdiscovery import metrics
from kpdiscovery.metrics import Landmarks

TRUTH = np.array([[[0.0, 0], [100, 0], [0, 100]], [[10, 0], [90, 0], [0, 90]]])


def test_pck_by_hand():
    gap = np.array([[[3.0, 4], [0, 0], [6, 0]], [[0, 0], [0, 9], [0, 0]]])
    # Reach 5 and 8: picture 0 has 5 (just), 0, 6; picture 1 has 0, 9, 0.
    got = metrics.pck(TRUTH + gap, TRUTH, [10, 16], alpha=0.5)
    np.testing.assert_allclose(got.per_landmark, [100, 50, 50])
    assert got.mean == pytest.approx(100 * 4 / 6)
    valid, visible = np.ones((2, 3), bool), np.ones((2, 3), bool)
    valid[1, 2], visible[0, 1], visible[:, 0] = False, False, False
    got = metrics.pck(TRUTH + gap, TRUTH, [10, 16], valid, visible, alpha=0.5)
    np.testing.assert_allclose(got.per_landmark, [np.nan, 0, 0])
    assert got.mean == 0
    nothing = metrics.pck(TRUTH, TRUTH, 1, np.zeros((2, 3)), alpha=0.5)
    assert nothing.mean == 0


def test_pck_with_a_torso_does_not_depend_on_size():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 256, (40, 13, 2))
    found = truth + rng.normal(0, 30, truth.shape)
    torso, usable = metrics.joint_distance(truth, joints=(3, 8))
    want = metrics.pck(found, truth, torso, alpha=0.3)
    gap = np.linalg.norm(found - truth, axis=-1)
    near = gap[usable] <= 0.3 * torso[usable, None]
    assert want.mean == pytest.approx(100 * near.mean())
    assert 0 < want.mean < 100
    double, _ = metrics.joint_distance(2 * truth, joints=(3, 8))
    assert metrics.pck(2 * found, 2 * truth, double, alpha=0.3).mean == want.mean
    exact = metrics.pck(truth[:1], truth[:1], 1, alpha=0.1)
    assert exact.mean == 100


def test_hungarian_of_the_reference():
    cost = np.array([[0.1, 0.2, 0.9], [0.15, 0.6, 0.8]])  # Nearest would give 0, 0.
    pairs = list(np.ndindex(2, 3))  # A picture each, the pair as far apart as it costs.
    valid = np.array([np.arange(2) == k for k, _ in pairs])
    visible = np.array([np.arange(3) == t for _, t in pairs])
    points = np.zeros((6, 3, 2))
    points[..., 0] = cost.reshape(6, 1)
    sets = Landmarks(np.zeros((6, 2, 2)), points, valid, visible)
    got = metrics.match_landmarks(sets, missing=1.0)
    np.testing.assert_array_equal(got, [1, 0, -1])


def test_matching_is_the_best_of_all():
    rng = np.random.default_rng(1)
    found, points = rng.uniform(size=(30, 5, 2)), rng.uniform(size=(30, 4, 2))
    valid, visible = rng.uniform(size=(30, 5)) < 0.9, rng.uniform(size=(30, 4)) < 0.7
    valid[:9, 0] = False  # Missing too often.

    def cost(k, t):
        both = valid[:, k] & visible[:, t]
        return np.linalg.norm(found[both, k] - points[both, t], axis=-1).mean()

    orders = itertools.permutations(range(1, 5))
    want = min(orders, key=lambda p: sum(cost(k, t) for t, k in enumerate(p)))
    got = metrics.match_landmarks(Landmarks(found, points, valid, visible))
    np.testing.assert_array_equal(got, want)


def test_accuracy_matches_on_fit_and_measures_on_test():
    order = [2, 0, 3, 1]  # Landmark order[t] is at point t, number 4 elsewhere.
    rng = np.random.default_rng(2)
    points = rng.uniform(0, 256, (50, 4, 2))
    found = np.full((50, 5, 2), 500.0)
    found[:, order] = points + rng.normal(0, 2, points.shape)
    fit, test = (Landmarks(found[s], points[s]) for s in (slice(40), slice(40, 50)))
    moved = test.predicted.copy()
    moved[:3, order[1]] += 13  # Three of ten are off.
    valid = np.ones((10, 5), bool)
    valid[0, order[2]] = False  # Not found is missed.
    visible = np.ones((10, 4), bool)
    visible[0, 1] = False  # One of the three does not count.
    test = Landmarks(moved, test.annotated, valid, visible)
    got = metrics.point_accuracy(fit, test, distance=12)
    np.testing.assert_allclose(got.per_landmark, [100, 700 / 9, 90, 100])
    assert got.mean == pytest.approx(100 * 36 / 39)
    mixed = [3, 1, 4, 0, 2]
    change = lambda v: v._replace(predicted=v.predicted[:, mixed])
    test = change(test)._replace(valid=valid[:, mixed])
    again = metrics.point_accuracy(change(fit), test, distance=12)
    np.testing.assert_allclose(again.per_landmark, got.per_landmark)


def test_fewer_landmarks_than_points():
    fit = Landmarks(TRUTH[:, 1:2], TRUTH)
    got = metrics.point_accuracy(fit, fit, distance=1)
    np.testing.assert_array_equal(got.per_landmark, [0, 100, 0])
    never = Landmarks(TRUTH, TRUTH, visible=np.tile([True, False, True], (2, 1)))
    np.testing.assert_array_equal(metrics.match_landmarks(never), [0, -1, 2])


def test_identical_points_match_one_to_one():
    same = Landmarks(np.zeros((1, 3, 2)), np.zeros((1, 3, 2)))
    assert sorted(metrics.match_landmarks(same)) == [0, 1, 2]
    assert metrics.point_accuracy(same, same, distance=1).mean == 100


def test_precision_recall_by_hand():
    found = np.array([[[0, 3], [0, 4], [100, 9], [50, 50]]] * 2)
    valid = np.array([[True] * 4, [True, False, False, False]])
    # Picture 0: one of two near point 0 counts, 9 is out of reach; picture 1: one.
    got = metrics.precision_recall(found, TRUTH, valid, distance=8)
    want = {'precision': 1 / 5, 'recall': 1 / 6, 'f_score': 2 / 11}
    assert got == pytest.approx(want)
    visible = np.array([[True, False, False], [True, False, False]])
    got = metrics.precision_recall(found, TRUTH, valid, visible, distance=12)
    want = {'precision': 2 / 5, 'recall': 1, 'f_score': 4 / 7}
    assert got == pytest.approx(want)
    nothing = metrics.precision_recall(found, TRUTH, np.zeros((2, 4)), distance=8)
    assert set(nothing.values()) == {0.0}


def test_as_many_pairs_as_possible():
    # Nearest pairing, or least total distance, would leave one pair: 1-2 and 0-10.
    found, points = np.array([[[0.0, 0], [4, 0]]]), np.array([[[3.0, 0], [9, 0]]])
    got = metrics.precision_recall(found, points, distance=5)
    assert got['recall'] == 1
    far = np.concatenate([found, np.full((1, 9, 2), 999.0)], axis=1)
    assert metrics.precision_recall(far, points, distance=5)['recall'] == 1


def test_precision_recall_does_not_depend_on_order_and_turns():
    rng = np.random.default_rng(3)
    found, points = rng.uniform(0, 60, (20, 9, 2)), rng.uniform(0, 60, (20, 6, 2))
    valid, visible = rng.uniform(size=(20, 9)) < 0.5, rng.uniform(size=(20, 6)) < 0.8
    want = metrics.precision_recall(found, points, valid, visible, distance=8)
    got = metrics.precision_recall(
        found[:, ::-1], points[:, ::-1], valid[:, ::-1], visible[:, ::-1], distance=8
    )
    assert got == want
    turned = metrics.precision_recall(points, found, visible, valid, distance=8)
    assert turned['precision'] == want['recall']
    assert turned['recall'] == want['precision']
    garbage = np.where(valid[..., None], found, np.nan)
    got = metrics.precision_recall(garbage, points, valid, visible, distance=8)
    assert got == want


def test_bad_input():
    with pytest.raises(ValueError, match=r'got \(2, 2\) and \(2, 3\)'):
        metrics.pck(TRUTH[:, :2], TRUTH, 1, alpha=0.1)
    with pytest.raises(ValueError, match='alpha > 0 and visible points, got 0'):
        metrics.pck(TRUTH, TRUTH, 1, alpha=0)
    with pytest.raises(ValueError, match='normalizer > 0'):
        metrics.pck(TRUTH, TRUTH, 0, alpha=0.1)
    with pytest.raises(ValueError, match='got 0.1 and 0 points'):
        metrics.pck(TRUTH, TRUTH, 1, None, np.zeros((2, 3)), alpha=0.1)
    with pytest.raises(ValueError, match='got 5 and 0 points'):
        metrics.precision_recall(TRUTH, TRUTH, None, np.zeros((2, 3)), distance=5)
    with pytest.raises(ValueError, match='got -1 and 6 points'):
        metrics.precision_recall(TRUTH, TRUTH, distance=-1)
    with pytest.raises(ValueError, match='6 that are not'):
        metrics.precision_recall(TRUTH * np.nan, TRUTH, distance=5)
    fit = Landmarks(TRUTH, TRUTH)
    with pytest.raises(ValueError, match='as in the fit split'):
        metrics.point_accuracy(fit, Landmarks(TRUTH[:, :2], TRUTH), distance=5)
    with pytest.raises(ValueError, match='missing in less than'):
        metrics.match_landmarks(Landmarks(TRUTH, TRUTH, np.zeros((2, 3))))

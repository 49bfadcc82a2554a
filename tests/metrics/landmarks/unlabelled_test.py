"""What runs say of one another's keypoints, beside brute force in numpy."""

import itertools

import numpy as np
import pytest

from kpdiscovery import metrics
from kpdiscovery.types import Warped


def numbers(count, points):
    return np.tile(np.arange(points), (count, 1))


@pytest.fixture
def scattered(keypoints, rng):
    """Six pictures of 100 px with four landmarks each."""
    return keypoints(rng.uniform(0, 100, (6, 4, 2)), numbers(6, 4))


def best(one, two):
    """Least sum of distances over all ways to pair the points of a picture."""
    ways = itertools.permutations(range(len(two)), len(one))
    apart = np.linalg.norm(one[:, None] - two[None], axis=-1)
    return min(apart[range(len(one)), way].sum() for way in ways)


def test_matches_are_the_cheapest_of_all(keypoints, scattered, rng):
    other = keypoints(rng.uniform(0, 100, (6, 5, 2)), numbers(6, 5))
    found = metrics.match_points(scattered, other)
    want = sum(map(best, scattered.xy, other.xy))
    assert len(found.distance) == 24
    assert found.distance.sum() == pytest.approx(want, rel=1e-5)
    back = metrics.match_points(other, scattered)
    assert back.distance.sum() == pytest.approx(want, rel=1e-5)
    assert sorted(map(tuple, back.labels[:, ::-1])) == sorted(map(tuple, found.labels))


def test_only_valid_points_are_matched(keypoints):
    xy = [[[0, 0], [50, 50]], [[10, 0], [50, 50]]]
    one = keypoints(xy, [[0, 1]] * 2, valid=[[1, 0], [0, 0]])
    found = metrics.match_points(one, keypoints(np.add(xy, [3, 4]), [[0, 1]] * 2))
    np.testing.assert_allclose(found.distance, [5])
    np.testing.assert_array_equal(found.labels, [[0, 0]])
    with pytest.raises(ValueError, match='wanted the same pictures, got 2, 1'):
        metrics.match_points(one, keypoints(xy[:1], [[0, 1]]))


def test_the_same_points_under_other_names_agree(keypoints, scattered):
    """Landmark k of the one is landmark order[k] of the other, 3 px to the right."""
    order = np.array([2, 0, 3, 1])
    other = keypoints(scattered.xy[:, order] + np.array([1.0, 0]), numbers(6, 4))
    got = metrics.seed_agreement(scattered, other, side=200.0)
    assert got['seed_distance'] == pytest.approx(0.5, rel=1e-4)
    assert got['seed_consistency'] == 100
    away = np.roll(np.arange(6), 3)
    chance = sum(map(best, scattered.xy, other.xy[away])) / 24
    assert got['seed_chance'] == pytest.approx(chance / 2, rel=1e-5)
    alone = keypoints(scattered.xy[:1], numbers(1, 4))
    got = metrics.seed_agreement(alone, alone, side=200.0)  # There is no other picture.
    assert np.isnan(got['seed_chance']) and got['seed_distance'] == 0


def test_points_whose_names_change_are_not_consistent(keypoints, scattered):
    swapped = scattered.xy.copy()
    swapped[:2, [0, 1]] = swapped[:2, [1, 0]]  # In two of six pictures, two of four.
    got = metrics.seed_agreement(
        scattered, keypoints(swapped, numbers(6, 4)), side=100.0
    )
    assert got['seed_distance'] == pytest.approx(0, abs=1e-5)
    assert got['seed_consistency'] == pytest.approx(100 * (24 - 4) / 24)
    unnamed = keypoints(swapped, np.full((6, 4), -1))
    got = metrics.seed_agreement(unnamed, unnamed, side=100.0)
    assert got['seed_consistency'] == 100
    nothing = keypoints(swapped, numbers(6, 4), valid=np.zeros((6, 4)))
    got = metrics.seed_agreement(nothing, unnamed, side=100.0)
    assert np.isnan([*got.values()]).all()


def test_coverage_by_hand(keypoints):
    """Points at 0, 20, 40 ... of a line; 5 % of 100 px is near."""
    own = keypoints([[[0, 0], [20, 0]]], [[0, 1]])
    near = keypoints([[[4, 0], [20, 4], [40, 0], [26, 0]]], numbers(1, 4))
    far = keypoints([[[90, 90]]], [[0]])
    none = keypoints([[[0, 0]]], [[0]], valid=[[0]])
    assert metrics.coverage(own, [near], side=100.0) == 50
    assert metrics.coverage(own, [near, far], side=100.0) == 25
    assert metrics.coverage(own, [near, none], side=100.0) == 50
    assert metrics.coverage(none, [near], side=100.0) == 0
    assert np.isnan(metrics.coverage(own, [], side=100.0))


def test_distinct_points(keypoints):
    count = lambda xy, valid=None: metrics.distinct_points(
        keypoints([xy], numbers(1, len(xy)), valid and [valid]), side=100.0
    )
    assert count([[0, 0]] * 3) == pytest.approx(1)
    assert count([[0, 0], [50, 0], [0, 90]]) == pytest.approx(3)
    assert count([[0, 0], [50, 0], [0, 90]], [1, 0, 1]) == pytest.approx(2)
    assert count([[0, 0], [5, 0]]) == pytest.approx(4 / (2 + 2 * np.exp(-0.5)))
    assert count([[0, 0]], [0]) == 0


def test_without_an_order_the_copys_points_are_matched(keypoints, scattered):
    moved = keypoints(scattered.xy + np.array([3, 4]), numbers(6, 4))
    found = keypoints(moved.xy[:, ::-1] + np.array([1, 0]), numbers(6, 4))
    got = metrics.warped_matches(Warped(scattered, moved, found), side=100.0)
    assert got == pytest.approx({'warp_error': 1, 'warp_shift': 5}, rel=1e-4)


FIGURES = {'warp_error': 1.0, 'warp_shift': 4.0, 'seed_distance': 2.0, 'seed_chance': 6.0,
           'seed_consistency': 80.0, 'coverage': 50.0}  # fmt: skip


def test_score_by_hand():
    parts = metrics.score_parts(FIGURES)
    assert parts == pytest.approx({'follows': 0.8, 'agrees': 0.75, 'covers': 0.5})
    assert metrics.label_free_score(FIGURES) == pytest.approx(0.3 ** (1 / 3))


def test_what_is_not_known_is_left_out():
    alone = {**FIGURES, 'seed_distance': None, 'coverage': float('nan')}
    assert metrics.score_parts(alone) == {
        'follows': 0.8,
        'agrees': None,
        'covers': None,
    }
    assert metrics.label_free_score(alone) == pytest.approx(0.8)
    assert metrics.label_free_score({}) is None
    assert metrics.label_free_score({'warp_error': 0.0, 'warp_shift': 0.0}) is None


def test_points_that_stay_or_ignore_the_picture_are_no_better_than_chance():
    parts = metrics.score_parts({**FIGURES, 'warp_error': 4.0, 'seed_distance': 6.0})
    assert parts['follows'] == parts['agrees'] == 0.5
    assert metrics.label_free_score({**FIGURES, 'coverage': 0.0}) == 0

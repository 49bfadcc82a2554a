import numpy as np
import pytest

from kpdiscovery import metrics

INSTANCES = np.array([[[0, 0, 0, 0], [1, 1, -1, -1]]])


def regions(*masks):
    """Alphas `[1, K, 2, 4]` of 0.9 where a string has '#'."""
    rows = [[c == '#' for c in mask.replace(' ', '')] for mask in masks]
    return np.where(rows, 0.9, 0.05).reshape(1, len(masks), 2, 4)


def test_by_hand():
    alphas = regions('##.. ....', '...# ####', '..## ##..', '.... ....', '.... ####')
    owner, area = metrics.assign_regions(alphas, INSTANCES, 2)
    # Whole in 0; a ground, 0, 1 mix; half and half; empty; half ground.
    np.testing.assert_array_equal(owner, [[0, -1, -1, -1, -1]])
    np.testing.assert_array_equal(area, [[2, 5, 4, 0, 4]])
    owner, _ = metrics.assign_regions(alphas, INSTANCES, 2, share=0.3)
    np.testing.assert_array_equal(owner, [[0, 1, 0, -1, 1]])


def test_threshold_is_exclusive():
    alphas = np.zeros((1, 2, 2, 4))
    alphas[0, 0, 0], alphas[0, 1, 0] = 0.8, 0.81
    owner, area = metrics.assign_regions(alphas, INSTANCES, 2)
    np.testing.assert_array_equal(owner, [[-1, 0]])
    np.testing.assert_array_equal(area, [[0, 4]])


def test_many_pictures_agree_with_one_at_a_time():
    rng = np.random.default_rng(0)
    alphas = rng.uniform(size=(70, 3, 4, 5)).astype(np.float16)
    instances = rng.integers(-1, 2, (70, 4, 5))
    owner, area = metrics.assign_regions(alphas, instances, 2, threshold=0.6, share=0.4)
    for b, k in np.ndindex(70, 3):
        region = instances[b][alphas[b, k] > np.float16(0.6)]
        counts = [np.sum(region == n) for n in range(2)]
        want = int(np.argmax(counts)) if max(counts) > 0.4 * region.size else -1
        assert (owner[b, k], area[b, k]) == (want, region.size)


def test_the_largest_region_wins_and_the_first_of_equals():
    owner, area = np.array([[0, 0, 1, -1, 1]]), np.array([[2, 5, 3, 9, 3]])
    got = metrics.keypoint_of_objects(owner, area, 3)
    np.testing.assert_array_equal(got, [[1, 2, -1]])


@pytest.mark.parametrize(
    'alphas, objects',
    [
        (np.zeros((1, 2, 4, 8)), 2),
        (np.zeros((2, 2, 2, 4)), 2),
        (np.zeros((1, 2, 4)), 2),
        (np.zeros((1, 2, 2, 4)), 1),
    ],
)
def test_bad_input(alphas, objects):
    with pytest.raises(ValueError, match='must be'):
        metrics.assign_regions(alphas, INSTANCES, objects)

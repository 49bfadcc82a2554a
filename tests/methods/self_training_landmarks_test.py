"""Stage 2: targets, channels of labels, and the merging of doubled channels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.methods.self_training import SelfTraining, landmarks, rounds


def test_target_of_the_reference():
    xy, counts = (
        jnp.array([[[3.0, 2], [0, 0], [5, 5]]]),
        jnp.array([[True, True, False]]),
    )
    maps = np.asarray(landmarks.landmark_targets(xy, counts, (6, 7)))
    want = [[0.1690133, 0.4111123, 0.1690133], [0.4111123, 1, 0.4111123],
            [0.1690133, 0.4111123, 0.1690133]]  # fmt: skip
    np.testing.assert_allclose(maps[0, 1:4, 2:5, 0], want, atol=1e-6)
    assert maps[0, ..., 0].sum() == pytest.approx(3.3205, abs=1e-4)
    np.testing.assert_allclose(maps[0, :2, :2, 1], np.array(want)[1:, 1:], atol=1e-6)
    assert maps[0, 0, 0, 1] == 1  # The peak stays on cell 0.
    assert (maps[0, ..., 2] == 0).all()


def test_maps_taught_by_cross_entropy_are_one_where_a_landmark_surely_is(monkeypatch):
    """Logits that give the target's own distribution, and such that know nothing."""
    xy, counts = jnp.array([[[3.0, 4], [2, 2]]]), jnp.array([[True, True]])
    target = landmarks.landmark_targets(xy, counts, (8, 8))
    logits = jnp.log(target + 1e-6) * jnp.array([1.0, 0]).reshape(1, 1, 1, 2)
    monkeypatch.setattr(landmarks, '_maps', lambda *unused: logits)
    method = SelfTraining(landmark_loss='cross_entropy')
    sure, unsure = jnp.moveaxis(landmarks.landmark_maps(method, {}, None)[0], -1, 0)
    assert sure[4, 3] == sure.max() == pytest.approx(1, abs=0.1)
    assert unsure.max() == pytest.approx(unsure.min()) and unsure.max() < 0.1
    monkeypatch.setattr(landmarks, '_maps', lambda *unused: 7 + logits)
    np.testing.assert_allclose(
        landmarks.landmark_maps(method, {}, None)[0, ..., 0], sure, rtol=1e-4
    )


def test_best_point_of_each_label():
    xy = jnp.array([[[1.0, 1], [2, 2], [3, 3], [4, 4]]])
    label, score = jnp.array([[2, 0, 2, -1]]), jnp.array([[0.1, 0.0, 0.5, 0.9]])
    found, counts = landmarks.by_channel(xy, label, score, 3)
    np.testing.assert_array_equal(counts, [[True, False, True]])
    np.testing.assert_array_equal(found[0, [0, 2]], [[2, 2], [3, 3]])


def merge(population, together, many, active=None, overlap=0.7):
    active = jnp.ones(len(population), bool) if active is None else jnp.asarray(active)
    arrays = (jnp.asarray(a, jnp.float32) for a in (population, together, many))
    return landmarks.merge_map(*arrays, active, overlap=overlap).tolist()


def test_channels_merge_into_the_more_populated():
    together = np.zeros((4, 4))
    together[0, 2] = together[2, 0] = 8  # Of 10 in which the rarer is sure.
    together[1, 3] = together[3, 1] = 7  # Not more than .7 * 10.
    assert merge([5, 9, 8, 4], together, [10, 30, 20, 10]) == [2, 1, 2, 3]


def test_a_merged_channel_takes_no_others():
    """1 joins 0; 2 meets only 1, which is gone, and stays."""
    together = np.zeros((3, 3))
    together[0, 1] = together[1, 0] = together[1, 2] = together[2, 1] = 9
    assert merge([9, 8, 7], together, [10, 10, 10]) == [0, 0, 2]


def test_a_channel_joins_the_first_it_meets():
    together = np.full((3, 3), 9) * (1 - np.eye(3))
    together[0, 1] = together[1, 0] = 0
    assert merge([9, 8, 7], together, [10, 10, 10]) == [0, 1, 0]


def test_dead_channels_neither_merge_nor_take():
    together = np.full((2, 2), 9)
    assert merge([9, 8], together, [10, 10], [False, True]) == [0, 1]
    assert merge([9, 8], together, [10, 10], overlap=2.0) == [0, 1]


def test_of_two_points_with_one_label_the_larger_cluster_keeps_it():
    label, moved = jnp.array([[0, 1, 2, -1]]), jnp.array([[0, 0, 2, -1]])
    population = jnp.array([5.0, 9, 1])
    got = landmarks._once_a_picture(moved, label, population)
    np.testing.assert_array_equal(got, [[-1, 0, 2, -1]])


def test_meetings_by_hand():
    xy = jnp.array([[[0.0, 0], [1, 1], [9, 9]], [[0, 0], [0, 1], [0, 2]]])
    sure = jnp.array([[True, True, True], [True, False, True]])
    together, many = landmarks._meetings(xy, sure, 1.425)
    np.testing.assert_array_equal(many, [2, 1, 2])
    np.testing.assert_array_equal(together, [[2, 1, 0], [1, 1, 0], [0, 0, 2]])


def test_a_picture_is_ordered_by_the_template(rng):
    template = rng.uniform(0, 16, (5, 2)).astype(np.float32)
    moved = template * 1.1 + 2
    order = np.array([3, 1, 4, 0, 2])
    seen = np.concatenate([moved[order], np.zeros((2, 2), np.float32)])
    valid = np.arange(7) < 5
    there = np.ones(5, bool)
    found, enough = jax.jit(
        lambda *a: rounds.align(*a, matched=0.7)
    )(template, there, seen, valid)  # fmt: skip
    np.testing.assert_allclose(found, moved, atol=1e-4)
    assert enough
    found, enough = rounds.align(
        template, there, seen, valid & (np.arange(7) < 4), matched=0.7
    )
    np.testing.assert_allclose(found, moved, atol=1.0)  # One filled in by the template.
    assert enough
    few = valid & (np.arange(7) < 3)
    assert not rounds.align(template, there, seen, few, matched=0.7)[1]


def rounds_rows(rng, counts, slots=6):
    """Pictures of one constellation, of which each has so many of its points."""
    xy = np.zeros((len(counts), slots, 2), np.float32)
    shape = rng.uniform(2, 14, (slots, 2))
    valid = np.arange(slots)[None] < np.array(counts)[:, None]
    xy[:] = np.where(valid[..., None], shape, 0)
    score = np.where(valid, np.linspace(0.9, 0.5, slots), 0).astype(np.float32)
    rows = {'xy': xy, 'score': score, 'valid': valid}
    rows['row_valid'] = np.ones(len(counts), bool)
    return shape, {name: jnp.asarray(value) for name, value in rows.items()}


@pytest.mark.parametrize('counts, of', [([2, 6, 4, 5], 2), ([1, 3, 2, 3], 1)])
def test_the_template_is_the_fullest_picture_that_is_not_too_full(rng, counts, of):
    shape, rows = rounds_rows(rng, counts)
    points, there = rounds._template(rows, rows['valid'], 4, None)
    many = min(counts[of], 4)
    np.testing.assert_array_equal(there, np.arange(4) < many)
    np.testing.assert_allclose(points[:many], shape[:many], rtol=1e-5)
    middle = np.broadcast_to(shape[:many].mean(0), (4 - many, 2))
    np.testing.assert_allclose(points[many:], middle, rtol=1e-5)


def test_landmarks_that_the_template_lacks_are_never_taught(rng):
    method = SelfTraining(chapter=4, num_keypoints=4, num_points=6)
    shape, rows = rounds_rows(rng, [3, 3, 2, 0])
    sweep = lambda step, clusters: rounds._align_or_keep(
        method, rows, clusters, jnp.asarray(step), None, axis_name=None
    )
    table, keep, scalars = sweep(0, {'active': jnp.ones(4, bool)})
    # Nor later, when every channel has a peak.
    rows = {**rows, 'valid': rows['valid'].at[:, :4].set(True)}
    later, kept, _ = sweep(5, keep)
    assert kept['active'].tolist() == [True, True, True, False]
    assert (later['landmark'][:, 3:] == -1).all()
    np.testing.assert_array_equal(later['landmark'][:, :3], [[0, 1, 2]] * 4)
    label = np.asarray(table['landmark'])
    assert scalars['template'] == 0.75 and (label[:, 3:] == -1).all()
    np.testing.assert_array_equal(label[:2, :3], [[0, 1, 2]] * 2)
    np.testing.assert_allclose(table['xy'][0, :3], shape[:3], rtol=1e-4)
    assert (label[3] == -1).all()


def merge_rows(method, label, peak, sure, step):
    """One sweep of `_merge` over N pictures of 3 points and 4 channels."""
    n = len(label)
    rows = {
        'xy': jnp.zeros((n, 3, 2)), 'score': jnp.ones((n, 3)),
        'label': jnp.asarray(label), 'mirror': jnp.full((n, 3), -1),
        'landmark': jnp.asarray(label), 'peak': jnp.asarray(peak, jnp.float32),
        'sure': jnp.asarray(sure), 'row_valid': jnp.ones(n, bool),
    }  # fmt: skip
    clusters = {'active': jnp.ones(4, bool)}
    return landmarks._merge(
        method, rows, clusters, jnp.asarray(step), None, axis_name=None
    )


def test_a_sweep_of_merging_relabels_the_table():
    """Channels 0 and 1 fall on one another in 9 of 10 pictures; 3 has too few points."""
    method = SelfTraining(
        chapter=5, num_clusters=4, num_keypoints=4, num_points=4, min_population=5,
        merge_start=100, merge_overlap=0.7, merge_distance=1.5,
    )  # fmt: skip
    label = np.tile([0, 1, 2], (10, 1))
    label[:4, 1] = -1  # 0 has ten points, 1 six.
    label[0, 2] = 3
    peak = np.tile([[10.0, 10], [11, 10], [40, 40], [60, 60]], (10, 1, 1))
    peak[9, 1] = 30, 30
    sure = np.ones((10, 4), bool)
    before = merge_rows(method, label, peak, sure, step=99)
    assert before[2]['merged'] == 0 and before[2]['landmarks'] == 3  # 3 has died.
    np.testing.assert_array_equal(
        before[0]['landmark'], np.where(label == 3, -1, label)
    )
    table, found, scalars = merge_rows(method, label, peak, sure, step=100)
    assert scalars['merged'] == 1 and scalars['landmarks'] == 2
    np.testing.assert_array_equal(found['active'], [True, False, True, False])
    want = np.tile([0, -1, 2], (10, 1))  # Of two points of one label one is left.
    want[0, 2] = -1
    np.testing.assert_array_equal(table['landmark'], want)
    np.testing.assert_array_equal(table['label'], want)
    unsure = sure.copy()
    unsure[3:, 1] = False  # Sure in three pictures, in all of which they meet.
    assert merge_rows(method, label, peak, unsure, 100)[2]['merged'] == 1

"""The rules that make labels and losses, beside a dozen lines of plain numpy each."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.methods.self_training import (
    SelfTraining,
    correspond,
    label_tables,
    landmarks,
)
from kpdiscovery.methods.self_training.correspond import Rules
from kpdiscovery.types import Keypoints
from tests.methods.self_training_augmentation_test import STILL

KINDS, PARTS = 3, 2  # Each of 3 landmarks looks one of two ways: K = 3, M = 6.
MIRROR = [1, 0, 2]  # Of the landmarks; each way of looking stays.


def looks(rng, pictures, points):
    """Unit descriptors of points of known kind and way, their mirror images' and those."""
    kind = rng.integers(0, KINDS, (pictures, points))
    way = rng.integers(0, PARTS, (pictures, points))
    centres = np.eye(KINDS + KINDS * PARTS)
    of = lambda kind, way: centres[kind] + 0.5 * centres[KINDS + kind * PARTS + way]
    noise = lambda: 0.02 * rng.normal(size=(pictures, points, len(centres)))
    unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)
    seen, other = of(kind, way), of(np.array(MIRROR)[kind], way)
    return kind, way, unit(seen + noise()), unit(other + noise())


def nearest_of_each(label, distance):
    """Of the points of a picture with one label, the one nearest to its centre."""
    kept = np.zeros(label.shape, bool)
    for i, row in enumerate(label):
        for one in set(row[row >= 0]):
            of = np.flatnonzero(row == one)
            kept[i, of[distance[i, of].argmin()]] = True
    return kept


def centres_of(label, rows, mirror_label, mirror_rows):
    found = {}
    for one in set(label[label >= 0]):
        both = [rows[label == one], mirror_rows[mirror_label == one]]
        found[one] = np.concatenate(both).mean(0)
    return found


def distances(label, rows, centres):
    known = np.stack(
        [centres.get(one, np.zeros(rows.shape[-1])) for one in label.ravel()]
    )
    return ((rows - known.reshape(rows.shape)) ** 2).sum(-1)


def same_partition(got, want):
    """The same groups under any numbers; -1 is -1."""
    pairs = set(zip(got.ravel().tolist(), want.ravel().tolist(), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len(
        {b for _, b in pairs}
    ) and all((a < 0) == (b < 0) for a, b in pairs)


@pytest.fixture(scope='module')
def labelled():
    rng = np.random.default_rng(0)
    kind, way, seen, other = looks(rng, 40, 5)
    rows = {
        'xy': rng.uniform(0, 16, (40, 5, 2)), 'score': np.full((40, 5), 0.5),
        'valid': np.ones((40, 5), bool), 'row_valid': np.ones(40, bool),
        'descriptor': seen, 'mirror_descriptor': other,
        'before': np.full((40, 5), -1, np.int32),
    }  # fmt: skip
    rows = {name: jnp.asarray(value, jnp.float32 if value.dtype == float else None)
            for name, value in rows.items()}  # fmt: skip
    method = SelfTraining(
        num_keypoints=KINDS, num_clusters=KINDS * PARTS, kmeans_restarts=8,
        kmeans_iterations=20, min_points=2,
    )  # fmt: skip
    label = jax.jit(
        lambda rows, key: label_tables._label_mirrored(
            method, rows, {}, 0, key, axis_name=None
        )
    )
    return (kind, way, seen, other), jax.device_get(label(rows, jax.random.key(0)))


def test_first_k_clusters_then_m_of_what_is_left(labelled):
    """A second point of a landmark is dropped before the fine clusters are made."""
    (kind, way, seen, other), (table, _, _) = labelled
    mirror = np.array(MIRROR)[kind]
    centres = centres_of(kind, seen, mirror, other)
    left = nearest_of_each(kind, distances(kind, seen, centres))
    assert 0.3 < 1 - left.mean() < 0.7  # Many are doubled.
    assert same_partition(table['landmark'], np.where(left, kind, -1))
    fine = np.where(left, kind * PARTS + way, -1)
    fine = np.where((fine >= 0).sum(1, keepdims=True) >= 2, fine, -1)
    assert same_partition(table['label'], fine)


def test_mirror_labels_are_those_of_the_mirrored_looks(labelled):
    (kind, way, _, _), (table, keep, _) = labelled
    label, mirror = table['label'], table['mirror']
    there = label >= 0
    number = {
        (k, w): n for k, w, n in zip(kind[there], way[there], label[there], strict=True)
    }
    want = [
        number.get((MIRROR[k], w), -1)
        for k, w in zip(kind[there], way[there], strict=True)
    ]
    np.testing.assert_array_equal(mirror[there], want)
    coarse = table['landmark'].ravel()
    of_kind = dict(zip(kind.ravel()[coarse >= 0], coarse[coarse >= 0], strict=True))
    for k in range(KINDS):
        assert keep['flip'][of_kind[k]] == of_kind[MIRROR[k]]


def test_old_points_win_over_new_ones_close_by():
    old = {
        'xy': jnp.array([[[4.0, 4], [9, 9], [1, 1], [4, 5]]]),
        'score': jnp.array([[0.3, 0.4, 0.9, 0.2]]),
        'label': jnp.array([[5, 6, -1, -1]]), 'landmark': jnp.array([[5, 6, -1, 2]]),
    }  # fmt: skip
    new = Keypoints(
        jnp.array([[[5.0, 4], [9, 12], [1.5, 1], [0, 0]]]),
        jnp.array([[0.9, 0.8, 0.7, 0]]), jnp.full((1, 4), -1),
        jnp.array([[True, True, True, False]]),
    )  # fmt: skip
    kept = label_tables._keep_old(new, old, 2)
    found = {
        tuple(xy) for xy in np.asarray(kept.xy[0])[np.asarray(kept.valid[0])].tolist()
    }
    assert found == {  # (1, 1) is no label; old ones may be close to one another.
        (4.0, 4.0), (4.0, 5.0), (9.0, 9.0), (9.0, 12.0),
    }  # fmt: skip


def test_both_losses_count_by_their_weights(rng):
    """Of a network that is a table: what each weight multiplies."""
    label = np.int32([[[0, 1], [0, 1]]])
    cells = np.float32([[[[1, 1], [3, 2]], [[1, 1], [3, 2]]]])
    views = correspond.LabelledViews(
        jnp.zeros((1, 2, 16, 16, 3)), jnp.asarray(cells), jnp.asarray(label),
        jnp.zeros((1, 2), jnp.int32),
    )  # fmt: skip
    maps = types.SimpleNamespace(
        scores=jnp.asarray(rng.uniform(size=(2, 4, 4)), jnp.float32),
        descriptors=jnp.asarray(rng.normal(size=(2, 4, 4, 3)), jnp.float32),
    )
    method = SelfTraining(
        num_keypoints=2, augmentation=STILL, background_pairs=0, min_gap=0.1,
        detector_weight=3.0, descriptor_weight=7.0,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(correspond.network, 'stage_one', lambda *unused: maps)
        total, (scalars, _) = correspond.loss(
            method, Rules(), views, jax.random.key(0), {}
        )
    target = np.zeros((2, 4, 4))
    target[:, 1, 1] = target[:, 2, 3] = 1
    detector = ((maps.scores - target) ** 2).mean((1, 2)).sum()
    at = np.asarray(maps.descriptors)[:, [1, 2], [1, 3]]  # [2 views, 2 points, D]
    apart = lambda a, b: ((a - b) ** 2).sum()
    hinge = lambda a, b: max(0, 0.8 - np.sqrt(apart(a, b))) ** 2
    pairs = [apart(at[0, i], at[1, i]) for i in (0, 1)]
    pairs += [hinge(at[v, 0], at[v, 1]) for v in (0, 1)]
    np.testing.assert_allclose(scalars['detector'], detector, rtol=1e-5)
    np.testing.assert_allclose(scalars['descriptor'], np.mean(pairs), rtol=1e-4)
    np.testing.assert_allclose(total, 3 * detector + 7 * np.mean(pairs), rtol=1e-4)


def test_stage_two_mirrors_by_the_landmarks_map(rng):
    """And not by each point's own cluster, which differs for a fifth of them or more."""
    always = dataclasses.replace(STILL, flip=1.0)
    method = SelfTraining(num_keypoints=3, landmark_augmentation=always)
    table = {
        'xy': jnp.array([[[0.0, 0], [3, 1], [1, 2]]]), 'score': jnp.ones((1, 3)),
        'landmark': jnp.array([[0, 1, -1]]),
    }  # fmt: skip
    batch = {'image': jnp.zeros((1, 16, 16, 3), jnp.uint8), 'index': jnp.zeros(1, int)}
    flip = jnp.array([2, 1, 0])
    _, target, counts = landmarks.make_views(
        method, flip, jax.random.key(0), batch, table
    )
    np.testing.assert_array_equal(counts, [[False, True, True]])
    peaks = [np.unravel_index(target[0, ..., k].argmax(), (4, 4)) for k in (1, 2)]
    assert peaks == [(1, 0), (0, 3)]


def test_targets_of_stage_two_lie_between_cells():
    maps = landmarks.landmark_targets(
        jnp.array([[[2.25, 3.5]]]), jnp.ones((1, 1), bool), (8, 8)
    )
    maps = np.asarray(maps[0, ..., 0])
    y, x = np.mgrid[:8, :8]
    want = np.exp(-((x - 2.25) ** 2 + (y - 3.5) ** 2) / (2 * 0.75**2))
    np.testing.assert_allclose(maps[maps > 0], want[maps > 0], rtol=1e-5)
    assert maps[3, 2] == maps[4, 2] > maps[3, 3] > 0 and (maps > 0).sum() < 10

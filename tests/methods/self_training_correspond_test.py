"""Stage 1: pairs of views, which of their points are pairs, and the loss of both heads."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.methods.learning import parameters
from kpdiscovery.methods.self_training import SelfTraining, correspond
from kpdiscovery.methods.self_training.correspond import LabelledViews, Rules
from tests.methods.self_training_augmentation_test import STILL

METHOD = SelfTraining(
    augmentation=STILL, num_keypoints=2, min_gap=1.5 * 16, background_pairs=0
)


def batch_of(rng, n=4):
    images = rng.integers(0, 255, (n, 16, 16, 3)).astype(np.uint8)
    return {'image': images, 'index': np.arange(n, dtype=np.int32)}


def table_of(n=4):
    """Point 0 of every picture is landmark 7 at (1, 1), mirrored 8; point 1 its own."""
    xy = np.tile(np.float32([[1, 1], [3, 2]]), (n, 1, 1))
    label = np.stack([np.full(n, 7), np.arange(n)], axis=1).astype(np.int32)
    mirror = np.stack([np.full(n, 8), np.full(n, -1)], axis=1).astype(np.int32)
    return {'xy': xy, 'label': label, 'mirror': mirror}


def test_second_views_show_other_pictures(rng):
    batch = batch_of(rng)
    views = correspond.make_views(
        METHOD, Rules(others=1.0), jax.random.key(0), batch, table_of()
    )
    want = batch['image'] / 255
    np.testing.assert_allclose(views.image[:, 0], want, atol=1e-5)
    np.testing.assert_allclose(views.image[:, 1], np.roll(want, 1, axis=0), atol=1e-5)
    np.testing.assert_array_equal(views.label[:, 0, 1], [0, 1, 2, 3])
    np.testing.assert_array_equal(views.label[:, 1, 1], [3, 0, 1, 2])
    np.testing.assert_array_equal(views.label[:, :, 0], np.full((4, 2), 7))


def test_mirrored_views_take_mirror_labels(rng):
    mirrored = dataclasses.replace(
        METHOD, augmentation=dataclasses.replace(STILL, flip=1.0)
    )
    views = correspond.make_views(
        mirrored, Rules(flip=True), jax.random.key(0), batch_of(rng), table_of()
    )
    np.testing.assert_array_equal(views.label, np.tile([8, -1], (4, 2, 1)))
    np.testing.assert_allclose(views.cells[0, 0, 0], [2, 1])  # Of 4 cells, mirrored.


def test_pictures_without_mirror_labels_are_not_mirrored(rng):
    mirrored = dataclasses.replace(
        METHOD, augmentation=dataclasses.replace(STILL, flip=1.0)
    )
    table, batch = table_of(), batch_of(rng)
    table['mirror'][0] = -1
    views = correspond.make_views(
        mirrored, Rules(flip=True), jax.random.key(0), batch, table
    )
    np.testing.assert_array_equal(views.label[0], [[7, 0], [7, 0]])
    np.testing.assert_allclose(views.image[0, 0], batch['image'][0] / 255, atol=1e-5)
    np.testing.assert_array_equal(views.label[1], [[8, -1], [8, -1]])


def rules_of(method):
    """Of the warm-up and of the rounds after it."""
    section = {'steps': 1, 'round': 1, 'optimizer': {'name': 'sgd', 'lr': 1.0}}
    two = {
        **section,
        'optimizer': dict.fromkeys(('trunk', 'head'), section['optimizer']),
    }
    sections = {'warm_up': section, 'correspond': section, 'landmarks': two}
    warm, main, _ = method.phases({'phases': sections})
    return warm.step.args[1], main.step.args[1]


@pytest.mark.parametrize('chapter, others', [(5, 0.5), (6, 0.5)])
def test_pairs_of_a_run(chapter, others):
    """Other pictures from the first labels on; in chapter 6 not before clustering."""
    method = dataclasses.replace(METHOD, chapter=chapter)
    warm_rules, main_rules = rules_of(method)
    assert main_rules.others == others and warm_rules.flip is False
    assert warm_rules.others == (0.5 if chapter == 5 else 0.0)
    assert main_rules.flip == (chapter == 6) and main_rules.across == (chapter == 5)
    same = dataclasses.replace(method, correspondence='equivariance')
    rules = rules_of(same)[1]
    assert rules.others == 0.0 and rules.flip is False
    assert rules.alike == (chapter == 6)


def test_first_labels_that_are_clusters_are_paired_like_later_ones():
    method = dataclasses.replace(METHOD, start='clusters')
    warm_rules, main_rules = rules_of(method)
    assert warm_rules == main_rules and warm_rules.others == 0.5


def test_views_that_are_mirrored_alike_keep_their_labels(rng):
    """Equivariance: chapter 6 sees mirrored pictures too, or two things would differ."""
    mirrored = dataclasses.replace(
        METHOD, augmentation=dataclasses.replace(STILL, flip=0.5)
    )
    batch = batch_of(rng, 16)
    views = correspond.make_views(
        mirrored, Rules(alike=True), jax.random.key(0), batch, table_of(16)
    )
    seen = np.asarray(views.image)
    np.testing.assert_allclose(seen[:, 0], seen[:, 1], atol=1e-5)
    as_it_is = np.abs(seen[:, 0] - batch['image'] / 255).max((1, 2, 3)) < 1e-4
    assert 0 < as_it_is.sum() < 16
    still = correspond.make_views(
        mirrored, Rules(), jax.random.key(0), batch, table_of(16)
    )
    np.testing.assert_array_equal(views.label, still.label)


def views_of(cells, label):
    """LabelledViews of blank pictures of 4x4 cells with given points `[2, P]`."""
    return LabelledViews(
        jnp.zeros((1, 2, 16, 16, 3)),
        jnp.float32(cells)[None],
        jnp.int32(label)[None],
        jnp.zeros((1, 2), jnp.int32),
    )


def pairs(rules, cells, label, dense, method=METHOD):
    views = views_of(cells, label)
    dense = jnp.float32(dense)[None]
    found = correspond._pairs(
        method,
        rules,
        jax.random.key(0),
        dense,
        correspond._read(dense, views.cells),
        views.cells,
        views.label,
    )
    return [np.asarray(part) for part in found]


def test_pairs_by_hand():
    """Across the views equal labels; inside a view different points that are not close."""
    cells = [[[0, 0], [1, 0], [3, 3]], [[2, 2], [0, 3], [3, 0]]]
    label = [[4, 5, -1], [5, 4, 6]]
    dense = np.arange(2 * 16, dtype=np.float32).reshape(2, 4, 4, 1)  # Its own number.
    squares, same, counts = pairs(Rules(), cells, label, dense)
    positive = squares[counts & same]
    number = lambda view, x, y: 16 * view + 4 * y + x
    want = [
        (number(0, 0, 0) - number(1, 0, 3)) ** 2,
        (number(0, 1, 0) - number(1, 2, 2)) ** 2,
    ]
    np.testing.assert_allclose(np.sort(positive), np.sort(want))
    negative = np.sort(squares[counts & ~same])  # View 1: points 0 and 1 are too close.
    inside = [(2, 2, 0, 3), (2, 2, 3, 0), (0, 3, 3, 0)]
    want = [(number(1, a, b) - number(1, c, d)) ** 2 for a, b, c, d in inside]
    np.testing.assert_allclose(negative, np.sort(want))


def test_pairs_across_need_both_labels_in_both_views():
    cells = [[[0, 0], [1, 0], [3, 3]], [[2, 2], [0, 3], [3, 0]]]
    label = [[4, 5, 9], [5, 4, 6]]
    dense = np.zeros((2, 4, 4, 1))
    _, same, counts = pairs(Rules(across=True), cells, label, dense)
    assert (counts & same).sum() == 2
    assert (counts & ~same).sum() == 2  # (4, 5) and (5, 4): 9 and 6 have no partner.


def test_points_of_one_landmark_in_one_view_are_no_negatives():
    """Mirroring may give two points one label."""
    cells = [[[0, 0], [3, 0], [0, 3]], [[0, 0], [3, 3], [0, 3]]]
    dense = np.zeros((2, 4, 4, 1))
    _, same, counts = pairs(Rules(), cells, [[5, 5, 6], [5, -1, -1]], dense)
    assert (counts & same).sum() == 2
    assert (counts & ~same).sum() == 2  # 6 with either 5.


def test_equivariance_against_other_pictures():
    """Table 6.3: positives in two views of one picture, negatives in the one before."""
    method = dataclasses.replace(
        METHOD, negatives='other_image', correspondence='equivariance'
    )
    rules = rules_of(method)
    assert all(one.strangers and not (one.across or one.others) for one in rules)
    label = jnp.array([[[0, 1], [0, 1]], [[0, -1], [0, 1]]])
    cells = jnp.zeros((2, 2, 2, 2))
    points = jnp.float32([[[1, 2], [3, 4]], [[50, 60], [70, 80]]])[..., None]
    dense = jnp.zeros((2, 2, 4, 4, 1))
    squares, same, counts = correspond._pairs(
        method, rules[1], jax.random.key(0), dense, points, cells, label
    )
    at = lambda row, which: sorted(np.asarray(squares[row])[np.asarray(which[row])])
    assert at(0, same & counts) == [(1 - 3) ** 2, (2 - 4) ** 2]
    assert at(0, ~same & counts) == [68**2, 69**2, 78**2, 79**2]
    assert at(1, same & counts) == [20**2]
    assert at(1, ~same & counts) == [46**2, 47**2]  # Point 1 has no label.


def test_background_pairs_keep_their_distance():
    method = dataclasses.replace(METHOD, background_pairs=200, min_gap=2.5 * 16)
    y, x = np.mgrid[:4, :4]
    dense = np.stack([np.stack([x, y], axis=-1)] * 2)
    squares, same, counts = pairs(
        Rules(), [[[0, 0]], [[3, 3]]], [[1], [2]], dense, method
    )
    chosen = squares[counts & ~same]  # Squared distances in cells.
    assert len(chosen) > 100 and chosen.min() > 2.5**2


def test_negatives_of_other_pictures_take_half_the_weight():
    options = {'margin': 0.8, 'form': 'squared'}
    label = np.array([[[1, 2], [1, -1]], [[1, 3], [1, 3]]])
    picture = np.array([[5, 5], [6, 6]])
    points = np.float32([[[0, 0.5], [0.1, 0]], [[0.2, 0.6], [0.3, 0.7]]])[..., None]
    own = jnp.array([0.0, 0.3]), jnp.array([True, False]), jnp.array([True, True])
    got = correspond._elsewhere(options, own, points, label, picture)
    # 1 and 2 of one picture with 3, and 2 with 1, of the other; not 1 with 1, nor -1.
    here = [(0, 0.6), (0, 0.7), (0.1, 0.6), (0.1, 0.7)]
    there = [(0.5, 0.6), (0.5, 0.7), (0.5, 0.2), (0.5, 0.3)]
    want = np.mean([max(0, 0.8 - (a - b) ** 2) for a, b in here + there])
    assert got == pytest.approx(0.5 * (want - (0.8 - 0.3)) / 2, abs=1e-6)
    alone = correspond._elsewhere(options, own, points, label, np.full((2, 2), 5))
    assert alone == 0


def test_other_pictures_teach_from_clusters_on(rng):
    """Not where labels say nothing of other pictures: the published warm-up of chapter 6."""
    method = dataclasses.replace(METHOD, negatives='global')
    for chapter, start in ((5, 'points'), (6, 'points'), (6, 'clusters')):
        known = chapter == 5 or start == 'clusters'
        warm, main = rules_of(dataclasses.replace(method, chapter=chapter, start=start))
        assert main.elsewhere and warm.elsewhere == known
        assert main.across == (chapter == 5)
    assert not rules_of(METHOD)[1].elsewhere
    views = correspond.make_views(
        method, Rules(others=1.0), jax.random.key(0), batch_of(rng), table_of()
    )
    np.testing.assert_array_equal(views.picture, [[0, 3], [1, 0], [2, 1], [3, 2]])


def test_targets_of_both_kinds():
    cells, label = jnp.array([[1.0, 2], [3, 0], [0, 0]]), jnp.array([5, 5, -1])
    one_hot = np.asarray(correspond.targets(cells, label, (4, 4), sigma=0.0))
    want = np.zeros((4, 4))
    want[2, 1] = want[0, 3] = 1
    np.testing.assert_allclose(one_hot, want, atol=1e-6)
    between = np.asarray(correspond.targets(cells + 0.3, label, (4, 4), sigma=0.0))
    np.testing.assert_array_equal(between, one_hot)  # Chapter 4 does not round its own.
    soft = np.asarray(correspond.targets(cells, label, (4, 4), sigma=0.75))
    assert soft[2, 1] == 1 and soft[2, 2] == pytest.approx(0.4111123, abs=1e-6)


def test_pictures_with_few_points_teach_nothing(rng):
    method = dataclasses.replace(
        METHOD, min_points=2, network=dataclasses.replace(
            METHOD.network, features=8, depth=1, groups=1),
    )  # fmt: skip
    batch = {
        **batch_of(rng, 1),
        'image': rng.integers(0, 255, (1, 16, 16, 3), np.uint8),
    }
    state = jax.jit(
        lambda key: correspond.init(method, {'network': _Nothing}, key, batch, None)
    )(jax.random.key(0))  # fmt: skip
    views = views_of([[[0, 0], [2, 2]], [[0, 0], [2, 2]]], [[1, -1], [1, 2]])
    grad = jax.jit(jax.grad(
        lambda nets: correspond.loss(method, Rules(), views, jax.random.key(0), nets)[0]
    ))(parameters(state.variables, correspond.GROUPS['network']))  # fmt: skip
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(grad))


class _Nothing:
    """An optimiser without state."""

    @staticmethod
    def init(params):
        del params
        return {}

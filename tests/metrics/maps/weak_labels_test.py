"""The protocols of weak labels on predictions that are right, wrong, or missing."""

import jax
import numpy as np
import pytest

from kpdiscovery import metrics
from kpdiscovery.types import Keypoints, Prediction, Split

N, SIDE = 6, 56
NAMES = ('classification', 'feature_entropy', 'greedy_pck', 'localization')


def squares(rng):
    """Corners of squares of 20 pixels, their masks and boxes."""
    corners = rng.integers(4, SIDE - 24, (N, 2))
    y, x = np.mgrid[:SIDE, :SIDE]
    inside = lambda v, low: (v >= low[:, None, None]) & (v < low[:, None, None] + 20)
    mask = inside(x[None], corners[:, 0]) & inside(y[None], corners[:, 1])
    boxes = np.concatenate([corners, corners + 20], axis=1).astype(np.float32) - 0.5
    return mask, boxes[:, None]


@pytest.fixture
def split(rng):
    """Everything right: maps are masks, keypoints annotated points, classes true."""
    mask, boxes = squares(rng)
    label = np.arange(N) % 3
    points = rng.uniform(5, SIDE - 6, (N, 4, 2)).astype(np.float32)
    ones = np.ones((N, 2))
    truth = {
        'label': label, 'boxes': boxes, 'boxes_valid': np.ones((N, 1), bool), 'mask': mask,
        'keypoints': points, 'visible': np.ones((N, 4), bool), 'index': np.arange(N),
    }  # fmt: skip
    maps = np.stack(
        [mask[:, ::4, ::4] * (label == c)[:, None, None] for c in range(3)], -1
    )
    prediction = Prediction(
        Keypoints(points[:, :2], ones, ones.astype(int), ones > 0),
        mask=mask.astype(np.float32),
        class_logits=np.eye(3)[label],
        feature_entropy=np.full(N, 2.5),
        class_maps=maps.astype(np.float32),
    )
    return Split(prediction, truth, (SIDE, SIDE), 2)


def measure(split, **changes):
    prediction = split.prediction.replace(**changes)
    return metrics.evaluate(NAMES, None, split._replace(prediction=prediction))


def test_all_right(split):
    figures, skipped = measure(split)
    assert not skipped
    for name in ('top1_accuracy', 'gt_known', 'top1_localization', 'max_box_accuracy',
                 'max_box_accuracy_v2', 'greedy_pck@0.1', 'greedy_pck_unique@0.1'):  # fmt: skip
        assert figures[name] == 100, name
    assert figures['pxap'] > 99
    assert figures['feature_entropy'] == 2.5
    assert 0 < figures['greedy_pck_random@0.1'] < 60
    assert figures['cam_max_box_accuracy'] == 100  # Of the true class.
    assert 0 < figures['cam_max_box_threshold'] < 1
    assert 0 < figures['greedy_pck_on_object@0.1'] <= 100


def test_wrong_classes_cost_the_top1_figures_only(split):
    figures, _ = measure(split, class_logits=-split.prediction.class_logits)
    assert figures['top1_accuracy'] == 0
    assert figures['top1_localization'] == 0
    assert figures['gt_known'] == 100
    assert figures['cam_max_box_accuracy'] == 100


def test_keypoints_that_are_not_there_are_misses(split):
    points = split.prediction.keypoints
    gone = np.tile([True, False], (N, 1))
    figures, _ = measure(split, keypoints=points.replace(valid=gone))
    assert figures['greedy_pck@0.1_kp1'] == 100
    assert figures['greedy_pck@0.1_kp2'] == 0
    assert figures['greedy_pck@0.1'] == 50


def test_how_many_are_given_and_how_good_these_are(split):
    points = split.prediction.keypoints
    gone = np.ones((N, 2), bool)
    gone[: N // 2, 1] = False
    figures, _ = measure(split, keypoints=points.replace(valid=gone))
    assert (figures['given_kp1'], figures['given_kp2'], figures['given']) == (
        100,
        50,
        75,
    )
    assert figures['greedy_pck@0.1_kp2'] == 50
    assert figures['greedy_pck_given@0.1_kp2'] == 100
    assert figures['greedy_pck_given@0.1'] == 100


def test_distances_are_those_of_the_original(split):
    """A picture four times as wide as high, stretched: .1 of its height is .4 of ours
    across, and .1 of ours down."""
    frame = np.tile(np.float32([0.25, 1, -0.375, 0, 4 * SIDE, SIDE]), (N, 1))
    wide = split._replace(truth={**split.truth, 'frame': frame})
    points = split.prediction.keypoints
    for axis, met in ((0, 0), (1, 100)):
        moved = np.asarray(points.xy) + np.eye(2, dtype=np.float32)[axis] * 0.09 * SIDE
        figures, _ = measure(wide, keypoints=points.replace(xy=moved))
        assert figures['greedy_pck@0.1_kp1'] == met
        assert measure(split, keypoints=points.replace(xy=moved))[0][
            'greedy_pck@0.1_kp1'
        ]
    assert figures['greedy_pck@0.05'] == 0


def test_chance_on_the_object_keeps_its_distance():
    masks = np.zeros((2, 40, 40), bool)
    masks[0, 10:30, 5:35], masks[1, 3, 4] = True, True
    xy, valid = metrics.random_on_objects(masks, num_points=4, spacing=10.0)
    assert valid.tolist() == [[True] * valid[0].sum() + [False] * (4 - valid[0].sum()),
                              [True, False, False, False]]  # fmt: skip
    assert valid[0].sum() > 1 and xy[1, 0].tolist() == [4, 3]
    x, y = xy[0][valid[0]].astype(int).T
    assert masks[0][y, x].all()
    apart = np.linalg.norm(xy[0][valid[0], None] - xy[0][None, valid[0]], axis=-1)
    assert apart[~np.eye(len(x), dtype=bool)].min() >= 10


def test_boxes_of_whole_pictures_are_counted(split):
    whole = np.tile(np.float32([-0.5, -0.5, SIDE - 0.5, SIDE - 0.5]), (N, 1, 1))
    boxes = np.concatenate([whole[:4], whole[:2] / 2])
    figures, _ = measure(split, boxes=boxes, boxes_valid=np.ones((N, 1), bool))
    np.testing.assert_allclose(figures['whole_boxes'], 100 * 4 / N)


def test_two_keypoints_at_one_point(split):
    points = split.prediction.keypoints
    twice = np.repeat(points.xy[:, :1], 2, axis=1)
    figures, _ = measure(split, keypoints=points.replace(xy=twice))
    assert figures['greedy_pck@0.1'] == 100
    assert figures['greedy_pck_unique@0.1'] < 100


def test_maps_that_say_nothing(split):
    nothing = np.full_like(split.prediction.mask, 0.5)
    figures, _ = measure(split, mask=nothing, class_maps=None)
    assert figures['max_box_accuracy'] == 0
    assert 'cam_gt_known' not in figures
    share = split.truth['mask'].mean()
    np.testing.assert_allclose(figures['pxap'], 100 * share, rtol=1e-3)


def test_the_centred_box(split):
    middle = np.array([[18, 18, 38, 38]], np.float32) - 0.5
    centred = np.broadcast_to(middle, (N, 1, 4))
    truth = {**split.truth, 'boxes': centred}
    figures, _ = metrics.evaluate(['localization'], None, split._replace(truth=truth))
    assert figures['center_box'] == 100
    assert figures['center_box_v2'] == 100
    corner = {**split.truth, 'boxes': centred - 18}
    figures, _ = metrics.evaluate(['localization'], None, split._replace(truth=corner))
    assert figures['center_box_v2'] == 0


@pytest.mark.parametrize('name, absent, reason', [
    ('classification', 'label', "needs truth 'label'"),
    ('greedy_pck', 'visible', "needs truth 'visible'"),
])  # fmt: skip
def test_what_is_not_annotated_is_skipped(split, name, absent, reason):
    truth = {k: v for k, v in split.truth.items() if k != absent}
    figures, skipped = metrics.evaluate([name], None, split._replace(truth=truth))
    assert not figures
    assert skipped[name].startswith(reason)


def test_no_true_box_and_no_visible_point_at_all(split):
    truth = {**split.truth, 'boxes_valid': np.zeros((N, 1), bool),
             'visible': np.zeros((N, 4), bool)}  # fmt: skip
    _, skipped = metrics.evaluate(NAMES, None, split._replace(truth=truth))
    assert skipped == {'greedy_pck': 'no annotated point is visible'}
    truth['mask'] = np.zeros_like(split.truth['mask'])
    _, skipped = metrics.evaluate(NAMES, None, split._replace(truth=truth))
    assert skipped == {'localization': 'no picture has a true box or mask',
                       'greedy_pck': 'no annotated point is visible'}  # fmt: skip


def test_boxes_and_masks_are_measured_one_without_the_other(split):
    split = jax.tree.map(lambda v: v[:1] if np.ndim(v) else v, split)

    def measured(*absent, **changes):
        truth = {k: v for k, v in split.truth.items() if k not in absent} | changes
        return metrics.evaluate(['localization'], None, split._replace(truth=truth))

    figures, skipped = measured('boxes', 'boxes_valid')
    assert not skipped and list(figures) == ['pxap', 'cam_pxap']
    figures, skipped = measured('mask')
    assert not skipped and {'gt_known', 'cam_max_box_accuracy_v2'} <= set(figures)
    figures, skipped = measured('boxes', mask_ignored=np.ones((1, SIDE, SIDE), bool))
    assert not figures and skipped['localization'].startswith('no picture has')
    figures, skipped = measured('boxes', 'boxes_valid', 'mask')
    assert not figures
    assert skipped['localization'].startswith("needs truth 'boxes or mask'")

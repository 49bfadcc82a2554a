import numpy as np
import pytest

from kpdiscovery import metrics
from kpdiscovery.types import Unmeasurable

NAMES = ('part_detection', 'part_box_detection', 'part_landmarks')
SIDE = 100


def parts(split, rng, n=40, offsets=((0, 0), (3, 1)), noise=0.0, **more):
    """One object a picture: two points beside the peaks of channels 0 and 1.

    Channel c's best peak is `offsets[c]` from point c, a second one is far off, and
    channel 2 is anywhere.
    """
    centers = rng.uniform(30, 70, (n, 1, 2))
    points = np.concatenate([centers - 12, centers + 9], axis=1)
    best = points + np.array(offsets, float) + noise * rng.normal(size=points.shape)
    far = np.where(points < 50, points + 35, points - 35)
    other = rng.uniform(0, SIDE, (n, 2, 2))
    xy = np.stack([best[:, 0], far[:, 0], far[:, 1], best[:, 1]], axis=1)
    xy = np.concatenate([xy, other], axis=1)
    score = np.array([0.9, 0.3, 0.2, 0.8, 0.5, 0.1]) * rng.uniform(0.9, 1, (n, 6))
    truth = {'keypoints': points, 'visible': np.ones((n, 2), bool)}
    label = np.tile([0, 0, 1, 1, 2, 2], (n, 1))
    return split(truth, xy, label, np.zeros((n, 6)), score,
                 **{'size': (SIDE, SIDE), 'num_labels': 3, **more})  # fmt: skip


def measured(figures):
    """Names of figures without what they are compared with."""
    beside = ('mean_place', 'landmarks_used')
    return [name for name in figures if not any(word in name for word in beside)]


def swapped(made):
    """The channels 0 and 1 exchanged."""
    label = np.array([1, 0, 2, -1])[made.prediction.keypoints.label]
    points = made.prediction.keypoints.replace(label=label)
    return made._replace(prediction=made.prediction.replace(keypoints=points))


def with_truth(made, **truth):
    return made._replace(truth={**made.truth, **truth})


def test_points_near_enough(split, rng):
    fit, test = parts(split, rng), parts(split, rng)
    assert metrics.part_detection(fit, test)['part_ap_l2_image'] == 100
    off = parts(split, rng, offsets=((0, 0), (8, 7)))  # 10.6 pixels of 100.
    assert metrics.part_detection(fit, off)['part_ap_l2_image'] < 60
    wide = [s._replace(size=(150, 150)) for s in (fit, off)]
    assert metrics.part_detection(*wide)['part_ap_l2_image'] == 100


def test_channels_are_chosen_on_the_fit_split_alone(split, rng):
    fit, test = parts(split, rng), parts(split, rng)
    other = swapped(test)
    assert metrics.part_detection(other, other)['part_ap_l2_image'] == 100
    assert metrics.part_detection(fit, other)['part_ap_l2_image'] < 20
    assert metrics.part_detection(swapped(fit), other)['part_ap_l2_image'] == 100
    assert metrics.part_landmarks(other, other)['part_error_image'] < 1e-3 * SIDE


def test_every_length_has_its_reach_and_its_pictures(split, rng):
    fit, test = (parts(split, rng, offsets=((0, 0), (3, 0))) for _ in range(2))
    boxes = np.tile([[[10.0, 10, 50, 35], [0, 0, 99, 99]]], (40, 1, 1))
    boxes[:, 0, 2:] -= np.arange(40)[:, None] % 2 * 13  # 40 x 25 or 27 x 12.
    valid = np.ones((40, 2), bool)
    fit, test = (with_truth(s, boxes=boxes, boxes_valid=valid) for s in (fit, test))
    got = metrics.part_detection(fit, test)
    assert measured(got) == ['part_ap_l2_image', 'part_ap_l2_box']
    # sqrt(1000) = 31.6 and 18: 3 pixels are near enough in every second picture.
    assert got['part_ap_l2_image'] == 100 and 60 < got['part_ap_l2_box'] < 90
    valid = valid & (np.arange(40) % 2 == 0)[:, None]
    got = metrics.part_detection(fit, with_truth(test, boxes_valid=valid))
    assert got['part_ap_l2_box'] == 100
    got = metrics.part_detection(fit, with_truth(test, boxes_valid=valid & False))
    assert measured(got) == ['part_ap_l2_image']
    got = metrics.part_landmarks(fit, with_truth(test, boxes_valid=valid))
    image, box = got['part_error_image'], got['part_error_box']
    assert measured(got) == [
        f'part_error_{kind}{name}'
        for kind in ('', 'mean_shape_')
        for name in ('image', 'box')
    ]
    assert 0 < image < box and got['part_error_mean_shape_image'] > 5


def test_eyes_where_the_set_has_them(split, rng):
    def faces(name, count):
        made = parts(split, rng, n=60, landmarks=name)
        spread = rng.uniform(-8, 8, (1, count, 2)) + np.zeros((60, 1, 1))
        points = made.truth['keypoints'][:, :1] + spread
        return with_truth(made, keypoints=points, visible=np.ones((60, count), bool))

    state = rng.bit_generator.state

    def pair(name, count):
        rng.bit_generator.state = state
        first = faces(name, count)
        rng.bit_generator.state = state
        return first, faces(name, count)

    got, skipped = metrics.evaluate(NAMES[::2], *pair('faces68', 68))
    ends = [f'{name}{end}' for end in ('', '_5') for name in ('image', 'eyes')]
    errors = [f'part_error_{kind}' for kind in ('', 'mean_shape_')]
    want = {f'part_ap_l2_{end}' for end in ends}
    assert set(measured(got)) == want | {
        error + end for error in errors for end in ends
    }
    assert not skipped
    # The points of the subset, measured in the distance of its own eyes.
    fit, test = pair('faces68', 68)
    points, seen = metrics.five_points(test.truth['keypoints'], test.truth['visible'])
    five = [
        with_truth(s, keypoints=points, visible=seen)._replace(landmarks='faces5')
        for s in (fit, test)
    ]
    alone, _ = metrics.evaluate(NAMES[::2], *five)
    assert {f'{name}_5': value for name, value in alone.items()} == pytest.approx(
        {name: value for name, value in got.items() if name.endswith('_5')}
    )
    for name, count in (('cats7', 7), ('faces5', 5), ('ls3d68', 68), ('cub15', 15)):
        got = metrics.part_detection(*pair(name, count))
        assert ('part_ap_l2_eyes' in got) == (name in ('cats7', 'faces5'))


def test_parts_that_one_split_does_not_show_do_not_count(split, rng):
    fit, test = parts(split, rng, offsets=((0, 0), (9, 9))), parts(split, rng)
    for hidden in (fit, test):
        hidden.truth['visible'][:, 1] = False
        assert metrics.part_detection(fit, test)['part_ap_l2_image'] == 100
        assert metrics.part_landmarks(fit, test)['part_error_image'] < 0.3
        hidden.truth['visible'][:, 1] = True
    hidden.truth['visible'][:] = False
    for measure in (metrics.part_detection, metrics.part_landmarks):
        for pair in ((fit, test), (test, fit)):
            with pytest.raises(Unmeasurable, match='no annotated point is visible'):
                measure(*pair)


def test_landmarks_are_ridge_regression_from_the_chosen_peaks(split, rng):
    more = {'noise': 1.5, 'offsets': ((5, 2), (-4, 6))}
    fit, test = parts(split, rng, 60, **more), parts(split, rng, **more)
    fit.truth['visible'][::3, 0] = False
    test.truth['visible'][::4, 1] = False
    got = metrics.part_landmarks(fit, test)
    features = [
        s.prediction.keypoints.xy[:, [0, 3]].reshape(-1, 4).astype(float) / SIDE
        for s in (fit, test)
    ]
    errors, means = [], []
    for t in (0, 1):
        seen = fit.truth['visible'][:, t]
        x, y = features[0][seen], fit.truth['keypoints'][seen, t] / SIDE
        centered = x - x.mean(axis=0)
        ridge = np.sqrt(1e-3 * (centered.T @ centered).max()) * np.eye(4)
        rows = np.concatenate([centered, ridge])
        targets = np.concatenate([y - y.mean(axis=0), np.zeros((4, 2))])
        weights = np.linalg.lstsq(rows, targets, rcond=None)[0]
        found = (features[1] - x.mean(axis=0)) @ weights + y.mean(axis=0)
        shown = test.truth['visible'][:, t]
        true = test.truth['keypoints'][shown, t] / SIDE
        errors.append(np.linalg.norm(found[shown] - true, axis=1))
        means.append(np.linalg.norm(y.mean(axis=0) - true, axis=1))
    assert got['part_error_image'] == pytest.approx(100 * np.concatenate(errors).mean())
    mean = got['part_error_mean_shape_image']
    assert mean == pytest.approx(100 * np.concatenate(means).mean())
    assert 1 < got['part_error_image'] < mean


def test_missing_peaks_are_filled_and_rare_channels_say_nothing(split, rng):
    fit, test = parts(split, rng), parts(split, rng)
    test.prediction.keypoints.score[:5] = 0
    got = metrics.part_landmarks(fit, test)
    assert 0.5 < got['part_error_image'] < got['part_error_mean_shape_image']
    fit.prediction.keypoints.score[10:] = 0
    got = metrics.part_landmarks(fit, test)
    assert got['part_error_image'] == pytest.approx(got['part_error_mean_shape_image'])


def test_errors_of_the_mean_shape_are_told(split, rng, caplog):
    fit, test = parts(split, rng), parts(split, rng)
    assert metrics.part_landmarks(fit, test)['part_landmarks_used'] == 100
    assert not caplog.text
    fit.prediction.keypoints.score[10:] = 0
    assert metrics.part_landmarks(fit, test)['part_landmarks_used'] == 0
    assert "part_error is the mean shape's" in caplog.text


def test_always_the_mean_place(split, rng):
    """By hand: its precision is its share of hits, for all pictures score alike."""
    fit, test = (parts(split, rng) for _ in range(2))
    got = metrics.part_detection(fit, test)['part_ap_l2_mean_place_image']
    place = fit.truth['keypoints'].mean(axis=0)
    near = np.linalg.norm(test.truth['keypoints'] - place, axis=-1) <= 10
    want = np.mean([hits.mean() ** 2 for hits in near.T])
    assert got == pytest.approx(100 * want) and 0 < want < 0.5
    still = with_truth(test, keypoints=np.tile(place, (40, 1, 1)))
    assert metrics.part_detection(fit, still)['part_ap_l2_mean_place_image'] == 100
    boxed = with_boxes(fit), with_boxes(still)
    assert metrics.part_box_detection(*boxed)['part_ap_iou50_mean_place'] == 100
    fit.truth['visible'][:, 1] = False  # Of a point without a mean nothing is said.
    assert metrics.part_detection(fit, still)['part_ap_l2_mean_place_image'] == 100


def with_boxes(made, sides=((10, 10), (8, 16)), label=(4, 1)):
    """Boxes of parts 4 and 1 around the points, and room for another."""
    points, half = made.truth['keypoints'], np.array(sides) / 2
    boxes = np.full((len(points), 3, 4), -1.0)
    boxes[:, :2] = np.concatenate([points - half, points + half], axis=-1)
    label = np.tile([*label, -1], (len(points), 1)).astype(np.int32)
    truth = {'part_boxes': boxes, 'part_label': label}
    return made._replace(truth=truth)


def test_part_boxes(split, rng):
    exact = {'offsets': ((0, 0), (0, 0))}
    fit, test = (with_boxes(parts(split, rng, **exact)) for _ in range(2))
    got, skipped = metrics.evaluate(NAMES, fit, test)
    assert measured(got) == ['part_ap_iou50'] and got['part_ap_iou50'] == 100
    assert set(skipped) == {'part_detection', 'part_landmarks'}
    assert metrics.part_box_detection(fit, swapped(test))['part_ap_iou50'] < 10
    # Anchors are the fit split's: 10 x 10 in 10 x 20.1 is just less than a half.
    long = with_boxes(parts(split, rng, **exact), ((10, 20.1), (8, 16)))
    assert metrics.part_box_detection(fit, long)['part_ap_iou50'] == 50
    assert metrics.part_box_detection(long, long)['part_ap_iou50'] == 100
    other = with_boxes(parts(split, rng, **exact), label=(4, 6))  # 6 is nowhere else.
    for pair in ((fit, other), (other, fit)):
        assert metrics.part_box_detection(*pair)['part_ap_iou50'] == 100


def test_duplicates_in_the_same_place_cost_nothing(split, rng):
    fit, test = (with_boxes(parts(split, rng)) for _ in range(2))
    want = metrics.part_box_detection(fit, test)
    for made in (fit, test):
        points = made.prediction.keypoints
        points.xy[:, 1] = points.xy[:, 0] + 1  # Thinned out.
    assert metrics.part_box_detection(fit, test) == pytest.approx(want)


def test_skipping(split, rng):
    made = parts(split, rng)
    bare = made._replace(truth={'index': np.arange(40)})
    _, skipped = metrics.evaluate(NAMES, bare, bare)
    assert skipped['part_box_detection'] == (
        "needs truth 'part_boxes', 'part_label', the source has none"
    )
    assert skipped['part_landmarks'].startswith("needs truth 'keypoints', 'visible'")
    assert set(metrics.evaluate(NAMES, None, made)[1]) == set(NAMES)
    # Points of several objects have no order; boxes of parts need none.
    boxed = with_boxes(made)
    several = with_truth(boxed, keypoints=np.zeros((40, 3, 2, 2)),
                         visible=np.ones((40, 3, 2), bool))  # fmt: skip
    got, skipped = metrics.evaluate(NAMES, several, several)
    assert measured(got) == ['part_ap_iou50']
    assert skipped['part_detection'].startswith('needs points in a fixed order')
    empty = with_truth(boxed, part_label=np.full((40, 3), -1))
    for pair in ((boxed, empty), (empty, boxed), (empty, empty)):
        _, skipped = metrics.evaluate(NAMES[1:2], *pair)
        assert skipped == {'part_box_detection': 'no part has boxes in both splits'}


def test_wrong_splits(split, rng):
    fit, test = parts(split, rng), parts(split, rng)
    other = test._replace(num_labels=4)
    for name in NAMES:
        with pytest.raises(ValueError, match='labels of fit and test: 3, 4'):
            metrics.PROTOCOLS[name].function(with_boxes(fit), other)
    more = with_truth(test, keypoints=np.ones((40, 3, 2)), visible=np.ones((40, 3)))
    for name in NAMES[::2]:
        with pytest.raises(ValueError, match='same annotated points'):
            metrics.PROTOCOLS[name].function(fit, more)
        with pytest.raises(ValueError, match='faces5 has 5 points'):
            metrics.PROTOCOLS[name].function(fit, test._replace(landmarks='faces5'))
        with pytest.raises(ValueError, match='wanted keypoints'):
            flat = with_truth(test, keypoints=np.ones((40, 2)), visible=np.ones(40))
            metrics.PROTOCOLS[name].function(flat, flat)

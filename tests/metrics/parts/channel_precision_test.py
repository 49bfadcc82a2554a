import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from kpdiscovery import metrics
from kpdiscovery.metrics import Candidates

# One channel, one part, four pictures: right, its duplicate, wrong, right, in this order.
XY = [[[10, 10], [11, 12]], [[40, 40], [0, 0]], [[30, 33], [0, 0]], [[0, 0], [0, 0]]]
SCORE = [[0.9, 0.8], [0.7, 0], [0.6, 0], [0, 0]]
POINTS = np.array([[[10, 12]], [[10, 10]], [[30, 30]], [[5, 5]]], float)


def candidates(xy=XY, score=SCORE):
    """One channel of `[N, P, 2]` and `[N, P]`."""
    return Candidates(
        np.array(xy, np.float32)[:, None], np.array(score, np.float32)[:, None]
    )


def points_ap(found, points=POINTS, visible=None, reach=5.0):
    visible = np.ones(np.shape(points)[:-1], bool) if visible is None else visible
    return metrics.channel_average_precision(found, points, visible, reach)


def test_by_hand():
    # Precision 1, 1/2, 1/3, 1/2, the points are four.
    assert points_ap(candidates())[0, 0] == pytest.approx((1 + 0.5) / 4)


def test_points_that_cannot_be_seen_are_not_there():
    visible = np.array([[True], [False], [True], [False]])
    got = points_ap(candidates(), visible=visible)
    assert got[0, 0] == pytest.approx((1 + 0.5) / 2)  # The wrong one stays wrong.
    hidden = np.where(visible[..., None], POINTS, np.nan)
    assert points_ap(candidates(), hidden, visible) == got
    got = points_ap(candidates(), visible=np.array([[False], [True], [True], [True]]))
    assert got[0, 0] == pytest.approx(0.25 / 3)  # Both of the first are wrong now.
    assert np.isnan(points_ap(candidates(), visible=np.zeros((4, 1), bool)))


def test_reach_counts_itself_and_may_differ_by_picture():
    assert points_ap(candidates(), reach=3)[0, 0] == pytest.approx(1.5 / 4)
    assert points_ap(candidates(), reach=2.9)[0, 0] == pytest.approx(1 / 4)
    reach = np.array([1.5, 9, 3, 9])
    # The best misses now, the second of the same picture does not.
    assert points_ap(candidates(), reach=reach)[0, 0] == pytest.approx((0.5 + 0.5) / 4)


def test_the_closest_instance_or_none():
    points = np.array([[[[0, 0], [4, 0]]]], float)  # One part, two instances.
    visible = np.ones((1, 1, 2), bool)
    taken = candidates([[[0, 0], [1, 0]]], [[0.9, 0.8]])  # Both closest to the first.
    assert points_ap(taken, points, visible)[0, 0] == pytest.approx(0.5)
    both = candidates([[[0, 0], [3, 0]]], [[0.9, 0.8]])
    assert points_ap(both, points, visible)[0, 0] == 1
    between = candidates([[[2, 0], [2, 0]]], [[0.9, 0.8]])  # The first of equals.
    assert points_ap(between, points, visible)[0, 0] == pytest.approx(0.5)
    one = np.array([[[True, False]]])
    assert points_ap(both, points, one)[0, 0] == 1  # The other is a false alarm, later.
    assert points_ap(both, points, ~one)[0, 0] == 1  # The better one takes the far one.


def test_equal_scores_count_together_in_any_order():
    xy, score = np.array(XY, float), np.ones((4, 2))
    score[3] = 0
    for order in ([0, 1, 2, 3], [1, 0, 3, 2], [3, 2, 1, 0]):
        got = points_ap(candidates(xy[order], score[order]), POINTS[order])
        assert got[0, 0] == pytest.approx(2 / 6 * 2 / 4)  # Zeros hit nothing.


def test_areas_agree_with_scikit_learn(rng):
    hits, score = rng.uniform(size=(200, 5)) < 0.2, rng.integers(1, 40, 200) / 40
    order = np.argsort(-score, kind='stable')
    got = metrics.average_precisions(hits[order], np.full(5, 90), score=score[order])
    for t in range(5):
        precision, recall, _ = precision_recall_curve(hits[:, t], score)
        area = -np.diff(recall) @ np.maximum.accumulate(precision)[:-1]
        assert got[t] == pytest.approx(area * hits[:, t].sum() / 90)
    counted = rng.uniform(size=(200, 5)) < 0.5
    hits &= counted
    got = metrics.average_precisions(hits, np.full(5, 90), counted)
    for t in range(5):
        alone = metrics.average_precision(hits[counted[:, t], t], 90)
        assert got[t] == pytest.approx(alone)


def random_candidates(rng, n, c, p):
    xy = rng.uniform(0, 60, (n, c, p, 2)).astype(np.float32)
    score = -np.sort(-rng.permutation(n * c * p).reshape(n, c, p) - 1.0)
    score = np.where(np.arange(p) < rng.integers(0, p + 1, (n, c, 1)), score, 0)
    return Candidates(xy, score.astype(np.float32))


def plain_ap(found, channel, part, there, nearness, keep):
    """One pair, one candidate after the other; nearness(n, xy) is >= 0 within reach."""
    listed = [
        (-found.score[n, channel, p], n, found.xy[n, channel, p].astype(float))
        for n, p in zip(*np.nonzero(found.score[:, channel]), strict=True)
    ]
    taken, kept, hits = set(), {}, []
    for _, n, xy in sorted(listed, key=lambda row: row[0]):
        if not keep(xy, kept.setdefault(n, [])):
            continue
        kept[n].append(xy)
        close = [
            v if there[n, part, g] else -np.inf for g, v in enumerate(nearness(n, xy))
        ]
        best = int(np.argmax(close))
        hits.append(close[best] >= 0 and (n, best) not in taken)
        taken |= {(n, best)} if hits[-1] else set()
    total, area, best = there[:, part].sum(), 0.0, 0.0
    for rank in range(len(hits), 0, -1):
        best = max(best, sum(hits[:rank]) / rank)
        area += best * hits[rank - 1]
    return area / total if total else np.nan


@pytest.mark.parametrize('instances', [1, 3])
def test_agrees_with_one_candidate_after_the_other(rng, instances):
    n, c, t = 25, 4, 3
    found = random_candidates(rng, n, c, 4)
    points = rng.uniform(0, 60, (n, t, instances, 2))
    visible = rng.uniform(size=(n, t, instances)) < 0.7
    visible[:, 2] = False
    reach = rng.uniform(5, 25, n)
    if instances == 1:
        got = points_ap(found, points[:, :, 0], visible[:, :, 0], reach)
    else:
        got = points_ap(found, points, visible, reach)
    for channel, part in np.ndindex(c, t):
        near = lambda n, xy, t=part: (
            reach[n] - np.linalg.norm(points[n, t] - xy, axis=1)
        )
        want = plain_ap(found, channel, part, visible, near, lambda xy, kept: True)
        assert got[channel, part] == pytest.approx(want, nan_ok=True)
    assert (got[:, :2] > 0).any()


def plain_overlap(a, b):
    shared = [max(min(a[i + 2], b[i + 2]) - max(a[i], b[i]), 0) for i in (0, 1)]
    area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
    return shared[0] * shared[1] / (area(a) + area(b) - shared[0] * shared[1])


@pytest.mark.parametrize('instances', [1, 2])
def test_boxes_agree_with_one_candidate_after_the_other(rng, instances):
    n, c, t = 25, 4, 3
    found = random_candidates(rng, n, c, 5)
    low = rng.uniform(0, 40, (n, t, instances, 2))
    boxes = np.concatenate([low, low + rng.uniform(10, 35, low.shape)], axis=-1)
    valid = rng.uniform(size=(n, t, instances)) < 0.8
    anchors = np.array([[22.0, 20], [30, 12], [np.nan, np.nan]])
    got = metrics.channel_box_precision(
        found, boxes, valid, anchors, overlap=0.4, suppress=0.25
    )
    assert np.isnan(got[:, 2]).all() and (got[:, :2] > 0).any()
    for channel, part in np.ndindex(c, 2):
        around = lambda xy, t=part: [*(xy - anchors[t] / 2), *(xy + anchors[t] / 2)]
        near = lambda n, xy, t=part, box=around: [
            plain_overlap(box(xy), b) - 0.4 for b in boxes[n, t]
        ]
        keep = lambda xy, kept, box=around: all(
            plain_overlap(box(xy), box(k)) <= 0.25 for k in kept
        )
        want = plain_ap(found, channel, part, valid, near, keep)
        assert got[channel, part] == pytest.approx(want)


def test_boxes_by_hand():
    boxes = np.array([[[[5, 5, 15, 15]]], [[[0, 0, 10, 20]]]], float)
    valid = np.ones((2, 1, 1), bool)
    found = candidates([[[10, 10], [12, 10]], [[5, 15], [40, 40]]],
                       [[0.9, 0.8], [0.7, 0.6]])  # fmt: skip
    # The second is thinned out; the third overlaps by exactly a half.
    ap = lambda **options: metrics.channel_box_precision(
        found, boxes, valid, np.array([[10.0, 10]]), **options
    )[0, 0]
    assert ap() == 1
    assert ap(suppress=0.9) == pytest.approx((1 + 2 / 3) / 2)
    assert ap(overlap=0.51) == pytest.approx(0.5)


def test_choice_and_what_was_chosen():
    nan = np.nan
    table = np.array([[0.1, 0.5, nan, nan, 0], [0.3, 0.5, nan, 0.2, 0]])
    chosen = metrics.choose_channels(table)
    assert chosen.tolist() == [1, 0, -1, 1, 0]
    score = np.zeros((3, 9, 1))
    score[:, 2], score[:, 7] = 2, 7
    measured = lambda few: few.score[0] + np.arange(4) / 10  # Channel, then part.
    found = Candidates(np.zeros((3, 9, 1, 2)), score)
    got = metrics.chosen_precision(found, np.array([7, 2, -1, 7]), measured)
    np.testing.assert_allclose(got, [7.0, 2.1, nan, 7.3])
    with pytest.raises(ValueError, match=r'precision \[C, T\]'):
        metrics.choose_channels(np.zeros(3))


def test_no_picture_and_no_candidate():
    none = Candidates(np.zeros((0, 2, 1, 2)), np.zeros((0, 2, 1)))
    got = points_ap(none, np.zeros((0, 3, 2)), reach=np.zeros(0))
    assert got.shape == (2, 3) and np.isnan(got).all()
    assert points_ap(candidates(score=np.zeros((4, 2))))[0, 0] == 0


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'points': np.zeros((4, 1, 1, 1, 2))}, r'points \[N, T, 2\] or'),
        ({'points': np.zeros((3, 1, 2))}, 'candidates of 4 pictures, parts of 3'),
        ({'points': np.full((4, 1, 2), np.nan)}, 'finite annotated points'),
        ({'reach': 0.0}, 'normalizer > 0'),
        ({'reach': np.ones(3)}, r'normalizer \(4,\)'),
        ({'found': Candidates(np.zeros((4, 1, 2)), np.zeros((4, 1)))}, r'\[N, C, P\]'),
    ],
)
def test_wrong_points(change, message):
    with pytest.raises(ValueError, match=message):
        points_ap(**{'found': candidates(), **change})


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'boxes': np.zeros((4, 1, 2, 4))}, r'anchors \[T, 2\], got \(4, 1, 2, 4\)'),
        ({'valid': np.ones((4, 1), bool)}, r'boxes \[N, T, G, 4\]'),
        ({'anchors': np.ones((2, 2))}, r'\(2, 2\)'),
        ({'anchors': np.array([[0.0, 1]])}, r'anchors > 0.*got 0\.0'),
        ({'overlap': 0.0}, r'overlaps in \(0, 1\]'),
        ({'suppress': 1.5}, r'overlaps in \(0, 1\]'),
    ],
)
def test_wrong_boxes(change, message):
    given = {'boxes': np.tile([0.0, 0, 1, 1], (4, 1, 1, 1)),
             'valid': np.ones((4, 1, 1), bool), 'anchors': np.ones((1, 2)), **change}  # fmt: skip
    with pytest.raises(ValueError, match=message):
        metrics.channel_box_precision(candidates(), **given)

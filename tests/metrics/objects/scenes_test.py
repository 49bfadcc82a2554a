import numpy as np
import pytest

from kpdiscovery import metrics

TRUTH = np.array([[[10, 10, 30, 30], [20, 10, 40, 30], [50, 50, 70, 70]]], np.float32)
ALL = np.ones((1, 3), bool)


def match(xy, valid=None, boxes_valid=ALL, **options):
    xy = np.array([xy], np.float32)
    valid = np.ones(xy.shape[:2], bool) if valid is None else np.array([valid])
    return metrics.match_boxes(TRUTH, boxes_valid, xy, valid, **options)[0].tolist()


def test_boxes_choose_in_order_and_keep():
    # IoU with boxes 0 and 1: (22, 20) has 18/22 and 12/28, (26, 20) 14/26 and 16/24.
    # Where (22, 20) is missing box 0 takes (26, 20), though box 1 fits it better.
    assert match([[26, 20], [22, 20], [60, 60]]) == [1, 0, 2]
    assert match([[26, 20], [60, 60], [90, 90]]) == [0, -1, 1]


def test_threshold_is_exclusive():
    exact = 20 / 3  # Moved by a third of its side a square keeps IoU 1/2.
    assert match([[20, 20 + exact + 0.01]]) == [-1, -1, -1]
    assert match([[20, 20 + exact - 0.01]]) == [0, -1, -1]
    half = np.array([[[0, 0, 20, 10]]])  # Half of the square, exactly.
    one = np.ones((1, 1), bool)
    assert metrics.match_boxes(half, one, np.array([[[10, 10]]]), one) == -1
    assert (
        metrics.match_boxes(half, one, np.array([[[10, 10]]]), one, threshold=0.4) == 0
    )


def test_first_of_equals_wins_and_side_counts():
    assert match([[20, 22], [20, 18]]) == [0, -1, -1]
    assert match([[20, 20], [60, 60]], box=10) == [-1, -1, -1]
    assert match([[60, 60]], box=26) == [-1, -1, 0]  # 400 / 676.


def test_invalid_points_and_boxes_do_not_count():
    points = [[20, 20], [60, 60], [30, 20]]
    assert match(points, valid=[False, True, True]) == [-1, 2, 1]
    assert match(points, valid=[False] * 3) == [-1, -1, -1]
    assert match(points, boxes_valid=np.array([[True, True, False]])) == [0, 2, -1]
    assert match([[np.nan, 0], [60, 60]], valid=[False, True]) == [-1, -1, 1]


def test_pictures_do_not_mix():
    rng = np.random.default_rng(0)
    xy = rng.uniform(10, 70, (40, 5, 2))
    boxes = np.concatenate([xy - 10, xy + 10], -1) + rng.normal(0, 3, (40, 5, 1))
    valid, found = np.ones((40, 5), bool), rng.uniform(size=(40, 5)) < 0.9
    got = metrics.match_boxes(boxes, found, xy, valid)
    for i in range(40):
        alone = metrics.match_boxes(*(v[i : i + 1] for v in (boxes, found, xy, valid)))
        np.testing.assert_array_equal(got[i : i + 1], alone)


@pytest.mark.parametrize(
    'shapes, box',
    [
        (((1, 3, 4), (1, 2), (1, 2, 2), (1, 2)), 20),
        (((1, 3, 4), (1, 3), (1, 2, 2), (1, 3)), 20),
        (((1, 3, 4), (1, 3), (2, 2, 2), (2, 2)), 20),
        (((1, 3, 4), (1, 3), (1, 2, 2), (1, 2)), 0),
    ],
)
def test_bad_input(shapes, box):
    with pytest.raises(ValueError, match='box'):
        metrics.match_boxes(*map(np.zeros, shapes), box=box)


def digits(split, label, digit, hit, size=80, boxes_valid=None, valid=None):
    """One digit and one keypoint a picture; `hit` says whether they meet."""
    n = len(digit)
    xy = np.full((n, 1, 2), 39.5) * size / 80
    box = np.concatenate([xy - size / 8, xy + size / 8], axis=-1)
    xy = np.where(np.reshape(hit, (n, 1, 1)), xy, 0)
    seen = np.ones((n, 1), bool) if boxes_valid is None else np.c_[boxes_valid]
    truth = {
        'boxes': box,
        'boxes_valid': seen,
        'attributes': {'digit': np.where(seen, np.c_[digit], -1)},
    }
    return split(truth, xy, np.c_[label], valid, size=(size, size))


@pytest.mark.parametrize('size', [80, 32, 160])
def test_protocol_by_hand(split, size):
    # Prototype 3 sees digits 0, 0, 1; prototype 5 sees 1, 1 and, twice, 0; 6 sees 0.
    label, digit = [3, 3, 3, 5, 5, 5, 5, 6, 5, 3], [0, 0, 1, 1, 1, 0, 0, 0, 1, 0]
    test = digits(split, label, digit, [True] * 8 + [False] * 2, size)
    want = {
        'localization': 8 / 10,
        'both': 4 / 10,  # 3 -> 0 and 5 -> 1.
        'classification': 4 / 8,
        'both_majority': 5 / 10,  # 3 -> 0, 5 -> either, 6 -> 0.
        'classification_majority': 5 / 8,
        'both_reversed': 4 / 10,  # 0 -> 3 or 5 (2), 1 -> 5 (2).
        'classification_reversed': 4 / 8,
    }
    assert metrics.mnist_hard(test, test) == pytest.approx(want)


def test_protocol_with_fewer_prototypes_than_classes(split):
    test = digits(split, [0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 2, 2], [True] * 6)
    got = metrics.mnist_hard(test, test)
    assert (
        got['classification'] == got['classification_majority'] == pytest.approx(4 / 6)
    )
    assert got['classification_reversed'] == got['both_reversed'] == 1


def test_protocol_ignores_numbering(split):
    rng = np.random.default_rng(0)
    label, digit, hit = (
        rng.integers(0, 4, 50),
        rng.integers(0, 4, 50),
        rng.uniform(size=50),
    )
    order = np.array([2, 3, 0, 1])
    test = digits(split, label, digit, hit < 0.8)
    other = digits(split, order[label], order[::-1][digit], hit < 0.8)
    assert metrics.mnist_hard(test, test) == pytest.approx(
        metrics.mnist_hard(other, other)
    )


def test_protocol_with_nothing_found_or_padding(split):
    test = digits(split, [0, 1], [0, 1], [True, True], valid=[[False], [False]])
    assert set(metrics.mnist_hard(test, test).values()) == {0.0}
    test = digits(split, [0, 1], [0, 1], [True, True], boxes_valid=[True, False])
    assert set(metrics.mnist_hard(test, test).values()) == {1.0}
    test = digits(split, [0, 1], [0, 1], [True, True], boxes_valid=[False, False])
    with pytest.raises(metrics.Unmeasurable, match='no picture has a true box'):
        metrics.mnist_hard(test, test)

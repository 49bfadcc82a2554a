import numpy as np
import pytest
from scipy import ndimage

from kpdiscovery import metrics
from kpdiscovery.metrics.maps import contours, score_maps

WEIGHT_MAP = np.zeros((8, 8))
WEIGHT_MAP[1:4, 1:4], WEIGHT_MAP[5:7, 5:8], WEIGHT_MAP[0, 7] = 1, 0.6, 0.05


def centred(boxes):
    """Whole pixels from the picture's edge, the protocol's, as house boxes."""
    return np.asarray(boxes, float) - 0.5


def random_maps(rng, count=6, size=48):
    """Smooth, with several peaks and hollows; and one that is noise."""
    for i in range(count):
        noise = rng.normal(size=(size, size))
        yield ndimage.gaussian_filter(noise, (0, 1.5, 3, 6)[i % 4]).astype(np.float32)


# Worked by hand.


def test_inclusive_overlap_of_the_reference():
    one = np.array([[0, 0, 9, 9], [0, 0, 4, 4], [0, 0, 0, 0]])
    two = np.array([[5, 0, 14, 9], [0, 0, 9, 9], [5, 5, 9, 9], [1, 1, 3, 3]])
    got = metrics.inclusive_overlap(one, two)
    assert got[0, 0] == pytest.approx(1 / 3)
    assert (got[0, 1], got[1, 2], got[2, 1]) == (1, 0, 0.01)
    assert metrics.inclusive_overlap([[1, 1, 4, 4]], two)[0, 3] == 0.5625


def test_resized_boxes_of_the_reference():
    box = np.array([10, 20, 250, 300])
    assert metrics.resize_boxes(box, (375, 500)).tolist() == [4, 11, 112, 179]
    two = metrics.resize_boxes(np.stack([box, box]), np.array([[375, 500], [224, 224]]))
    assert two.tolist() == [[4, 11, 112, 179], box.tolist()]


def test_min_max_of_the_reference():
    got = score_maps.min_max(np.array([[2.0, 4], [6, 10]]))
    np.testing.assert_allclose(got, [[0, 0.25], [0.5, 1]])


@pytest.mark.parametrize('kind', ['float16', 'float32', 'float64'])
@pytest.mark.parametrize('value', [0.1, 0.7, -3.3, 0.0])
@pytest.mark.parametrize('side', [7, 13])
def test_a_constant_map_finds_nothing_whatever_its_type(kind, value, side):
    maps = np.full((1, side, side), value, kind)  # The cubic leaves 1e-16 of contrast.
    box = centred([[[0, 0, side - 1, side - 1]]])
    assert metrics.max_box_accuracy(maps, box).mean == 0
    assert metrics.max_box_accuracy(maps, box, version=2).mean == 0
    half = np.arange(side * side).reshape(1, side, side) % 2 > 0
    share = 100 * score_maps.resize_nearest(half[0], 224).mean()
    assert metrics.pixel_average_precision(maps, half) == pytest.approx(share)
    maps[0, 2, 2] += 0.01 * (abs(value) or 1)  # Little contrast is some.
    assert score_maps.min_max(maps[0].astype(float)).max() == 1


def test_boxes_of_the_reference():
    for mask in (
        WEIGHT_MAP >= 0.1,
        score_maps.levels(WEIGHT_MAP) > int(0.1 * 255),
    ):
        assert mask.sum() == 15
        assert contours.largest_contour_box(mask).tolist() == [1, 1, 4, 4]
    assert contours.contour_boxes(mask).tolist() == [[1, 1, 4, 4], [5, 5, 8, 7]]


def test_localization_of_the_reference():
    # Truth (1, 1, 3, 3), inclusive: an overlap of 9/16.
    maps, boxes = WEIGHT_MAP[None], centred([[[1, 1, 3, 3]]])
    known = metrics.ground_truth_known_localization(maps, boxes, size=8)
    assert known.mean == 100 and known.correct.all()
    known = metrics.ground_truth_known_localization(maps, boxes, size=8, overlap=0.57)
    assert known.mean == 0
    v1 = metrics.max_box_accuracy(maps, boxes, size=8)
    assert v1.mean == 100 and v1.thresholds.tolist() == [0]  # The first of equals.
    v2 = metrics.max_box_accuracy(maps, boxes, size=8, version=2)
    np.testing.assert_array_equal(v2.per_overlap, [100, 100, 0])
    assert v2.mean == pytest.approx(200 / 3)


# Against OpenCV.


def opencv_boxes(cv2, mask, version):
    found, _ = cv2.findContours(
        mask.astype(np.uint8) * 255, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE
    )
    if version == 1:
        found = [max(found, key=cv2.contourArea)] if found else []
    boxes = [cv2.boundingRect(one) for one in found]
    return np.array([(x, y, x + w, y + h) for x, y, w, h in boxes]).reshape(-1, 4)


def test_contours_are_those_of_opencv(rng):
    cv2 = pytest.importorskip('cv2')
    noise = [rng.random((30, 37)) < share for share in np.linspace(0.05, 0.95, 40)]
    smooth = [m > cut for m in random_maps(rng, 8) for cut in np.linspace(-1, 1, 20)]
    for mask in noise + smooth + [np.zeros((4, 5), bool), np.ones((4, 5), bool)]:
        want = opencv_boxes(cv2, mask, 1)
        got = contours.largest_contour_box(mask)
        assert got.tolist() == (want[0].tolist() if len(want) else [0] * 4)
        want, got = opencv_boxes(cv2, mask, 2), contours.contour_boxes(mask)
        assert sorted(map(tuple, got)) == sorted(map(tuple, want))
        both = contours.contours(mask)
        assert both.largest.tolist() == contours.largest_contour_box(mask).tolist()
        assert sorted(map(tuple, both.every)) == sorted(map(tuple, want))


@pytest.mark.parametrize('shape', [(7, 7), (14, 11), (80, 60)])
def test_resizing_is_that_of_opencv(rng, shape):
    cv2 = pytest.importorskip('cv2')
    score = rng.random(shape).astype(np.float32)
    want = cv2.resize(score, (48, 48), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(score_maps.resize_cubic(score, 48), want, atol=2e-6)
    mask = rng.random(shape) < 0.5
    want = cv2.resize(mask.astype(np.uint8), (48, 48), interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(score_maps.resize_nearest(mask, 48), want)


@pytest.mark.parametrize('version', [1, 2])
def test_accuracy_is_that_of_the_protocol_step_by_step(rng, version):
    cv2 = pytest.importorskip('cv2')
    maps, size, shares = np.stack(list(random_maps(rng))), 48, np.arange(0, 1, 0.01)
    low, sides = rng.integers(0, 20, (6, 2, 2)), rng.integers(5, 40, (6, 2, 2))
    boxes = np.concatenate([low, np.minimum(low + sides, size)], axis=-1)
    best = np.zeros((6, 100))
    for row, score in enumerate(maps):
        grey = ((score - score.min()) / np.ptp(score) * 255).astype(np.uint8)
        for column, share in enumerate(shares):
            found = opencv_boxes(cv2, grey > int(share * grey.max()), version)
            found = np.minimum(found, size - 1) if len(found) else np.zeros((1, 4))
            best[row, column] = metrics.inclusive_overlap(found, boxes[row]).max()
    overlaps = np.array([0.5] if version == 1 else [0.3, 0.5, 0.7])
    want = (100 * (best[..., None] >= overlaps).mean(axis=0)).max(axis=0)
    got = metrics.max_box_accuracy(
        maps, centred(boxes), version=version, step=0.01, size=size
    )
    np.testing.assert_allclose(got.per_overlap, want)
    assert got.mean == pytest.approx(want.mean())
    assert 0 < got.mean < 100


# By hand.


def test_one_threshold_for_the_whole_set():
    # Each map has its object at another share of the maximum: never both.
    maps = np.zeros((2, 8, 8))
    maps[0] = 0.8
    maps[0, 2:5, 2:5] = 1
    maps[0, 0, 0], maps[1, 2:5, 2:5], maps[1, 7, 7] = 0, 0.3, 1
    boxes = centred([[[2, 2, 5, 5]]] * 2)
    got = metrics.max_box_accuracy(maps, boxes, size=8)
    assert got.mean == 50 and got.correct.tolist() == [False, True]
    each = [metrics.max_box_accuracy(m[None], boxes[:1], size=8).mean for m in maps]
    assert each == [100, 100]


def test_holes_count_in_the_second_version():
    maps = np.ones((1, 20, 20))
    maps[0, 8:12, 8:12] = 0
    boxes = centred([[[7, 7, 13, 13]]])
    assert metrics.max_box_accuracy(maps, boxes, size=20).mean == 0
    assert metrics.max_box_accuracy(maps, boxes, size=20, version=2).mean == 100


def test_maps_of_nothing_find_the_first_pixel():
    maps = np.stack([np.full((8, 8), 0.5), np.full((8, 8), np.nan), np.zeros((8, 8))])
    far, corner = centred([[[4, 4, 7, 7]]] * 3), centred([[[0, 0, 0, 0]]] * 3)
    for boxes, mean in ((far, 0), (corner, 100)):
        for version in (1, 2):
            got = metrics.max_box_accuracy(maps, boxes, version=version, size=8)
            assert got.mean == mean
    known = metrics.ground_truth_known_localization(maps, far, size=8)
    # The fixed share does not stretch: a constant map is the whole picture.
    np.testing.assert_array_equal(known.correct, [False] * 3)
    whole = centred([[[0, 0, 7, 7]]] * 3)
    known = metrics.ground_truth_known_localization(maps, whole, size=8)
    np.testing.assert_array_equal(known.correct, [True, False, False])


def test_pictures_without_a_box_and_several_boxes():
    maps = np.stack([WEIGHT_MAP] * 3)
    boxes = centred([[[5, 5, 8, 7], [1, 1, 4, 4]]] * 3)
    valid = np.array([[True, True], [True, False], [False, False]])
    got = metrics.max_box_accuracy(maps, boxes, valid, size=8)
    np.testing.assert_array_equal(got.counted, [True, True, False])
    assert got.mean == 50  # The small component never is the largest ...
    got = metrics.max_box_accuracy(maps, boxes, valid, size=8, version=2)
    assert got.mean == 100  # ... but it is there.
    known = metrics.ground_truth_known_localization(maps, boxes, valid, size=8)
    assert known.mean == 50
    np.testing.assert_array_equal(known.correct, [True, False, False])


def test_boxes_of_other_pictures_and_beyond_them():
    maps = WEIGHT_MAP[None]
    large = np.array([[[20, 10, 80, 40]]]) - 0.5  # Of 160 x 80 pixels: (1, 1, 4, 4).
    for size in ((80, 160), np.array([[80, 160]])):
        got = metrics.max_box_accuracy(maps, large, size=8, image_size=size)
        assert got.mean == 100
    noisy = np.float32(large) - np.float32(1e-5)  # Rounding costs no pixel.
    got = metrics.ground_truth_known_localization(
        maps, noisy, size=8, image_size=(80, 160), overlap=1
    )
    assert got.mean == 100
    beyond = np.array([[[-90.0, -90, -50, -50]]])
    assert metrics.max_box_accuracy(maps, beyond, size=8, version=2).mean == 0


def test_scale_and_offset_change_nothing(rng):
    maps = np.stack(list(random_maps(rng))).astype(float)
    boxes = centred([[[5, 10, 30, 40]]] * 6)
    want = metrics.max_box_accuracy(maps, boxes, size=48, step=0.01)
    got = metrics.max_box_accuracy(8 * maps, boxes, size=48, step=0.01)
    np.testing.assert_array_equal(got.correct, want.correct)
    got = metrics.ground_truth_known_localization(8 * maps, boxes, size=48)
    want = metrics.ground_truth_known_localization(maps, boxes, size=48)
    np.testing.assert_array_equal(got.correct, want.correct)
    order = rng.permutation(6)
    got = metrics.ground_truth_known_localization(maps[order], boxes, size=48)
    np.testing.assert_array_equal(got.correct, want.correct[order])


def test_top1_needs_both():
    located = metrics.Localization(
        75.0,
        np.array([75.0]),
        np.array([0.1]),
        np.array([True, True, True, False, False]),
        np.array([True, True, True, True, False]),
    )
    logits = np.array([[1, 0], [0, 1], [1, 1], [1, 0], [1, 0.0]])
    assert metrics.top1_localization(located, logits, [0, 0, 0, 0, -1]) == 50
    with pytest.raises(ValueError, match=r'labels in 0..1, got 0..2'):
        metrics.top1_localization(located, logits, [0, 0, 2, 0, 0])
    with pytest.raises(ValueError, match=r'got \(4, 2\) and \(4,\)'):
        metrics.top1_localization(located, logits[:4], [0, 0, 0, 0])


def test_bad_input():
    maps, boxes = WEIGHT_MAP[None], centred([[[1, 1, 3, 3]]])
    for measure in (metrics.max_box_accuracy, metrics.ground_truth_known_localization):
        bad = [
            (maps[0], boxes, None, r'maps \[N, H, W\], got \(8, 8\)'),
            (maps, boxes[0], None, r'got \(1, 4\)'),
            (maps, boxes, np.ones((1, 2)), r'got \(1, 1, 4\), \(1, 2\)'),
            (maps, boxes, np.zeros((1, 1)), 'got none in 1 pictures'),
            (maps, boxes[..., ::-1], None, r'x0 <= x1 .* got \[2.5, 2.5, 0.5, 0.5\]'),
            (maps, boxes * np.nan, None, r'got \[nan'),
            (np.stack([maps[0]] * 2), boxes, None, 'maps of 2 pictures, boxes of 1'),
        ]
        for *args, message in bad:
            with pytest.raises(ValueError, match=message):
                measure(*args, size=8)
        with pytest.raises(ValueError, match=r'image_size .* got \(3,\)'):
            measure(maps, boxes, image_size=(8, 8, 3))
    with pytest.raises(ValueError, match='1 or 2, got 3'):
        metrics.max_box_accuracy(maps, boxes, version=3)
    with pytest.raises(ValueError, match=r'\(0, 1\), got 1'):
        metrics.max_box_accuracy(maps, boxes, step=1)
    with pytest.raises(ValueError, match=r'\(0, 1\], got 2'):
        metrics.ground_truth_known_localization(maps, boxes, fraction=2)
    with pytest.raises(ValueError, match=r'got \(1, 4\), \(2, 3\)'):
        metrics.inclusive_overlap(np.zeros((1, 4)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r'got \(4,\) and \[0.0, 5.0\]'):
        metrics.resize_boxes(np.zeros(4), (0, 5))

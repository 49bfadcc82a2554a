import numpy as np
import pytest

from kpdiscovery import metrics

TRUTH = np.array([[[10.0, 10], [40, 10], [10, 50]]])


def shifted(similarity, truth=TRUTH, area=900.0, sigma=0.1):
    """Points moved so that every OKS is the given one, `[N]`."""
    gap = np.sqrt(-8 * area * sigma**2 * np.log(np.asarray(similarity)))
    move = np.stack([0.6 * gap, 0.8 * gap], axis=-1)
    return np.tile(truth, (len(gap), 1, 1)) + move[:, None]


def average_precision(similarity, score=None, **options):
    n = len(similarity)
    return metrics.oks_average_precision(
        shifted(similarity),
        np.tile(TRUTH, (n, 1, 1)),
        np.full(n, 900.0),
        0.1,
        score,
        **options,
    )


def test_similarity_by_hand():
    # d^2 = 25, 0, 16; area 100; sigmas .1, .2, .5: exp(-25/8), 1, exp(-16/200).
    found = TRUTH + np.array([[3.0, 4], [0, 0], [0, 4]])
    args = found[:, None], TRUTH[:, None], [[100.0]], [0.1, 0.2, 0.5]
    got = metrics.object_keypoint_similarity(*args)
    want = np.exp([-25 / 8, 0, -16 / 200])
    np.testing.assert_allclose(got, [[[want.mean()]]])
    visible, valid = (
        np.array([[[True, False, True]]]),
        np.array([[[True, True, False]]]),
    )
    got = metrics.object_keypoint_similarity(*args, None, visible)
    np.testing.assert_allclose(got, [[[(want[0] + want[2]) / 2]]])
    got = metrics.object_keypoint_similarity(*args, valid, visible)
    np.testing.assert_allclose(got, [[[want[0] / 2]]])
    got = metrics.object_keypoint_similarity(*args, None, np.zeros((1, 1, 3)))
    np.testing.assert_array_equal(got, [[[0]]])


def test_similarity_does_not_depend_on_size():
    rng = np.random.default_rng(0)
    found, truth = rng.uniform(0, 50, (2, 4, 2, 5, 2))
    area, sigmas = rng.uniform(100, 900, (4, 2)), rng.uniform(0.02, 0.1, 5)
    want = metrics.object_keypoint_similarity(found, truth, area, sigmas)
    got = metrics.object_keypoint_similarity(3 * found, 3 * truth, 9 * area, sigmas)
    np.testing.assert_allclose(got, want)


def test_average_precision_by_hand():
    # Four pictures; OKS .97, .72, .30, .62; scores put the wrong one second.
    got = average_precision([0.97, 0.72, 0.30, 0.62], [0.9, 0.6, 0.8, 0.5])
    # Right at .5, .55 and .6: 1st, 3rd, 4th of 4 -> precision 1 up to recall 1/4, then
    # 3/4 up to 3/4. At .65 and .7: 1st and 3rd -> 1, then 2/3 up to 1/2. Then only 1st.
    # Recalls 0, .01 .. 1: 26 up to .25, 50 in (.25, .75], 25 in (.25, .5].
    low, middle, high = (26 + 50 * 3 / 4) / 101, (26 + 25 * 2 / 3) / 101, 26 / 101
    want = [low] * 3 + [middle] * 2 + [high] * 5
    np.testing.assert_allclose(got.precision_at, want)
    np.testing.assert_allclose(got.recall_at, [3 / 4] * 3 + [1 / 2] * 2 + [1 / 4] * 5)
    assert got.precision == pytest.approx(np.mean(want))
    assert got.recall == pytest.approx((3 * 3 + 2 * 2 + 5) / 40)


def test_equal_scores_count_together():
    got = average_precision([0.97, 0.3, 0.3, 0.97], thresholds=(0.5, 0.4))
    np.testing.assert_allclose(got.precision_at, [0.5 * 51 / 101] * 2)
    np.testing.assert_allclose(got.recall_at, [0.5, 0.5])
    other = average_precision([0.3, 0.97, 0.97, 0.3], np.full(4, 7.0))
    assert other.precision_at[0] == got.precision_at[0]
    assert average_precision([0.45], thresholds=(0.4,)).precision == 1


def plain_average_precision(close, score, threshold):
    """COCO's rules one step at a time: `[N][D, G]`, `[N, D]`, distinct scores."""
    rows = []
    for similarity, scores in zip(close, score, strict=True):
        free = list(range(similarity.shape[1]))
        for d in sorted(range(len(scores)), key=lambda d: -scores[d]):
            best = max(free, key=lambda g: similarity[d, g], default=None)
            hit = best is not None and similarity[d, best] >= threshold
            if hit:
                free.remove(best)
            rows.append((scores[d], hit))
    rows.sort(reverse=True)
    total = sum(c.shape[1] for c in close)
    points, right = [], 0
    for i, (_, hit) in enumerate(rows):
        right += hit
        points.append((right / total, right / (i + 1)))
    levels = np.linspace(0, 1, 101)
    return np.mean([max((p for r, p in points if r >= x), default=0) for x in levels])


def test_several_objects_against_a_plain_loop():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 60, (25, 3, 4, 2))
    found = truth[:, [1, 0, 2, 1, 0]] + rng.normal(0, 2.5, (25, 5, 4, 2))
    area, score = rng.uniform(400, 900, (25, 3)), rng.uniform(size=(25, 5))
    visible = rng.uniform(size=(25, 3, 4)) < 0.7
    visible[:5, 2] = False  # Only two objects there.
    got = metrics.oks_average_precision(found, truth, area, 0.08, score, None, visible)
    close = metrics.object_keypoint_similarity(found, truth, area, 0.08, None, visible)
    close = [c[:, v.any(axis=-1)] for c, v in zip(close, visible, strict=True)]
    levels = np.linspace(0.5, 0.95, 10)
    want = [plain_average_precision(close, score, t) for t in levels]
    np.testing.assert_allclose(got.precision_at, want)
    assert 0.1 < got.precision < 0.9
    order = rng.permutation(25)
    mixed = metrics.oks_average_precision(
        found[order, ::-1],
        truth[order][:, [2, 0, 1]],
        area[order][:, [2, 0, 1]],
        0.08,
        score[order, ::-1],
        None,
        visible[order][:, [2, 0, 1]],
    )
    np.testing.assert_allclose(mixed.precision_at, want)


def test_perfect_and_empty():
    perfect = average_precision([1.0, 1.0])
    assert perfect.precision == perfect.recall == 1
    assert average_precision([1.0]).precision == 1
    nothing = average_precision([1.0, 1.0], valid=np.zeros((2, 3)))
    assert nothing.precision == nothing.recall == 0
    half = np.array([[True] * 3, [False] * 3])
    got = average_precision([1.0, 1.0], valid=half)  # Not found is no false detection.
    assert got.recall == 0.5
    assert got.precision == pytest.approx(51 / 101)
    got = average_precision([1.0, 1.0], visible=half)  # No object: a false detection.
    assert (got.recall, got.precision) == (1, 0.5)


def test_bad_input():
    call = metrics.oks_average_precision
    with pytest.raises(ValueError, match='objects with visible points'):
        call(TRUTH, TRUTH, [1.0], 0.1, None, None, np.zeros((1, 3)))
    with pytest.raises(ValueError, match='area and sigmas > 0, got 0.0'):
        call(TRUTH, TRUTH, [0.0], 0.1)
    with pytest.raises(ValueError, match=r'sigmas \(3,\), got \(1, 1\) and \(2,\)'):
        call(TRUTH, TRUTH, [1.0], [0.1, 0.1])
    with pytest.raises(ValueError, match='wanted area'):
        call(TRUTH, TRUTH, [1.0, 2.0], 0.1)
    with pytest.raises(ValueError, match=r'thresholds in \(0, 1\]'):
        call(TRUTH, TRUTH, [1.0], 0.1, thresholds=(0.5, 1.5))
    with pytest.raises(ValueError, match='finite scores'):
        call(TRUTH, TRUTH, [1.0], 0.1, [np.nan])
    with pytest.raises(ValueError, match='finite predicted points, got 3'):
        call(TRUTH * np.nan, TRUTH, [1.0], 0.1)
    with pytest.raises(ValueError, match=r'\(1, 1, 2\) and \(1, 1, 3\)'):
        call(TRUTH[:, :2], TRUTH, [1.0], 0.1)
    with pytest.raises(ValueError, match=r'or \[N, D, T, 2\], got \(3, 2\)'):
        call(TRUTH[0], TRUTH, [1.0], 0.1)

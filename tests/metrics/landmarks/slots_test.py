import numpy as np
import pytest

from kpdiscovery import metrics
from kpdiscovery.metrics.landmarks import slots

SIZE = (40, 80)


def faces(split, n, points=5, seed=0, hidden=0.0, noise=0.0):
    """Keypoints at a random affine map's corners; landmarks a linear map of them."""
    rng = np.random.default_rng(seed)
    corners = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.8]]) * (SIZE[1], SIZE[0])
    xy = corners + rng.normal(0, 3, (n, 3, 2))
    shares = np.random.default_rng(7).dirichlet([1, 1, 1], points)  # Same for splits.
    landmarks = np.einsum('tk,nkc->ntc', shares, xy) + rng.normal(
        0, noise, (n, points, 2)
    )
    visible = rng.uniform(size=(n, points)) >= hidden
    truth = {
        'keypoints': np.where(visible[..., None], landmarks, -1).astype(np.float32),
        'visible': visible,
    }
    label = np.tile([0, 0, 1], (n, 1))
    return split(
        truth, xy, label, score=rng.uniform(size=(n, 3)), size=SIZE, num_labels=2
    )


def test_five_points_by_hand():
    xy = np.stack([np.arange(68.0), 2 * np.arange(68.0)], axis=-1)[None]
    visible = np.ones((1, 68), bool)
    visible[0, 37] = visible[0, 54] = False
    points, seen = metrics.five_points(xy, visible)
    np.testing.assert_array_equal(points[0, :, 0], [38.5, 44.5, 30, 48, 54])
    np.testing.assert_array_equal(points[0, :, 1], [77, 89, 60, 96, 108])
    np.testing.assert_array_equal(seen, [[False, True, True, True, False]])
    with pytest.raises(ValueError, match='68'):
        metrics.five_points(xy[:, :60], visible[:, :60])


@pytest.mark.parametrize('points', [5, 7, 68])
def test_protocol_on_a_linear_world(split, points):
    fit, test = faces(split, 300, points), faces(split, 50, points, seed=1)
    got = metrics.landmark_regression(fit, test)
    more = ('', '_paper', '_paper_score_order', '_mean_shape')
    assert list(got) == [f'regression_nme{name}' for name in more]
    assert got['regression_nme'] < 0.3 * got['regression_nme_mean_shape']
    assert np.isfinite(list(got.values())).all()


def test_mean_shape_by_hand(split):
    still = [[[10, 10]], [[10, 10]]]
    fit_points = np.array([[[10, 10], [20, 10], [5, 5]], [[12, 10], [20, 10], [0, 0]]])
    seen = np.array([[True, True, True], [True, True, False]])
    fit = split(
        {'keypoints': fit_points, 'visible': seen}, still, [[0], [0]], size=SIZE
    )
    points = np.array([[[11, 14], [20, 10], [0, 0]], [[11, 10], [20, 10], [5, 8]]])
    seen = np.array([[True, True, False], [True, True, True]])
    test = split({'keypoints': points, 'visible': seen}, still, [[0], [0]], size=SIZE)
    got = metrics.landmark_regression(fit, test)
    want = 100 * (4 + 3) / 5 / np.sqrt(40 * 80)
    assert got['regression_nme_mean_shape'] == pytest.approx(want, rel=1e-4)


def test_frame_and_eye_distance(split):
    points = np.array([[[-0.5, -0.5], [3.5, 2.5], [1, 1], [2, 2], [3, 3]]])
    seen = np.ones((1, 5), bool)
    still = np.zeros((1, 1, 2))
    fit = split({'keypoints': points, 'visible': seen}, still, [[0]], size=SIZE)
    moved = {'keypoints': points + np.array([1.0, 0.0]), 'visible': seen}
    test = split(moved, still, [[0]], size=SIZE)
    got = metrics.landmark_regression(fit, test)['regression_nme_mean_shape']
    assert got == pytest.approx(100 * 1 / 5)  # One pixel, eyes 5 px apart.


def test_resizing_the_pictures_changes_nothing(split):
    fit, test = faces(split, 100, 7), faces(split, 30, 7, seed=1)
    points, truth = test.prediction.keypoints, test.truth
    prediction = test.prediction.replace(
        keypoints=points.replace(xy=2 * points.xy + 0.5)  # Edges to edges.
    )
    larger = {**truth, 'keypoints': 2 * truth['keypoints'] + 0.5}
    large = test._replace(prediction=prediction, truth=larger, size=(80, 160))
    want = metrics.landmark_regression(fit, test)
    assert metrics.landmark_regression(fit, large) == pytest.approx(want, rel=1e-4)


def test_labels_can_be_renumbered(split):
    def renumbered(s):
        points = s.prediction.keypoints
        points = points.replace(label=1 - points.label)
        return s._replace(prediction=s.prediction.replace(keypoints=points))

    fit, test = faces(split, 100), faces(split, 30, seed=1)
    want = metrics.landmark_regression(fit, test)['regression_nme']
    got = metrics.landmark_regression(renumbered(fit), renumbered(test))
    assert got['regression_nme'] == pytest.approx(want)


def test_hidden_landmarks_do_not_count(split):
    fit = faces(split, 300, hidden=0.3)
    test = faces(split, 50, seed=1, hidden=0.3)
    want = metrics.landmark_regression(fit, test)
    for part in (fit, test):
        part.truth['keypoints'][~part.truth['visible']] = np.nan
    assert metrics.landmark_regression(fit, test) == want


def test_no_valid_keypoints(split):
    fit, test = faces(split, 100), faces(split, 30, seed=1)
    points = test.prediction.keypoints
    blind = points.replace(valid=np.zeros_like(points.valid))
    test = test._replace(prediction=test.prediction.replace(keypoints=blind))
    got = metrics.landmark_regression(fit, test)
    assert (
        got['regression_nme'] == got['regression_nme_paper']
    )  # All landmarks at the corner.
    assert got['regression_nme'] > 5 * got['regression_nme_mean_shape']


def test_bad_input(split):
    fit, test = faces(split, 20), faces(split, 20)
    with pytest.raises(ValueError, match='labels of fit and test'):
        metrics.landmark_regression(fit, test._replace(num_labels=3))
    several = {'keypoints': np.zeros((20, 2, 5, 2)), 'visible': np.ones((20, 2, 5))}
    with pytest.raises(ValueError, match='one object a picture'):
        metrics.landmark_regression(fit, test._replace(truth=several))
    with pytest.raises(ValueError, match='landmarks of fit and test'):
        metrics.landmark_regression(faces(split, 20, 7), test)


def test_landmarks_the_fit_never_saw_do_not_count(split):
    fit, test = faces(split, 60, 7), faces(split, 30, 7, seed=1)
    fit.truth['visible'][:, 3] = False
    got = metrics.landmark_regression(fit, test)
    test.truth['visible'][:, 3] = False
    assert got == metrics.landmark_regression(fit, test)


def test_few_pictures_get_as_many_steps_as_many(split, monkeypatch):
    """Perfect keypoints of 200 faces: 5 epochs would be 15 steps."""
    fit, test = faces(split, 200), faces(split, 50, seed=1)
    got = metrics.landmark_regression(fit, test)
    monkeypatch.setattr(slots, 'MAFL_STEPS', 15)
    early = metrics.landmark_regression(fit, test)
    assert got['regression_nme_paper'] < 0.5 * early['regression_nme_paper']
    assert got['regression_nme'] == early['regression_nme']


def test_sides_are_as_they_are_seen():
    pairs = ((0, 1), (2, 3), (4, 5))
    front = np.array([[1, 0], [2, 0], [1, 1], [2, 1], [1, 2], [2, 2]], float)
    turned = front[[1, 0, 3, 2, 5, 4]]
    half = front[[0, 1, 2, 3, 5, 4]]  # Two of three pairs are not more than .67.
    xy, seen = np.stack([front, turned, half, half]), np.ones((4, 6), bool)
    seen[3, 4] = False  # The pair that is turned does not count.
    got, visible = metrics.as_seen(xy, seen, pairs)
    np.testing.assert_array_equal(got[:2], [front, front])
    np.testing.assert_array_equal(got[2], half[[1, 0, 3, 2, 5, 4]])
    np.testing.assert_array_equal(got[3], half)
    np.testing.assert_array_equal(visible, seen)
    still, _ = metrics.as_seen(xy, np.zeros((4, 6), bool), pairs)
    np.testing.assert_array_equal(still, xy)


def test_bodies_are_turned_before_they_are_regressed(split):
    """Half the people seen from behind: as annotated, no keypoint tells left from right."""
    fit, test = (faces(split, n, 32, seed) for n, seed in ((300, 0), (60, 1)))
    plain = metrics.landmark_regression(fit, test)['regression_nme']
    pairs = np.array(metrics.LANDMARK_SETS['h36m32'].pairs)
    for one in (fit, test):
        xy = one.truth['keypoints']
        xy[:, pairs[:, 1], 0] = xy[:, pairs[:, 0], 0] + 4  # All face the front.
        xy[::2, pairs.ravel()] = xy[::2, pairs[:, ::-1].ravel()]
    confused = metrics.landmark_regression(fit, test)['regression_nme']
    known = [one._replace(landmarks='h36m32') for one in (fit, test)]
    got = metrics.landmark_regression(*known)['regression_nme']
    assert got < 1.5 * plain < confused / 1.5

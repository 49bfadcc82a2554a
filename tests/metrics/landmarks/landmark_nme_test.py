import numpy as np
import pytest

from kpdiscovery import metrics
from kpdiscovery.metrics import Landmarks

CORNERS = np.array([[[64.0, 64]], [[192, 64]], [[64, 192]], [[192, 192]]])
OFFSETS = np.array([[10.0, -6]] * 3 + [[60, -6]])  # Snout to tail base: 50 pixels.


def mice(split, xy, **more):
    """One landmark a picture; all four points stand at a fixed place beside it."""
    truth = {'keypoints': xy + OFFSETS, 'visible': np.ones((len(xy), 4), bool)}
    label = np.zeros((len(xy), 1))
    return split(truth, xy, label, size=(256, 256), landmarks='mouse4', **more)


def bodies(split, n, seed=0, gaps=0.0, name='h36m32', k=6):
    """Points of a set as a fixed linear map of k landmarks, with noise; `gaps` in both."""
    count = metrics.landmark_set(name).num_points
    weights = np.random.default_rng(9).dirichlet(np.ones(k), count)
    rng = np.random.default_rng(seed)
    found = rng.uniform(40, 200, (n, k, 2))
    points = np.einsum('tk,nkc->ntc', weights, found) + rng.normal(0, 3, (n, count, 2))
    truth = {
        'keypoints': points,
        'visible': rng.uniform(size=(n, count)) >= gaps,
        'boxes': np.tile([[[10.0, 10, 110, 210]]], (n, 1, 1)),
        'boxes_valid': np.ones((n, 1), bool),
    }
    label, valid = np.tile(np.arange(k), (n, 1)), rng.uniform(size=(n, k)) >= gaps
    return split(truth, found, label, valid, size=(256, 256), landmarks=name,
                 num_labels=k)  # fmt: skip


def without_landmarks(split):
    """The split with no valid keypoint."""
    points = split.prediction.keypoints
    points = points.replace(valid=np.zeros_like(points.valid))
    return split._replace(prediction=split.prediction.replace(keypoints=points))


def test_by_hand(split):
    fit = mice(split, CORNERS, num_labels=1)
    test = mice(split, np.array([[[128.0, 128]], [[192, 64]]]), num_labels=1)
    got = metrics.landmark_nme(fit, test)
    names = ('forward_nme', 'forward_nme_no_bias', 'forward_nme_mean_shape',
             'backward_nme', 'backward_nme_no_bias')  # fmt: skip
    assert list(got) == [*(f'{name}_4' for name in names), 'landmarks_used']
    # Nothing is off in the middle; the corner is drawn in by .01 / 1.01 of 64 pixels,
    # and on the way back, from four copies of it, by .01 / 4.01.
    forward, backward = (np.sqrt(2) * 64 * 0.01 / d / 50 * 100 for d in (1.01, 4.01))
    assert got['forward_nme_4'] == pytest.approx(forward / 2)
    assert got['backward_nme_4'] == pytest.approx(backward / 2)
    assert got['forward_nme_mean_shape_4'] == pytest.approx(np.sqrt(2) * 64)
    tables = metrics.landmark_errors(fit, test)
    assert tables['forward_nme_4'].shape == (2, 4)
    # Of no named set they are in sides of the picture: 256 pixels in place of 50.
    fit, test = (one._replace(landmarks='') for one in (fit, test))
    unnamed = metrics.landmark_nme(fit, test)
    assert unnamed['landmarks_used'] == got['landmarks_used'] and len(unnamed) == 6
    assert all(unnamed[f'{name}_4@side'] == pytest.approx(got[f'{name}_4'] * 50 / 256)
               for name in names)  # fmt: skip
    np.testing.assert_allclose(tables['backward_nme_4'], [[0], [backward]], atol=1e-9)
    curve = metrics.cumulative_error(tables['forward_nme_4'], over='images')
    np.testing.assert_allclose(curve, [0, forward / 2], atol=1e-9)


def test_the_mean_shape_is_not_given_silently(split, caplog):
    fit, test = (bodies(split, 40, seed, name='mouse4', k=3) for seed in (0, 1))
    assert metrics.landmark_nme(fit, test)['landmarks_used'] == 100
    assert not caplog.text
    fit.prediction.keypoints.valid[10:] = False
    got = metrics.landmark_nme(fit, test)
    assert got['landmarks_used'] == 0
    assert got['forward_nme_4'] == pytest.approx(got['forward_nme_mean_shape_4'])
    assert "forward_nme is the mean shape's" in caplog.text


@pytest.mark.parametrize('n', [40, 320])
def test_is_the_plain_functions_repeated(split, n):
    fit, test = (
        bodies(split, count, seed, gaps=0.1, name='mouse4', k=3)
        for seed, count in enumerate((n, 30))
    )
    fit_table, test_table = (
        Landmarks(xy, s.truth['keypoints'], valid, s.truth['visible'])
        for s in (fit, test)
        for xy, valid in [metrics.by_label(s.prediction.keypoints, 3)]
    )
    joints = test_table.annotated, test_table.visible
    length, usable = metrics.joint_distance(*joints, joints=(0, 3))
    test_table = test_table._replace(
        valid=test_table.valid & usable[:, None],
        visible=test_table.visible & usable[:, None],
    )
    got = metrics.landmark_errors(fit, test)
    for name, nme in (
        ('forward', metrics.forward_nme),
        ('backward', metrics.backward_nme),
    ):
        for ending, bias in (('', True), ('_no_bias', False)):
            want = metrics.repeated_nme(
                lambda part, nme=nme, bias=bias: nme(part, test_table, length, bias=bias),
                fit_table, images=300,
            ).errors  # fmt: skip
            np.testing.assert_allclose(got[f'{name}_nme{ending}_4'], want, rtol=1e-6)


def test_five_points_are_fitted_to_all_pictures(split):
    """Tables 4.1, 5.1 and 6.7, where 68 points are fitted to 300 ten times."""
    fit, test = (
        bodies(split, count, seed, name='faces5')
        for seed, count in enumerate((320, 30))
    )
    one, two = (
        Landmarks(xy, s.truth['keypoints'], valid, s.truth['visible'])
        for s in (fit, test)
        for xy, valid in [metrics.by_label(s.prediction.keypoints, s.num_labels)]
    )
    length, usable = metrics.joint_distance(two.annotated, two.visible, joints=(0, 1))
    two = two._replace(visible=two.visible & usable[:, None])
    want = metrics.forward_nme(one, two, length, penalty=0.001).mean
    got = metrics.landmark_nme(fit, test)
    assert got['forward_nme_5'] == pytest.approx(want, rel=1e-6)


def test_subsets_and_their_normalisers(split):
    fit, test = (bodies(split, 40, seed, name='faces68') for seed in (0, 1))
    got = metrics.landmark_nme(fit, test)
    assert [name for name in got if name.startswith('backward_nme_')] == [
        f'backward_nme{name}_{count}' for count in (68, 5) for name in ('', '_no_bias')
    ]
    points, seen = metrics.five_points(test.truth['keypoints'], test.truth['visible'])
    five = {'keypoints': points, 'visible': seen}
    fit_points, seen = metrics.five_points(fit.truth['keypoints'], fit.truth['visible'])
    fit_five = {'keypoints': fit_points, 'visible': seen}
    alone = metrics.landmark_nme(
        fit._replace(truth=fit_five), test._replace(truth=five, landmarks='faces5')
    )
    assert alone.pop('landmarks_used') == got['landmarks_used'] == 100
    assert alone == {name: got[name] for name in got if name.endswith('_5')}


def test_larger_pictures_change_nothing(split):
    fit, test = (bodies(split, 40, seed, 0.1, 'critters12') for seed in (0, 1))

    def doubled(s):
        points = s.prediction.keypoints
        prediction = s.prediction.replace(
            keypoints=points.replace(xy=2 * points.xy + 0.5)
        )
        larger = {name: 2 * s.truth[name] + 0.5 for name in ('keypoints', 'boxes')}
        return s._replace(
            prediction=prediction, truth={**s.truth, **larger}, size=(512, 512)
        )

    names = ['landmark_nme', 'landmark_accuracy', 'landmark_pck', 'landmark_points']
    want, _ = metrics.evaluate(names, fit, test)
    got, _ = metrics.evaluate(names, doubled(fit), doubled(test))
    assert got == pytest.approx(want, rel=1e-3)  # Filling gaps stops near the end.


def test_no_landmark_is_as_good_as_the_mean_shape(split):
    fit, test = bodies(split, 40), bodies(split, 30, seed=1)
    got = metrics.landmark_nme(without_landmarks(fit), test)
    assert got['forward_nme_32'] == pytest.approx(got['forward_nme_mean_shape_32'])
    assert got['forward_nme_no_bias_32'] > got['forward_nme_32']
    assert not [name for name in got if 'backward' in name]
    got = metrics.landmark_nme(fit, without_landmarks(test))
    assert 'forward_nme_32' in got and 'backward_nme_32' not in got


def test_true_positions_of_hidden_points_serve_backward(split):
    for name, count in (('critters12', 12), ('cub15', 15)):
        fit, test = (bodies(split, 40, seed, name=name) for seed in (0, 1))
        want = metrics.landmark_nme(fit, test)[f'backward_nme_{count}']
        for part in (fit, test):
            part.truth['visible'][1::2] = False  # In half of the pictures.
        got = metrics.landmark_nme(fit, test)
        assert f'forward_nme_{count}' in got
        known = {f'backward_nme_{count}': want} if name == 'critters12' else {}
        backward = {n: v for n, v in got.items() if n == f'backward_nme_{count}'}
        assert backward == pytest.approx(known)


STEADINESS = ('landmark_spread', 'landmark_repeatability')  # They read no truth.
NAMES = [name for name, protocol in metrics.PROTOCOLS.items()
         if name.startswith('landmark_') and name not in STEADINESS
         and not protocol.described]  # fmt: skip


@pytest.mark.parametrize('name', ['h36m32', 'critters12', 'faces68'])
@pytest.mark.parametrize('case', ['fit', 'test', 'both', 'rare', 'one', 'one blind'])
def test_little_was_found(split, name, case):
    fit, test = (bodies(split, 30, seed, name=name) for seed in (0, 1))
    if case in ('fit', 'both'):
        fit = without_landmarks(fit)
    if case in ('test', 'both'):
        test = without_landmarks(test)
    if case == 'rare':
        for part in (fit, test):
            part.prediction.keypoints.valid[3:] = False
    if case.startswith('one'):
        fit, test = (bodies(split, 1, seed, name=name) for seed in (0, 1))
    if case == 'one blind':
        fit, test = without_landmarks(fit), without_landmarks(test)
    got, skipped = metrics.evaluate(NAMES, fit, test)
    assert np.isfinite(list(got.values())).all()
    without_sigmas = {'landmark_oks': f'{name} has no OKS sigmas'}
    assert skipped == ({} if name == 'h36m32' else without_sigmas)


@pytest.mark.parametrize('hide', ['fit', 'test'])
def test_little_was_annotated(split, hide):
    fit, test = bodies(split, 30), bodies(split, 30, seed=1)
    {'fit': fit, 'test': test}[hide].truth['visible'][:] = False
    names = [n for n in NAMES if n not in ('landmark_points', 'landmark_regression')]
    got, skipped = metrics.evaluate(names, fit, test)
    why = 'no annotated point is visible in 30 pictures'
    assert not got and skipped == dict.fromkeys(names, why)


@pytest.mark.parametrize('shown', [0, 1])
def test_points_that_the_fit_hardly_shows_cost_nothing(split, caplog, shown):
    """A regressor knows nothing of a point that none of its pictures has."""
    fit, test = (
        bodies(split, n, s, name='mouse4', k=3) for s, n in ((0, 600), (1, 30))
    )
    want, _ = metrics.evaluate(NAMES, fit, test)
    fit.truth['visible'][shown:, 1] = False  # Most draws of 300 pictures miss it.
    got, _ = metrics.evaluate(NAMES, fit, test)
    for name in ('forward_nme_4', 'forward_nme_mean_shape_4'):
        assert got[name] < want[name] + 30, (
            name
        )  # Of one picture's point; 100 more else.
    if not shown:
        assert got['regressed_accuracy_4@12'] == 100
    told = '1 of 4 annotated points are visible in no fit picture' in caplog.text
    assert told == (not shown)


def test_no_point_is_in_both_splits(split):
    fit, test = (bodies(split, 9, seed, name='mouse4', k=3) for seed in (0, 1))
    fit.truth['visible'][:, 2:] = test.truth['visible'][:, :2] = False
    got, skipped = metrics.evaluate(['landmark_nme', 'landmark_accuracy'], fit, test)
    assert not got and 'in pictures of both splits' in skipped['landmark_nme']

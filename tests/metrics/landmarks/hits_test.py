import numpy as np
import pytest

from kpdiscovery import metrics

# A mouse of 100 pixels, and where its landmarks 2, 0, 3, 1 are found: 6, 7, 0 and 4 off.
MOUSE = np.array([[10.0, 60], [30, 40], [30, 80], [110, 60]])
OFF = np.array([[6.0, 0], [0, 7], [0, 0], [0, -4]])
ORDER = [1, 3, 0, 2]


def mouse(split, n=5, off=OFF, **more):
    truth = {'keypoints': np.tile(MOUSE, (n, 1, 1)), 'visible': np.ones((n, 4), bool)}
    found = np.tile((MOUSE + off)[ORDER], (n, 1, 1))
    label = np.tile(np.arange(4), (n, 1))
    return split(truth, found, label, size=(128, 128), landmarks='mouse4',
                 num_labels=4, **more)  # fmt: skip


def test_accuracy_by_hand(split):
    """At 128 pixels 12 of 256 are 6, 10 are 5, 8 are 4."""
    got = metrics.landmark_accuracy(mouse(split), mouse(split))
    assert got == {
        'raw_accuracy_4@12': 75.0,
        'regressed_accuracy_4@12': 100.0,  # The mouse never moves.
        **dict.fromkeys(('precision@8', 'recall@8', 'f_score@8'), 0.5),
        **dict.fromkeys(('precision@10', 'recall@10', 'f_score@10'), 0.5),
    }


def test_missing_landmarks_are_missed(split):
    fit, test = mouse(split), mouse(split)
    test.prediction.keypoints.valid[:, 2] = False  # The one 6 off.
    got = metrics.landmark_accuracy(fit, test)
    unnamed = metrics.landmark_accuracy(fit, test._replace(landmarks=''))
    assert unnamed['raw_accuracy_4@12'] == 50
    assert got['raw_accuracy_4@12'] == 50 and got['precision@8'] == pytest.approx(2 / 3)
    fit.prediction.keypoints.valid[:2, 3] = False  # Stands for nothing any more.
    assert metrics.landmark_accuracy(fit, test)['raw_accuracy_4@12'] == 25
    fit.prediction.keypoints.valid[:] = False
    got = metrics.landmark_accuracy(fit, test)
    assert (got['raw_accuracy_4@12'], got['regressed_accuracy_4@12']) == (0, 100)


def test_pck_by_hand(split):
    """A tenth of the body's 100 pixels is met by all, of the box's 50 only by 0 and 4."""
    fit, test = mouse(split), mouse(split)
    got = metrics.landmark_pck(fit, test)
    assert got == {'raw_pck@0.1': 100.0, 'regressed_pck@0.1': 100.0}
    critter = {
        'keypoints': np.repeat(test.truth['keypoints'], 3, axis=1),
        'visible': np.repeat(test.truth['visible'], 3, axis=1),
        'boxes': np.tile([[[0.0, 0, 50, 20]]], (5, 1, 1)),
        'boxes_valid': np.ones((5, 1), bool),
    }
    critter['visible'][:, 1::3] = critter['visible'][:, 2::3] = False
    test = test._replace(truth=critter, landmarks='critters12')
    got = metrics.landmark_pck(test, test)
    assert got == {'raw_pck@0.1': 50.0, 'regressed_pck@0.1': 100.0}
    critter['boxes_valid'][0] = False
    critter['keypoints'][0] += 50  # Not measured.
    assert metrics.landmark_pck(test, test)['raw_pck@0.1'] == 50


def person(split, similarity, n=3):
    """BBC's seven points, each off by what has that OKS with its sigma."""
    xy = np.random.default_rng(0).uniform(20, 90, (7, 2))
    xy[:2] = [[10, 10], [110, 90]]  # The area is 100 x 80.
    sigmas = np.array(metrics.landmark_set('bbc7').sigmas)
    off = sigmas * np.sqrt(8 * 8000 * np.log(1 / similarity))
    truth = {'keypoints': np.tile(xy, (n, 1, 1)), 'visible': np.ones((n, 7), bool)}
    found = np.tile(xy + off[:, None] * [0.6, 0.8], (n, 1, 1))
    label = np.tile(np.arange(7), (n, 1))
    return split(truth, found, label, landmarks='bbc7', num_labels=7)


@pytest.mark.parametrize('similarity, mean, half, two_fifths', [
    (0.999, 1, 1, 1), (0.62, 0.3, 1, 1), (0.45, 0, 0, 1), (0.39, 0, 0, 0),
])  # fmt: skip
def test_oks_by_hand(split, similarity, mean, half, two_fifths):
    fit, test = person(split, 0.999), person(split, similarity)
    values = {'': mean, '@0.5': half, '@0.4': two_fifths}
    want = {f'oks_{p}{at}': value for at, value in values.items() for p in ('ap', 'ar')}
    assert metrics.landmark_oks(fit, test) == pytest.approx(want)


def test_oks_uses_confidence(split):
    """Two of three pictures are right: AP is 1 up to a recall of 2/3 if they are sure."""
    fit, test = person(split, 0.999), person(split, 0.999)
    test.prediction.keypoints.xy[0] += 60
    test.prediction.keypoints.score[:] = [[0.1], [0.8], [0.9]]
    got = metrics.landmark_oks(fit, test)
    assert got['oks_ap@0.5'] == pytest.approx(67 / 101)
    assert got['oks_ar@0.5'] == pytest.approx(2 / 3)
    test.prediction.keypoints.score[0] = 1.0
    assert metrics.landmark_oks(fit, test)['oks_ap@0.5'] == pytest.approx(
        2 / 3 * 67 / 101
    )


def test_points_by_hand(split):
    test = mouse(split)
    test.prediction.keypoints.valid[0] = False
    test.prediction.keypoints.valid[1:3, 3] = False
    assert metrics.landmark_points(test, test) == {
        'points_per_image': 14 / 5,
        'landmarks_found': 70.0,
        'landmarks_frequent': 0.0,  # Missing in a fifth is too much.
    }
    test.prediction.keypoints.valid[0] = True
    got = metrics.landmark_points(test, test._replace(truth={}))
    assert got['landmarks_frequent'] == 3

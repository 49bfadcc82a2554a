import numpy as np
import pytest

from kpdiscovery import metrics


def truth_of(known, n=3, seed=0):
    """Random points of a set, all visible, in a box of 30 x 40 pixels."""
    xy = np.random.default_rng(seed).uniform(0, 60, (n, known.num_points, 2))
    boxes = np.tile([[[5.0, 5, 35, 45]]], (n, 1, 1))
    visible, valid = np.ones((n, known.num_points), bool), np.ones((n, 1), bool)
    return {'keypoints': xy, 'visible': visible, 'boxes': boxes, 'boxes_valid': valid}


@pytest.mark.parametrize('name', metrics.LANDMARK_SETS)
def test_every_set_is_complete(name):
    known = metrics.landmark_set(name)
    truth = truth_of(known)
    assert known.name == name and next(iter(known.subsets)) == str(known.num_points)
    for count, subset in known.subsets.items():
        xy, visible = subset.points(truth['keypoints'], truth['visible'])
        assert xy.shape == (3, int(count), 2) and visible.shape == (3, int(count))
        length, usable = subset.normalizer(
            {**truth, 'keypoints': xy, 'visible': visible}
        )
        assert length.shape == (3,) and usable.all() and (length > 0).all()
    assert known.torso(truth)[1].all() and 0 < known.alpha < 1
    assert len(known.sigmas) in (0, known.num_points)
    assert bool(known.sigmas) == (known.extent is not None)


@pytest.mark.parametrize('name', metrics.LANDMARK_SETS)
def test_a_point_is_in_one_pair_at_most(name):
    known = metrics.landmark_set(name)
    points = [point for pair in known.pairs for point in pair]
    assert len(set(points)) == len(points) and set(points) <= set(
        range(known.num_points)
    )


def test_lengths_by_hand():
    lengths = {}
    for name in ('critters12', 'penn13', 'cub15', 'h36m32', 'mouse4', 'faces68'):
        known = metrics.landmark_set(name)
        truth = truth_of(known, n=1)
        lengths[name] = known.subsets[str(known.num_points)].normalizer(truth)[0].item()
        xy = truth['keypoints'][0]
        if name in ('h36m32', 'mouse4', 'faces68'):
            one, two = {'h36m32': (25, 17), 'mouse4': (0, 3), 'faces68': (41, 46)}[name]
            assert lengths[name] == pytest.approx(np.linalg.norm(xy[one] - xy[two]))
    assert lengths['critters12'] == 40
    assert lengths['penn13'] == lengths['cub15'] == pytest.approx(np.sqrt(1200))


def test_the_five_points_have_the_distance_of_the_eyes():
    known = metrics.landmark_set('faces68')
    truth = truth_of(known)
    eyes = [truth['keypoints'][:, i : i + 6].mean(axis=1) for i in (36, 42)]
    xy, visible = known.subsets['5'].points(truth['keypoints'], truth['visible'])
    got, _ = known.subsets['5'].normalizer({'keypoints': xy, 'visible': visible})
    np.testing.assert_allclose(got, np.linalg.norm(eyes[0] - eyes[1], axis=-1))


def test_faces_are_symmetric(shared_data):
    """The mean face looks into the camera: its mirror image is nearly the same."""
    with np.load(shared_data / 'faces' / 'annotations.npz') as file:
        mean = file['landmarks'].mean(axis=0)
    mirrored = mean.copy()
    for one, two in metrics.landmark_set('faces68').pairs:
        mirrored[[one, two]] = mean[[two, one]]
    mirrored[:, 0] = 2 * mean[27:31, 0].mean() - mirrored[:, 0]
    assert np.abs(mirrored - mean).max() < 5  # Of a face 90 pixels wide.


def test_sigmas_are_coco_s():
    sigmas = metrics.landmark_set('h36m32').sigmas
    assert [sigmas[i] for i in (1, 3, 17, 27, 0)] == [0.107, 0.089, 0.079, 0.062, 0.08]
    known = metrics.landmark_set('penn13')
    for left, right in known.pairs:
        assert known.sigmas[left] == known.sigmas[right] != 0.08


def test_mistakes():
    with pytest.raises(ValueError, match="no landmark set 'face68'.*mean 'faces68'"):
        metrics.landmark_set('face68')
    truth = {'keypoints': np.zeros((1, 12, 2)), 'visible': np.ones((1, 12), bool)}
    with pytest.raises(metrics.Unmeasurable, match="needs truth 'boxes'"):
        metrics.landmark_set('critters12').torso(truth)

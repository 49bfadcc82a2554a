import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from kpdiscovery.metrics.objects import descriptors
from kpdiscovery.types import Unmeasurable

SIZE = 6  # Of descriptors; of half the side of a box.


@pytest.fixture
def scenes(split, rng):
    """Two objects a picture in boxes of 12 px, a keypoint on each and one beside."""

    def make(n=60, classes=3, noise=0.3, informed=True):
        middle = np.tile([[15.0, 15], [50, 40]], (n, 1, 1))
        color = rng.integers(0, classes, (n, 2))
        xy = np.concatenate([middle + rng.uniform(-5, 5, (n, 2, 2)),
                             np.full((n, 1, 2), 70.0)], axis=1)  # fmt: skip
        known = np.eye(classes)[color] if informed else np.zeros((n, 2, classes))
        found = np.concatenate([known, np.ones((n, 1, classes))], axis=1)
        found = np.pad(found, ((0, 0), (0, 0), (0, SIZE - classes)))
        found += noise * rng.normal(size=found.shape)
        boxes = np.concatenate([middle - SIZE, middle + SIZE], axis=-1)
        truth = {'boxes': boxes, 'boxes_valid': np.ones((n, 2), bool),
                 'attributes': {'color': color}}  # fmt: skip
        label = np.zeros((n, 3), int)
        return split(truth, xy, label, num_labels=classes, descriptors=found)

    return make


def probes(test):
    return descriptors.descriptor_probes(test, test)


def test_what_descriptors_know_is_read_off(scenes):
    got = probes(scenes())
    assert min(got['color_5nn'], got['color_linear'], got['color_kmeans']) > 0.9
    assert 1 / 3 <= got['color_chance'] < 0.5


def test_what_they_do_not_know_is_not(scenes):
    got = probes(scenes(n=300, informed=False))
    for probe in ('5nn', 'linear', 'kmeans'):
        assert abs(got[f'color_{probe}'] - 1 / 3) < 0.12


def test_neighbours_match_sklearn(scenes):
    """Of one keypoint a picture, so that leaving the picture out is leaving the row out."""
    test = scenes(n=80, noise=0.6)
    test.truth['boxes_valid'][:, 1] = False
    found = np.asarray(test.prediction.descriptors)[:, 0]
    color = test.truth['attributes']['color'][:, 0]
    right = 0
    for row in range(80):
        rest = np.arange(80) != row
        oracle = KNeighborsClassifier(5, metric='cosine').fit(found[rest], color[rest])
        votes = oracle.predict_proba(found[row][None])[0]
        if (votes == votes.max()).sum() == 1:
            right += oracle.classes_[votes.argmax()] == color[row]
        else:  # The value whose first vote is nearest.
            order = oracle.kneighbors(found[row][None], return_distance=False)[0]
            best = oracle.classes_[votes == votes.max()]
            right += next(c for c in color[rest][order] if c in best) == color[row]
    assert probes(test)['color_5nn'] == pytest.approx(right / 80)


def test_one_object_in_another_counts_by_its_middle(scenes):
    test = scenes(n=40)
    test.truth['boxes'][:, 1] = [-0.5, -0.5, 79.5, 79.5]  # Around everything.
    owner = descriptors.objects_of(test)
    near = np.linalg.norm(np.asarray(test.prediction.keypoints.xy) - 15, axis=-1)
    middle = np.linalg.norm(np.asarray(test.prediction.keypoints.xy) - 39.5, axis=-1)
    inside = (np.abs(np.asarray(test.prediction.keypoints.xy) - 15) <= SIZE).all(-1)
    np.testing.assert_array_equal(owner, np.where(inside & (near < middle), 0, 1))


def test_nothing_on_an_object(scenes):
    test = scenes(n=4)
    test.truth['boxes_valid'][1:] = False
    with pytest.raises(Unmeasurable, match='no two pictures'):
        probes(test)

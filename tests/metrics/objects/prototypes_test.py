import numpy as np
import pytest
from sklearn.metrics.cluster import contingency_matrix

from kpdiscovery import metrics


def test_contingency_matches_sklearn_and_drops_negative_labels():
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(0, 5, 200), rng.integers(0, 3, 200)
    want = contingency_matrix(rows, columns)
    np.testing.assert_array_equal(metrics.contingency(rows, columns), want)
    padded = np.append(rows, [-1, 2]), np.append(columns, [1, -1])
    np.testing.assert_array_equal(metrics.contingency(*padded), want)
    assert metrics.contingency(np.array([-1]), np.array([0])).shape == (0, 0)


def test_accuracy_by_hand():
    prototype, attribute = np.array([0, 0, 0, 1, 1, 4]), np.array([2, 2, 1, 1, 0, 0])
    assert metrics.prototype_accuracy(prototype, attribute) == pytest.approx(4 / 6)
    missed = metrics.prototype_accuracy(prototype, attribute, total=8)
    assert missed == pytest.approx(4 / 8)


def test_accuracy_ignores_numbering_and_shape():
    rng = np.random.default_rng(1)
    prototype, attribute = rng.integers(0, 4, (2, 30))
    want = metrics.prototype_accuracy(prototype, attribute)
    order = np.array([3, 1, 0, 2])
    assert metrics.prototype_accuracy(order[prototype], order[attribute]) == want
    shape = (5, 6)
    same = metrics.prototype_accuracy(
        prototype.reshape(shape), attribute.reshape(shape)
    )
    assert same == want


def test_accuracy_without_pairs_is_zero():
    none = np.array([-1, -1])
    assert metrics.prototype_accuracy(none, none) == 0
    assert metrics.prototype_accuracy(none, np.array([0, 1]), total=2) == 0


def test_accuracy_bad_input():
    with pytest.raises(ValueError, match='pair up'):
        metrics.prototype_accuracy(np.zeros(3, int), np.zeros(4, int))
    with pytest.raises(ValueError, match='at least 3'):
        metrics.prototype_accuracy(np.zeros(3, int), np.zeros(3, int), total=2)


def scene(split, dtype=np.float16, label=((4, 4, 7), (2, 4, 4)), valid=None):
    """Two pictures of 1x8 pixels, three objects and two.

    Picture 0: object 0 is found by keypoints 0 (one pixel) and 1 (two), object 1 is
    missed, object 2 by keypoint 2. Picture 1: object 0 by keypoint 0, object 1 is
    missed; keypoint 1 is on the ground, keypoint 2 empty.
    """
    instances = np.array([[[0, 0, 0, 1, 1, 2, 2, -1]], [[0, 0, 1, 1, 1, -1, -1, -1]]])
    alphas = np.zeros((2, 3, 1, 8), dtype)
    alphas[0, 0, 0, 0] = alphas[0, 1, 0, 1:3] = alphas[0, 2, 0, 5:7] = 0.9
    alphas[1, 0, 0, :2] = alphas[1, 1, 0, 5:7] = 0.9
    attributes = {
        'shape': np.array([[1, 1, 0], [0, 1, -1]]),
        'color': np.array([[0, 2, 2], [2, 0, -1]]),
    }
    truth = {'instances': instances, 'attributes': attributes}
    return split(truth, np.zeros((2, 3, 2)), label, valid, size=(1, 8), alphas=alphas)


@pytest.mark.parametrize('dtype', [np.float16, np.float32])
def test_protocol_by_hand(split, dtype):
    test = scene(split, dtype)
    want = {
        'object_recall': 3 / 5,
        'shape_accuracy': 3 / 5,
        'shape_accuracy_paper': 1.0,
        'hit_rate/shape=0': 2 / 2,
        'hit_rate/shape=1': 1 / 3,
        'color_accuracy': 3 / 5,
        'color_accuracy_paper': 1.0,
        'hit_rate/color=0': 1 / 2,
        'hit_rate/color=2': 2 / 3,
    }
    assert metrics.prototype_attributes(test, test) == pytest.approx(want)


def test_protocol_counts_wrong_prototypes(split):
    test = scene(split, label=((4, 4, 4), (2, 4, 4)))
    got = metrics.prototype_attributes(test, test)
    assert got['shape_accuracy'] == pytest.approx(2 / 5)  # Label 4: shapes 1 and 0.
    assert got['shape_accuracy_paper'] == pytest.approx(3 / 4)  # Twice 1, once 0; 2: 0.
    assert got['object_recall'] == pytest.approx(3 / 5)


def test_protocol_ignores_invalid_keypoints(split):
    test = scene(split, valid=[[True, False, False], [True, True, True]])
    got = metrics.prototype_attributes(test, test)
    assert got['object_recall'] == pytest.approx(2 / 5)
    test = scene(split, valid=np.zeros((2, 3)))
    got = metrics.prototype_attributes(test, test)
    assert set(got.values()) == {0.0}


def test_protocol_ignores_the_order_of_keypoints(split):
    test = scene(split)
    order = [2, 0, 1]
    points = test.prediction.keypoints
    points = points.replace(label=points.label[:, order], valid=points.valid[:, order])
    prediction = test.prediction.replace(
        keypoints=points, alphas=test.prediction.alphas[:, order]
    )
    moved = test._replace(prediction=prediction)
    want = metrics.prototype_attributes(test, test)
    assert metrics.prototype_attributes(moved, moved) == want


def test_protocol_without_objects(split):
    test = scene(split)
    empty = {'shape': np.full((2, 3), -1)}
    test = test._replace(truth={**test.truth, 'attributes': empty})
    with pytest.raises(metrics.Unmeasurable, match='no picture has an object'):
        metrics.prototype_attributes(test, test)

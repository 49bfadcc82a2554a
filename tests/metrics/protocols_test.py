import numpy as np
import pytest

from kpdiscovery import metrics


def tiny(split, truth, **prediction):
    return split(truth, np.zeros((2, 1, 2)), [[0], [0]], size=(4, 4), **prediction)


def test_table():
    names = {
        'foreground_ari',
        'prototype_attributes',
        'mnist_hard',
        'landmark_regression',
    }
    assert names <= set(metrics.PROTOCOLS)
    for protocol in metrics.PROTOCOLS.values():
        assert callable(protocol.function) and protocol.truth
    assert all(hasattr(metrics, name) for name in metrics.__all__)


def test_runs_what_can_be_run_and_says_why_not(split):
    truth = {
        'instances': np.zeros((2, 4, 4), np.int32),
        'attributes': {'shape': np.zeros((2, 1), int)},
        'boxes': np.zeros((2, 1, 4)),
        'boxes_valid': np.ones((2, 1), bool),
        'index': np.arange(2),
        'mask': None,
    }
    test = tiny(split, truth, instances=np.zeros((2, 4, 4), np.int32))
    got, skipped = metrics.evaluate(metrics.PROTOCOLS, test, test)
    assert got == {'foreground_ari': 1.0}
    there = 'the source has attributes, boxes, boxes_valid, instances'
    assert skipped == {
        'prototype_attributes': "needs prediction 'alphas', the method gives "
        'instances, keypoints',
        'mnist_hard': "needs attribute 'digit', the source has shape",
        'landmark_regression': f"needs truth 'keypoints', 'visible', {there}",
    }


def test_sources_with_little_truth(split):
    test = tiny(split, {'boxes': np.zeros((2, 1, 4)), 'index': np.arange(2)})
    _, skipped = metrics.evaluate(['foreground_ari'], test, test)
    reason = "needs truth 'instances', the source has boxes"
    assert skipped == {'foreground_ari': reason}
    bare = tiny(split, {'attributes': {}})
    _, skipped = metrics.evaluate(['prototype_attributes'], bare, bare)
    reason = "needs truth 'instances', 'attributes', the source has none"
    assert skipped == {'prototype_attributes': reason}


def test_the_fit_split_matters_only_where_it_is_used(split):
    points = {'keypoints': np.ones((2, 3, 2)), 'visible': np.ones((2, 3), bool)}
    ground = {'instances': np.zeros((2, 4, 4), np.int32)}
    test = tiny(split, points | ground, instances=np.zeros((2, 4, 4), np.int32))
    names = ['foreground_ari', 'landmark_regression']
    got, skipped = metrics.evaluate(names, tiny(split, {}), test)
    assert list(got) == ['foreground_ari']
    assert list(skipped) == ['landmark_regression']
    got, skipped = metrics.evaluate(names, test, test)
    assert 'forward_nme' in got and not skipped


def test_unknown_name(split):
    with pytest.raises(ValueError, match="did you mean 'foreground_ari'"):
        metrics.evaluate(['foreground_air'], tiny(split, {}), tiny(split, {}))

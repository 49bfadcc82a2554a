import numpy as np
import pytest

from kpdiscovery import metrics


def tiny(split, truth, **prediction):
    return split(truth, np.zeros((2, 1, 2)), [[0], [0]], size=(4, 4), **prediction)


NAMES = (
    'foreground_ari',
    'prototype_attributes',
    'mnist_hard',
    *(
        f'landmark_{n}'
        for n in ('accuracy', 'nme', 'oks', 'pck', 'points', 'regression')
    ),
)


def test_table():
    assert set(NAMES) <= set(metrics.PROTOCOLS)
    for protocol in metrics.PROTOCOLS.values():
        assert callable(protocol.function)
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
    got, skipped = metrics.evaluate(NAMES, test, test)
    found = ['points_per_image', 'landmarks_found', 'landmarks_frequent']
    assert list(got) == ['foreground_ari', *found] and got['foreground_ari'] == 1
    there = 'the source has attributes, boxes, boxes_valid, instances'
    assert skipped == {
        'prototype_attributes': "needs prediction 'alphas', the method gives "
        'instances, keypoints',
        'mnist_hard': "needs attribute 'digit', the source has shape",
        **{
            f'landmark_{name}': f"needs truth 'keypoints', 'visible', {there}"
            for name in ('accuracy', 'nme', 'oks', 'pck', 'regression')
        },
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
    assert 'regression_nme' in got and not skipped


def test_a_named_set_that_is_missing_or_gives_nothing_to_measure(split):
    points = {'keypoints': np.ones((2, 4, 2)), 'visible': np.ones((2, 4), bool)}
    test = tiny(split, points)
    _, skipped = metrics.evaluate(['landmark_pck'], test, test)
    assert 'named set: data.landmarks, one of faces68, ' in skipped['landmark_pck']
    test = tiny(split, points, landmarks='mouse4')  # Snout and tail base in one place.
    _, skipped = metrics.evaluate(['landmark_nme', 'landmark_oks'], test, test)
    assert skipped == {
        'landmark_nme': 'no normaliser in any of 2 pictures',
        'landmark_oks': 'mouse4 has no OKS sigmas',
    }


def test_unknown_name(split):
    with pytest.raises(ValueError, match="did you mean 'foreground_ari'"):
        metrics.evaluate(['foreground_air'], tiny(split, {}), tiny(split, {}))


@pytest.mark.parametrize('blind', ['fit', 'test'])
def test_no_visible_point_is_a_reason_to_skip(split, blind):
    """In either split, for every protocol that fits on points."""
    names = [
        name for name, p in metrics.PROTOCOLS.items() if p.fits and 'visible' in p.truth
    ]
    xy = np.random.default_rng(0).uniform(5, 70, (6, 4, 2))
    make = lambda seen: split(
        {'keypoints': xy, 'visible': np.full((6, 4), seen)},
        xy[:, :3], np.tile(np.arange(3), (6, 1)), num_labels=3, landmarks='mouse4',
    )  # fmt: skip
    got, skipped = metrics.evaluate(names, make(blind != 'fit'), make(blind != 'test'))
    assert not got and set(skipped) == set(names)
    why = {reason for name, reason in skipped.items() if name != 'landmark_oks'}
    assert all('visible' in reason for reason in why), why
    seen, _ = metrics.evaluate(names, make(True), make(True))
    assert {'regression_nme', 'part_ap_l2_image', 'raw_pck@0.1'} <= set(seen)

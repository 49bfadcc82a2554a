"""Curves from tables of errors, and why there are none."""

import ml_collections
import numpy as np
import pytest

pytest.importorskip('jinja2')

from kpdiscovery import inference
from kpdiscovery.reporting import errors
from kpdiscovery.reporting.seen import Seen
from kpdiscovery.types import Keypoints, Prediction, Split

N, K, T = 6, 3, 12


def see(truth=True, landmarks='critters12'):
    """Random landmarks and annotated points in black pictures."""
    rng = np.random.default_rng(0)
    label = np.tile(np.arange(K, dtype=np.int32), (N, 1))
    xy = rng.uniform(0, 31, (N, K, 2)).astype(np.float32)
    points = Keypoints(xy, np.ones((N, K), np.float32), label, np.ones((N, K), bool))
    known = {
        'keypoints': rng.uniform(0, 31, (N, T, 2)),
        'visible': np.ones((N, T), bool),
        'boxes': np.tile(np.array([0, 0, 31, 31], np.float32), (N, 1, 1)),
        'boxes_valid': np.ones((N, 1), bool),
    }
    split = Split(Prediction(points), known if truth else {}, (32, 32), K, landmarks)
    config = ml_collections.ConfigDict({'evaluation': {'batch_size': 4}})
    trained = inference.Trained(None, {}, config, {})
    images = np.zeros((N, 32, 32, 3), np.uint8)
    return Seen(trained, 'test', images, tuple(f'test {i}' for i in range(N)), split)


@pytest.mark.parametrize(
    ('options', 'reason'),
    [
        ({'truth': False}, 'no annotated points'),
        ({'landmarks': 'faces68'}, 'faces68 has 68 points'),
    ],
)
def test_reasons_for_no_errors(options, reason):
    seen = see(**options)
    tables, why = errors.measure(seen, seen.found)
    assert not tables and reason in why
    section = errors.curves(seen, seen.found)
    assert section.note == why and not section.rows


@pytest.mark.parametrize('fit', [None, see(truth=False).found])
def test_without_annotated_training_pictures_there_are_none(fit):
    assert 'no training pictures' in errors.curves(see(), fit).note


def test_curves_of_points_without_a_name():
    seen = see(landmarks='')
    section = errors.curves(seen, seen.found)
    assert [row.title for row in section.rows] == [f'{T} points']
    assert len(section.rows[0].figures) == 4
    both = {**seen.found.truth, 'keypoints': np.zeros((N, 2, T, 2))}
    several = seen._replace(found=seen.found._replace(truth=both))
    assert 'of one object' in errors.curves(several, several.found).note


def test_curves_of_what_was_measured():
    seen = see()
    tables, why = errors.measure(seen, seen.found)
    assert not why and tables['forward_nme_12'].shape == (N, T)
    section = errors.curves(seen, seen.found)
    assert 'Fitted on 6 training pictures, measured on 6 of test' in section.note
    assert [figure.caption for figure in section.rows[0].figures] == [
        'forward, annotated points',
        'forward, pictures',
        'backward, landmarks',
        'backward, pictures',
    ]


def test_a_direction_that_was_not_measured_has_no_chart(monkeypatch):
    tables = {
        'forward_nme_2': np.ones((N, 2)),
        'backward_nme_2': np.full((N, K), np.nan),
    }
    monkeypatch.setattr(errors.metrics, 'landmark_errors', lambda *_: tables)
    seen = see()
    (row,) = errors.curves(seen, seen.found).rows
    assert all(figure.caption.startswith('forward') for figure in row.figures)

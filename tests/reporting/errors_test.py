"""Curves and worst pictures from tables of errors, and why there are none."""

import ml_collections
import numpy as np
import pytest

pytest.importorskip('jinja2')

from kpdiscovery import inference
from kpdiscovery.reporting import errors
from kpdiscovery.reporting.seen import Run, Seen
from kpdiscovery.types import Keypoints, Prediction, Split, UserError

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


def no_source():
    raise UserError('no training split')


@pytest.mark.parametrize(
    ('options', 'reason'),
    [
        ({'truth': False}, 'no annotated points'),
        ({'landmarks': ''}, 'does not name the set'),
        ({'landmarks': 'faces68'}, 'faces68 has 68 points'),
        ({}, 'no training split'),
    ],
)
def test_reasons_for_no_errors(monkeypatch, options, reason):
    seen = see(**options)
    read = no_source if not options else lambda: None
    monkeypatch.setattr(inference, 'predict_rows', lambda *args, **kwargs: seen.found)
    tables, why = errors.measure(seen, Run('', read))
    assert not tables and reason in why
    for section in (errors.curves(seen, tables, why), errors.worst(seen, tables, why)):
        assert section.note == why and not section.rows


def test_curves_and_worst_of_what_was_measured(monkeypatch):
    seen = see()
    monkeypatch.setattr(inference, 'predict_rows', lambda *args, **kwargs: seen.found)
    tables, why = errors.measure(seen, Run('', lambda: None))
    assert not why and tables['forward_nme_12'].shape == (N, T)
    section = errors.curves(seen, tables, why)
    assert [figure.caption for figure in section.rows[0].figures] == [
        'forward, annotated points',
        'forward, pictures',
        'backward, landmarks',
        'backward, pictures',
    ]


def test_the_worst_come_first_and_unmeasured_pictures_not_at_all():
    table = np.array([[1.0, 3], [9, 7], [np.nan, np.nan], [5, np.nan], [0, 0], [4, 4]])
    section = errors.worst(see(), {'forward_nme_2': table}, '')
    said = [figure.caption for figure in section.rows[0].figures]
    assert said == [
        'test 1: 8.0 %', 'test 3: 5.0 %', 'test 5: 4.0 %', 'test 0: 2.0 %',
        'test 4: 0.0 %',
    ]  # fmt: skip


def test_a_direction_that_was_not_measured_has_no_chart():
    tables = {
        'forward_nme_2': np.ones((N, 2)),
        'backward_nme_2': np.full((N, K), np.nan),
    }
    (row,) = errors.curves(see(), tables, '').rows
    assert all(figure.caption.startswith('forward') for figure in row.figures)

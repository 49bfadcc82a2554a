import json

import pytest

from kpdiscovery.reporting import measured

CONFIG = {'data': {'path': 'a', 'class_names': ('x',)}, 'run': {'keep': 1}}
META = {'phase': 'train', 'step': 4}


@pytest.mark.parametrize('change, told', [
    ({}, ''),
    ({'step': 2}, 'at step 2 of phase train (the run is at step 4 of phase train)'),
    ({'phase': 'warm'}, 'at step 4 of phase warm (the run is at step 4 of phase train)'),
    ({'config': {'data': {'path': 'b'}}}, 'with other data.class_names, data.path'),
    ({'config': {**CONFIG, 'run': {'keep': 9}}}, ''),
])  # fmt: skip
def test_what_differs_from_what_was_measured(change, told):
    result = json.loads(measured.text({'config': CONFIG, **META, **change}))
    assert measured.apart(result, CONFIG, META) == told


def test_old_files_that_do_not_say_are_taken_as_they_are():
    assert measured.apart({'metrics': {}}, CONFIG, META) == ''
    assert measured.apart({'config': {}, **META}, None, {}) == ''


def test_what_is_no_number_is_null():
    values = {'a': float('nan'), 'b': [1.5, float('inf')], 'c': True, 2: None}
    wanted = {'a': None, 'b': [1.5, None], 'c': True, '2': None}
    assert json.loads(measured.text(values)) == wanted

"""Damaged workdirs: configs, figures, logs, labels and checkpoints."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpdiscovery import config, inference
from kpdiscovery.reporting import logs, sections
from kpdiscovery.training import runs
from tests.fuzz import mutations
from tests.fuzz.checks import cases, survives

CONFIG = json.loads(config.load('tusk/tetrominoes:smoke').to_json())
METRICS = {
    'metrics': {'nme': 0.5, 'ari': 0.25},
    'untrained': {'nme': 0.9},
    'baselines': {'mean': {'nme': 0.7}},
    'generic': None,
    'skipped': {'pck': 'needs truth boxes'},
    'truth': ['keypoints'],
    'pictures': 9,
    'split': 'test',
    'device': 'cpu',
}
LINE = {'phase': 'train', 'step': 10, 'seconds': 1.5, 'images_per_s': 3.0, 'loss': 0.5}
LABELS = {'bright': np.arange(8), 'xy': np.ones((8, 3, 2), np.float32)}


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp('workdir')
    (root / 'labels').mkdir()
    return root


@given(text=mutations.forged_json(CONFIG))
@cases(0.05)
def test_config(place, text):
    (place / 'config.json').write_text(text, errors='replace')
    found = survives(lambda: runs.load_config(place), place)
    assert found is None or isinstance(found, dict)
    with pytest.MonkeyPatch.context() as patch:
        whole = {'phase': 'train', 'step': 1}
        patch.setattr(runs, 'load_variables', lambda *_: ({}, whole))
        survives(lambda: inference.load(place), place)


@given(text=mutations.forged_json(METRICS))
@cases(0.03)
def test_figures(place, text):
    (place / 'metrics.json').write_text(text, errors='replace')
    found = survives(lambda: logs.read_metrics(place), place)
    if found is not None:
        survives(lambda: (logs.columns(found), sections._figures(found)), place)


@given(texts=st.lists(mutations.forged_json(LINE), min_size=1, max_size=3))
@cases(0.03)
def test_logged_lines(place, texts):
    lines = [json.dumps(LINE), *texts, json.dumps({**LINE, 'step': 20})]
    (place / 'metrics.jsonl').write_text('\n'.join(lines), errors='replace')
    found = survives(lambda: logs.read_curves(place), place)
    assert found['train']['loss'] and all(
        isinstance(value, (int, float))
        for scalars in found.values() for steps in scalars.values() for value in steps.values()
    )  # fmt: skip


@given(
    data=mutations.forged_npz(LABELS),
    name=st.sampled_from(['5', '05', '²', '10', 'images', '9' * 200, 'x']),
)
@cases(0.03)
def test_labels(place, data, name):
    path = place / 'labels' / f'{name}.npz'
    path.write_bytes(data)
    survives(lambda: logs.read_labels(place), place)
    path.unlink()

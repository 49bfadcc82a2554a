"""What is said of how a run was measured."""

import json
from types import SimpleNamespace

import ml_collections

from kpdiscovery.reporting import protocol


def section(path):
    config = ml_collections.ConfigDict(
        {'evaluation': {'fit': 500}, 'data': {'rows': 100}}
    )
    method = SimpleNamespace(metrics=('foreground_ari', 'landmark_nme'))
    return protocol.section(SimpleNamespace(trained=SimpleNamespace(
        config=config, method=method)), path)  # fmt: skip


def test_before_an_evaluation(tmp_path):
    found = section(tmp_path)
    assert 'Nothing is measured yet' in found.note
    facts, meanings = found.tables
    assert dict(facts.rows) == {
        'fits': 'on at most 100 training pictures',
        'command': f'kpd evaluate --workdir={tmp_path}',
    }
    assert meanings.rows[0] == (
        'foreground_ari',
        'Mean foreground ARI of prediction.instances against the true instances.',
        '',
    )


def test_what_was_measured_and_what_was_not(tmp_path):
    said = {
        'metrics': {},
        'split': 'test',
        'pictures': 8,
        'skipped': {'landmark_nme': 'why'},
    }
    (tmp_path / 'metrics.json').write_text(json.dumps(said))
    facts, meanings = section(tmp_path).tables
    assert ('split measured', 'test') in facts.rows
    assert ('pictures measured', '8') in facts.rows
    assert [row[2] for row in meanings.rows] == ['', 'why']

import json

import numpy as np
import pytest

from kpdiscovery.reporting import logs
from kpdiscovery.types import UserError


def write(folder, *rows):
    lines = [json.dumps(row) for row in rows]
    (folder / 'metrics.jsonl').write_text('\n'.join(lines) + '\n{"phase": "tra')
    return folder


def row(step, seconds, **values):
    return {'phase': 'train', 'step': step, 'seconds': seconds, **values}


def test_a_resumed_run_overwrites_the_steps_it_repeats(tmp_path):
    write(
        tmp_path,
        row(10, 5.0, loss=3.0),
        row(20, 9.0, loss=2.0),
        row(20, 4.0, loss=2.5),
        row(20, 4.0, **{'sweep/moved': 1.0}),
        row(15, 2.0, loss=2.7),
    )
    curves = logs.read_curves(tmp_path)
    assert curves == {
        'train': {'loss': {10: 3.0, 15: 2.7, 20: 2.5}, 'sweep/moved': {20: 1.0}}
    }
    assert list(curves['train']['loss']) == [10, 15, 20]


def test_a_workdir_without_logs(tmp_path):
    assert logs.read_curves(tmp_path) == {}
    assert logs.read_metrics(tmp_path) is None


def test_broken_metrics_are_named(tmp_path):
    (tmp_path / 'metrics.json').write_text('{"metrics"')
    with pytest.raises(UserError, match='kpd evaluate'):
        logs.read_metrics(tmp_path)


def test_labels_are_known_by_their_step(tmp_path):
    (tmp_path / 'labels').mkdir()
    for name in ('20', '05', '²', 'x'):
        np.savez(tmp_path / 'labels' / f'{name}.npz', bright=np.arange(3))
    labels, images = logs.read_labels(tmp_path)
    assert list(labels) == [5, 20] and images is None


def test_lines_nobody_has_logged_are_passed_over(tmp_path):
    others = [3, [], {'step': 1}, {'phase': [], 'step': 1}, row('x', 0.0, loss=1.0)]
    write(tmp_path, *others, row(10, 5.0, loss=3.0, name='?', much=10**400))
    assert logs.read_curves(tmp_path) == {'train': {'loss': {10: 3.0}}}


@pytest.mark.parametrize(
    'text', ['[]', '{"metrics": 3}', '{"metrics": {"nme": "x"}}', '{"baselines": []}']
)
def test_metrics_of_another_kind(tmp_path, text):
    (tmp_path / 'metrics.json').write_text(text)
    with pytest.raises(UserError, match='kpd evaluate'):
        logs.read_metrics(tmp_path)

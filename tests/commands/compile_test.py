"""`kpd compile`: real programs for chips that are not here, and one line for mistakes."""

import importlib.util
import json
import re

import pytest

from kpdiscovery import cli

SMOKE = '--config=feature_alignment/critters:smoke'
needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec('libtpu') is None, reason='libtpu is not installed'
)


def ask(capsys, *argv):
    """Exit code, and the lines of stdout and stderr."""
    capsys.readouterr()
    code = cli.main(['compile', *argv])
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err.splitlines()


@pytest.mark.tpu_aot
@needs_libtpu
def test_figures_and_a_verdict(capsys):
    asked = '--topology=v5e:2x2', '--only=dictionary/step,align/labels'
    code, out, _ = ask(capsys, SMOKE, '--largest_batch', *asked)
    assert code == 0
    start = 'feature_alignment/critters:smoke on v5e:2x2: 4 chips, batches of 8, '
    assert out[0] == f'{start}24 pictures'
    text = '\n'.join(out)
    assert 'dictionary step: fits: ' in text and 'align labels: fits: ' in text
    assert 'all-reduce x ' in text and 'feature_alignment/method.py:' in text
    assert 'of memory used again' in text and 'DONATION FAILED' not in text
    (batch,) = re.findall(r'batches of up to ([\d,]+) fit', text)
    assert int(batch.replace(',', '')) % 4 == 0 and len(batch) > 3
    assert out[-2].startswith('fits: at most ') and 'in dictionary step' in out[-2]


@pytest.mark.tpu_aot
@needs_libtpu
def test_a_line_of_json_a_program_and_topology(capsys):
    asked = SMOKE, '--only=dictionary/step', '--json'
    code, out, _ = ask(capsys, *asked, '--topology=v5e:2x2,v5e:2x4')
    rows = [json.loads(line) for line in out]
    assert code == 0 and [row['chips'] for row in rows] == [4, 8]
    for row in rows:
        assert row['fits'] and row['needed'] < row['memory'] == 15.75 * 2**30
        assert row['reused'] >= row['to_reuse'] > 0 and row['aliases'] > 10
        assert row['collectives']['all-reduce']['times'] >= 1
        assert (row['phase'], row['part'], row['rows']) == ('dictionary', 'step', 24)


@pytest.mark.slow
@pytest.mark.tpu_aot
@needs_libtpu
@pytest.mark.parametrize('config, step', [
    ('feature_alignment/critters:smoke', 'align'),
    ('self_training/critters:scratch,smoke', 'correspond'),
    ('self_training/critters:scratch,smoke', 'landmarks'),
])  # fmt: skip
def test_no_step_moves_a_table_of_labels(capsys, config, step):
    """However many pictures there are, chips exchange the same few bytes."""
    found = []
    for rows in (8_000, 80_000):
        asked = f'--config={config}', f'--only={step}*/step', f'--rows={rows}', '--json'
        code, out, _ = ask(capsys, *asked, '--topology=v5e:2x4')
        (row,) = map(json.loads, out)
        assert code == 0
        found.append({kind: each['bytes'] for kind, each in row['collectives'].items()})
    assert found[0] == found[1] and found[0]['all-reduce'] > 0  # Of gradients.


@needs_libtpu
@pytest.mark.parametrize('options, mend', [
    (['--topology=v9x:2x2'], 'known are v5e, v5p, v6e'),
    (['--topology=v5e:3x5'], "no topology 'v5e:3x5'"),
    (['--topology=,'], '--topology=v5e:4x4'),
    (['--topology=v5e:2x2', '--rows=-1'], 'must not be negative'),
    (['--topology=v5e:4x4'], '--config.data.batch_size=16'),
    (['--topology=v5e:2x2', '--only=train/step'], '--only=train/step is no part'),
    (['--topology=v5e:2x2', '--data=/nowhere'], '/nowhere'),
])  # fmt: skip
def test_mistakes_cost_one_line(capsys, options, mend):
    code, _, err = ask(capsys, SMOKE, *options)
    assert code == 2 and len(err) == 1 and mend in err[0]


def test_without_libtpu_its_name_is_told(capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    code, _, err = ask(capsys, SMOKE, '--topology=v5e:2x2')
    assert code == 2 and 'pip install libtpu' in err[0]

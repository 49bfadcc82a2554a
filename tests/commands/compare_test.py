"""Figures of runs side by side, and those that cannot be."""

import json

import pytest

from kpdiscovery import compare
from kpdiscovery.types import UserError


def run(
    folder, *, seed=0, split='test', fit=300, path='faces', rows='all', size=64, fitted=None,
    **figures,
):  # fmt: skip
    """A workdir with nothing but its figures."""
    folder.mkdir()
    data = {'source': 'folder', 'path': path, 'landmarks': 'faces68', 'resize': 'crop',
            'options': {'split_by': 'person'}, 'size': size}  # fmt: skip
    result = {'metrics': figures, 'seed': seed, 'split': split, 'pictures': 500, 'rows': rows,
              'config': {'data': data, 'evaluation': {'fit': fit}}}  # fmt: skip
    if fitted:
        result['fit_pictures'] = fitted
    (folder / 'metrics.json').write_text(json.dumps(result))
    return str(folder)


def test_runs_of_one_protocol_share_a_table(tmp_path, capsys):
    one = run(tmp_path / 'a', seed=0, nme=6.25)
    runs = [one, run(tmp_path / 'b', seed=1, nme=7.5, x=1.0)]
    assert compare.main(runs) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'data.source=folder, split=test, pictures=500'
    assert lines[1].split() == [runs[0], '(seed', '0)', runs[1], '(seed', '1)']
    assert lines[2].split() == ['nme', '6.250', '7.500']
    assert lines[3].split() == ['x', '-', '1.000']


@pytest.mark.parametrize('change, told', [
    ({'split': 'validation'}, 'split'), ({'fit': 3000}, 'evaluation.fit'),
    ({'path': 'mtfl'}, 'data.path'), ({'size': 32}, 'data.size'),
    ({'rows': 'evenly spread'}, 'rows'),
])  # fmt: skip
def test_other_protocols_are_kept_apart(tmp_path, capsys, change, told):
    one, two = run(tmp_path / 'a', nme=6.0), run(tmp_path / 'b', nme=7.0, **change)
    compare.main([one, two, one])
    warning, first, second = capsys.readouterr().out.split('\n\n')
    assert 'cannot be compared' in warning
    assert first.count('6.000') == 2 and '7.000' not in first
    assert second.startswith(f'{told}={change[next(iter(change))]}')
    compare.main(['--json', one, two])
    tables = json.loads(capsys.readouterr().out)
    assert [table['runs'][0]['metrics'] for table in tables] == [
        {'nme': 6.0},
        {'nme': 7.0},
    ]


def test_figures_are_chosen_by_name(tmp_path, capsys):
    one = run(tmp_path / 'a', nme=6.0, pck=50.0)
    compare.main([one, '--metric=pck'])
    assert 'nme' not in capsys.readouterr().out
    with pytest.raises(UserError, match='did you mean pck'):
        compare.main([one, '--metric=pcc'])


def test_a_run_of_which_nothing_is_known_has_no_column(tmp_path, capsys):
    one, two = run(tmp_path / 'a', nme=6.0), run(tmp_path / 'b')
    compare.main([one, two])
    _, heads, figures, note = capsys.readouterr().out.splitlines()
    assert heads.split() == [one, '(seed', '0)'] and figures.split() == ['nme', '6.000']
    assert note == f'none of these figures is known of {two}'
    compare.main([two])
    assert capsys.readouterr().out.splitlines()[1:] == [note]


def test_runs_without_figures_are_told(tmp_path):
    with pytest.raises(UserError, match='nothere: no such folder'):
        compare.main([str(tmp_path / 'nothere')])
    with pytest.raises(UserError, match='run kpd evaluate first'):
        compare.main([str(tmp_path)])
    (tmp_path / 'metrics.json').write_text('{"metrics": {}}')
    with pytest.raises(UserError, match='damaged'):
        compare.main([str(tmp_path)])


def test_runs_that_regressors_were_fitted_otherwise_for_are_kept_apart(
    tmp_path, capsys
):
    """`data.rows` thins what `evaluation.fit` counts: what was fitted on is recorded."""
    runs = [run(tmp_path / str(n), fitted=n, nme=1.0) for n in (5, 50)]
    compare.main(runs)
    assert 'fit_pictures=50' in capsys.readouterr().out


def test_a_run_that_went_on_is_told(tmp_path, monkeypatch, caplog):
    one = run(tmp_path / 'a', nme=6.0)
    path = tmp_path / 'a' / 'metrics.json'
    path.write_text(
        json.dumps({**json.loads(path.read_text()), 'phase': 'p', 'step': 1})
    )
    monkeypatch.setattr(compare.runs, 'last_meta', lambda _: {'phase': 'p', 'step': 2})
    compare.main([one])
    assert 'a was measured at step 1 of phase p (the run is at step 2' in caplog.text

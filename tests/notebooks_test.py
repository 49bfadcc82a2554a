"""Notebooks run from a clean kernel, with small settings; what is kept of them has pictures."""

import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1] / 'notebooks'
SMALL = {
    'quickstart': 'STEPS = 20',
    'own_pictures': 'STEPS, PICTURES = 20, 40',
    'pure_functions': 'STEPS = 20',
    'tpu': 'STEPS = 4',
}
nbformat = pytest.importorskip('nbformat')


def read(name):
    return nbformat.read(ROOT / f'{name}.ipynb', 4)


def test_all_notebooks_are_tested():
    assert {path.stem for path in ROOT.glob('*.ipynb')} == set(SMALL)


@pytest.mark.parametrize('name', SMALL)
def test_outputs_are_kept(name):
    cells = [cell for cell in read(name).cells if cell.cell_type == 'code']
    kinds = [
        kind for cell in cells for out in cell.outputs for kind in out.get('data', ())
    ]
    assert 'image/png' in kinds or name == 'tpu'
    assert not any(out.output_type == 'error' for cell in cells for out in cell.outputs)
    assert all(cell.execution_count for cell in cells)
    assert sum('parameters' in cell.metadata.get('tags', ()) for cell in cells) == 1


@pytest.mark.slow
@pytest.mark.parametrize('name', SMALL)
def test_a_clean_kernel_runs_it(name, tmp_path, monkeypatch):
    nbclient = pytest.importorskip('nbclient')
    monkeypatch.setenv('PATH', f'{ROOT.parent}/.venv/bin', prepend=os.pathsep)
    notebook = read(name)
    (given,) = [c for c in notebook.cells if 'parameters' in c.metadata.get('tags', ())]
    given.source += f'\n{SMALL[name]}'
    where = {'metadata': {'path': str(tmp_path)}}
    nbclient.NotebookClient(
        notebook, timeout=600, kernel_name='python3', resources=where
    ).execute()

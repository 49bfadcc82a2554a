"""Programs that say what the model says, in a process that has none of our methods."""

import json
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

from kpdiscovery import cli, config, data, export, inference
from kpdiscovery.data import resize
from kpdiscovery.reporting import cards
from kpdiscovery.types import UserError

pytest.importorskip('flatbuffers')
READ = """
import sys, jax, numpy as np
content = bytearray(open(sys.argv[1], 'rb').read())
images = np.load(sys.argv[2])
np.savez(sys.argv[3], **jax.export.deserialize(content).call(images))
assert 'kpdiscovery' not in sys.modules
"""


def fresh(name):
    """A model before its first step."""
    settings = config.load(f'{name}:smoke')
    if 'num_classes' in settings.method:
        settings.method.num_classes = 3
    source = data.build(settings.data, split='train')
    return inference.untrained(settings, source)


# TUSK takes a batch of any size as it is; leaky maximum pooling's kernel does not.
@pytest.mark.parametrize('name', ['tusk/tetrominoes', 'lmpnet/critters'])
def test_a_program_in_a_process_of_its_own(name, tmp_path, monkeypatch):
    trained = fresh(name)
    monkeypatch.setattr(inference, 'load', lambda *args: trained)
    assert export.main([f'--workdir={tmp_path}', f'--out={tmp_path}']) == 0
    side = trained.config.data.size
    images = np.random.default_rng(1).random((5, side, side, 3), np.float32)
    np.save(tmp_path / 'images.npy', images)
    words = ['model.jax', 'images.npy', 'found.npz']
    subprocess.run([sys.executable, '-c', READ, *words], check=True, cwd=tmp_path)
    found = np.load(tmp_path / 'found.npz')
    want = export.as_function(trained)(images)
    assert set(found) == set(want) and found['xy'].shape[0] == 5
    for field in found:
        np.testing.assert_allclose(found[field], want[field], atol=1e-4)


def test_the_card_and_the_config(tmp_path):
    trained = fresh('imm/critters')
    measured = {'pictures': 7, 'split': 'test', 'metrics': {'nme': 1.25}}
    card = cards.card(trained, measured, model='model.jax')
    assert '# imm on critters' in card and '| nme | 1.250 |' in card
    old = {
        **measured,
        'phase': 'train',
        'step': 7,
        'metrics': {'nme': None},
        'learnt_from': 3,
    }
    card_of_old = cards.card(trained, old, model='model.jax')
    assert 'Measured at step 7 of phase train (the run is at step 0' in card_of_old
    assert '3 of them are in the training split' in card_of_old
    assert '| nme | - |' in card_of_old and 'Measured at' not in card
    assert 'kpd evaluate` was not run' in cards.card(trained, None, model='model.jax')
    code = card.split('```python\n')[1].split('```')[0]
    side = trained.config.data.size
    assert f'side = np.array(picture.size), {side}\n' in code
    assert json.loads(export._config(trained))['format'] == export.FORMAT


@pytest.mark.parametrize('how', ['stretch', 'crop', 'crop:0.7', 'pad'])
@pytest.mark.parametrize('size', [(60, 41), (23, 50), (30, 30), (1024, 512)])
def test_the_card_fits_a_picture_as_training_does(how, size, tmp_path, monkeypatch):
    """Its lines, as they are, with a model that finds the first pixel and what it saw."""
    seen, xy = [], np.array([[[0.0, 0.0], [31.0, 20.5], [16.0, 16.0]]])
    found = lambda images: seen.append(images) or {'xy': xy, 'valid': xy[..., 0] < 20}
    load = lambda content: types.SimpleNamespace(call=found)
    monkeypatch.setattr(export.jax_export, 'deserialize', load)
    monkeypatch.chdir(tmp_path)
    pathlib.Path('model.jax').touch()
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save('picture.png')
    settings = config.load('imm/critters:smoke', ['data.size=32', f'data.resize={how}'])
    method = types.SimpleNamespace(batch_fields=())
    trained = types.SimpleNamespace(config=settings, meta={}, method=method)
    code = cards.card(trained, None, model='model.jax').split('```')[1]
    values = {}
    exec(code.removeprefix('python').replace('picture.jpg', 'picture.png'), values)
    fitted, frame = resize.fit_image(pixels, (32, 32), how)
    np.testing.assert_allclose(seen[0], fitted[None] / np.float32(255), atol=0.5 / 255)
    np.testing.assert_allclose(values['xy'], resize.to_original(frame, xy), atol=1e-4)
    inside = resize.inside(frame, values['xy'], (32, 32))
    assert values['valid'].tolist() == [[inside[0, 0], False, True]]
    assert inside[0, 0] == (how != 'pad' or size == (30, 30))


def test_what_cannot_be_exported_is_told(tmp_path):
    trained = fresh('imm/critters')
    program = export.as_function(trained)
    content = export.serialized(program, trained, ['cpu'])
    other = lambda images: {k: v + 1 for k, v in program(images).items()}
    with pytest.raises(UserError, match='differs from the model by 1'):
        export.difference(content, other, trained)
    trained.config.data.features = 'somewhere'
    with pytest.raises(UserError, match='reads given features'):
        export.as_function(trained)


def _nan(images):
    return {'a': images.sum(), 'b': images * np.nan}


def test_what_is_no_number_is_a_difference_unless_it_is_one_in_both(monkeypatch):
    trained = fresh('imm/critters')
    found = lambda program: monkeypatch.setattr(
        export.jax_export, 'deserialize', lambda _: types.SimpleNamespace(call=program)
    )
    found(_nan)
    assert export.difference(b'', _nan, trained) < 1e-3
    found(lambda images: {**_nan(images), 'b': images})
    with pytest.raises(UserError, match='differs from the model by nan'):
        export.difference(b'', _nan, trained)


@pytest.mark.parametrize('words, names, said', [
    (['--platforms=cpu,gpu'], (), "'gpu' is none of"),
    (['--platforms=tpu'], (), 'on this machine before it is kept, add cpu'),
    ([], ['README.md'], 'has a README.md of something else'),
    ([], ['config.json', 'checkpoints/1/x'], 'holds a run'),
    (['--out=gs://mine/model'], (), 'writes to this machine only'),
])  # fmt: skip
def test_what_cannot_end_well_is_told_first(tmp_path, capsys, words, names, said):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('{}')
    assert cli.main(['export', '--workdir=none', f'--out={tmp_path}', *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count('\n') == 1
    assert not any(path.name == 'gs:' for path in pathlib.Path().iterdir())


def test_without_its_library_nothing_is_begun(monkeypatch):
    monkeypatch.setattr(export.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(UserError, match=r'pip install .*\[export\]'):
        export.main(['--workdir=none', '--out=there'])

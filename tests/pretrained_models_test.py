"""Trained models as single files: packaged, written, of the Hub, and what is none."""

import types

import jax
import numpy as np
import pytest

from kpdiscovery import cli, config, data, inference, pretrained
from kpdiscovery.types import UserError


@pytest.fixture(scope='module')
def trained():
    settings = config.load('imm/critters:smoke')
    return inference.untrained(settings, data.build(settings.data, split='train'))


def same(one, two):
    assert (
        one.method == two.method and one.config == two.config and one.meta == two.meta
    )
    jax.tree.map(np.testing.assert_array_equal, one.variables, two.variables)


def test_a_file_holds_all_of_a_model(trained, tmp_path):
    pretrained.save(tmp_path / pretrained.FILE, trained)
    for name in (tmp_path, tmp_path / pretrained.FILE):
        same(pretrained.from_pretrained(str(name)), trained)
    more = pretrained.from_pretrained(str(tmp_path), ('evaluation.batch_size=3',))
    assert more.config.evaluation.batch_size == 3


@pytest.mark.parametrize('name', pretrained.names())
def test_packaged_models_predict(name, tmp_path):
    trained = pretrained.from_pretrained(name)
    source = data.build(trained.config.data, split='test')
    split = inference.predict_rows(trained, source, 2, batch_size=2)
    assert split.prediction.keypoints.valid.any()


def test_what_is_no_model_is_told(trained, tmp_path):
    with pytest.raises(UserError, match="no model 'tusk/tetromino'"):
        pretrained.from_pretrained('tusk/tetromino')
    (tmp_path / 'a.safetensors').write_bytes(b'nothing')
    with pytest.raises(UserError, match='cannot be read as a model'):
        pretrained.from_pretrained(str(tmp_path / 'a.safetensors'))
    foreign = tmp_path / 'b.safetensors'
    pretrained.safetensors.numpy.save_file({'w': np.zeros(2)}, foreign)
    with pytest.raises(UserError, match='no model of ours'):
        pretrained.from_pretrained(str(foreign))


def test_models_of_the_hub(trained, tmp_path, monkeypatch):
    pretrained.save(tmp_path / pretrained.FILE, trained)
    calls = []
    hub = types.SimpleNamespace(
        hf_hub_download=lambda repository, file: str(tmp_path / file),
        create_repo=lambda *args, **options: calls.append((args, options)),
        upload_folder=lambda **options: (
            calls.append(options) or f'there/{options["repo_id"]}'
        ),
    )
    monkeypatch.setattr(pretrained, '_hub', lambda: hub)
    same(pretrained.from_pretrained('hf://me/model'), trained)
    assert pretrained.upload(tmp_path, 'me/model', ['a']) == 'there/me/model'
    assert calls[0] == (('me/model',), {'exist_ok': True})
    assert calls[1]['allow_patterns'] == ['a']


def test_the_hub_refuses_in_one_line(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise ConnectionError('no route\nand much more')

    hub = types.SimpleNamespace(hf_hub_download=refuse, create_repo=refuse)
    monkeypatch.setattr(pretrained, '_hub', lambda: hub)
    told = 'me/model: no route; is it OWNER/REPOSITORY'
    with pytest.raises(UserError, match=told):
        pretrained.from_pretrained('hf://me/model')
    with pytest.raises(UserError, match=told):
        pretrained.upload(tmp_path, 'me/model')


def test_a_config_to_give_away_names_no_place_of_this_machine():
    settings = config.load('lmpnet/folder:smoke')
    settings.data.update(path='/home/me/faces', keypoints='~/runs/first')
    settings.data.options = {'annotations': '/home/me/a.npz', 'method': 'bicubic'}
    settings.run.compilation_cache = '/home/me/cache'
    given = pretrained.without_places(settings)
    assert '/' not in str((given.data, given.run.compilation_cache))
    assert given.data.options.to_dict() == {'method': 'bicubic'}
    assert given.method == settings.method and settings.data.path == '/home/me/faces'


def test_predict_wants_one_model(tmp_path, capsys):
    words = ['predict', str(tmp_path), f'--out={tmp_path}']
    assert cli.main(words) == 2
    assert '--workdir --pretrained is required' in capsys.readouterr().err

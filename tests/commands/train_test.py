"""`kpd train` and `kpd evaluate` as a person calls them: real runs and mistakes."""

import errno
import json
import os

import numpy as np
import pytest
from PIL import Image

from kpdiscovery import __version__, cli, inference

SMOKE = '--config=tusk/tetrominoes:smoke'


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
    path = tmp_path_factory.mktemp('run')
    assert cli.main(['train', SMOKE, f'--workdir={path}']) == 0
    return path


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / 'pictures'
    folder.mkdir()
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 255, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f'{i:02}.png')
    return folder


def complaint(capsys, *argv):
    """The one line on stderr of a command that must fail with code 2."""
    capsys.readouterr()
    assert cli.main(list(argv)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in lines if line.startswith('kpd: ')]) == 1, lines
    return lines[-1]


def test_evaluates_with_every_field(workdir, capsys):
    assert cli.main(['evaluate', f'--workdir={workdir}']) == 0
    assert 'foreground_ari' in capsys.readouterr().out
    result = json.loads((workdir / 'metrics.json').read_text())
    assert {'foreground_ari', 'color_accuracy', 'hit_rate/color=2'} <= set(
        result['metrics']
    )
    assert result['metrics'].keys() == result['untrained'].keys()
    assert {'protocol', 'split', 'seed', 'step', 'seconds', 'device', 'commit', 'keypoints',
            'evaluation_seconds', 'config_hash'} <= set(result)  # fmt: skip
    assert "needs truth 'keypoints'" in result['skipped']['landmark_regression']


def test_trains_on_a_folder_and_resumes(pictures, tmp_path, capsys):
    (pictures / 'broken.jpg').write_bytes(b'\xff\xd8\xff')
    argv = ['train', SMOKE, f'--data={pictures}', f'--workdir={tmp_path / "w"}']
    assert cli.main(argv) == 0 and cli.main(argv) == 0
    assert 'trained 2 steps' in capsys.readouterr().out


def test_resumes_after_time_is_up(tmp_path, capsys):
    argv = ['train', SMOKE, f'--workdir={tmp_path}']
    assert cli.main([*argv, '--max_seconds=0']) == 0
    said = capsys.readouterr().out
    assert 'the same command resumes' in said
    assert said.startswith('tusk/tetrominoes:smoke: 50000 pictures of split train in ')
    assert 'tetrominoes, 32 px; steps of 8: train 2 (16 of them); 8 x cpu' in said
    assert inference.load(tmp_path).meta['step'] == 1
    warned = capsys.readouterr().err
    assert 'stopped at step 1 of 2 of phase train: not a finished run' in warned
    assert cli.main(argv) == 0
    assert 'trained 2 steps' in capsys.readouterr().out
    assert inference.load(tmp_path).meta['step'] == 2
    assert 'not a finished run' not in capsys.readouterr().err


def test_help_says_how_settings_are_given_and_lists_configs(capsys):
    for command in ('train', 'evaluate', 'predict', 'doctor'):
        with pytest.raises(SystemExit):
            cli.main([command, '--help'])
        said = capsys.readouterr().out
        assert '--config.KEY=VALUE' in said
        assert ('mnist_hard' in said) == (command == 'train')
    with pytest.raises(SystemExit):
        cli.main(['report', '--help'])
    assert '--config.KEY=VALUE' not in capsys.readouterr().out
    assert cli.main(['--version']) == 0
    assert __version__ in capsys.readouterr().out


def test_a_setting_may_stand_beside_its_value():
    parser = cli.Parser('kpd x')
    parser.add_argument('images', nargs='+')
    parser.add_argument('--out')
    words = (
        'a.jpg --config.data.size 64 b.jpg --config.run.keep=3 --config.seed --out=o'
    )
    args, settings = parser.parse(words.split())
    assert settings == ['data.size=64', 'run.keep=3', 'seed']
    assert args.images == ['a.jpg', 'b.jpg'] and args.out == 'o'


def test_smaller_pictures_than_the_network_halves(tmp_path, capsys):
    line = complaint(
        capsys, 'train', SMOKE, '--config.data.size=31', f'--workdir={tmp_path}'
    )
    assert 'divisible by 2' in line and '31' in line


@pytest.mark.parametrize('argv, message', [
    (['train', SMOKE], 'required: --workdir'),
    (['train', '--config=tusk/nothing', '--workdir=w'], "no config 'tusk/nothing'"),
    (['train', SMOKE, '--workdir=w', '--config.method.widht=3'], 'did you mean method.width?'),
    (['train', SMOKE, '--workdir=w', '--data=/does/not/exist'], '/does/not/exist'),
    (['train', SMOKE, '--workdir=w', '--config.method.num_keypoints=5000'], '5000'),
    (['train', SMOKE, '--workdir=w', '--config.method.window=4'], 'window must be odd'),
    (['train', SMOKE, '--workdir=w', '--config.method.parity=exact'], 'parity must be one of'),
    (['train', SMOKE, '--workdir=w', '--config.method.reconstruction=perceptual',
      '--config.method.perceptual_weights=no.st'], 'weights no.st: there is no such file'),
    (['train', '--config=tusk/faces:smoke', '--workdir=w'], 'add --data=FOLDER'),
    (['train', '--config=tusk/mnist_hard:smoke', '--workdir=w', '--data=no.npz'], 'no.npz'),
    (['evaluate', '--workdir=/does/not/exist'], 'is not a workdir'),
    *[(['train', SMOKE, '--workdir=w', f'--config.{key}={value}'], f'config key {key} must be')
      for key, value in [
          ('data.size', 0), ('data.batch_size', 0), ('data.resize', 'squash'), ('seed', -1),
          ('data.source', 'foldr'), ('data.landmarks', 'face'), ('mesh.data', 0),
          ('phases.train.steps', -1), ('phases.train.optimizer.network.lr', -1e-3),
          ('run.log_every', 0), ('run.keep', 0), ('evaluation.batch_size', 0),
          ('data.options.length', 0),
      ]],
    (['train', SMOKE, '--workdir=w', '--config.phases.train.optimizer.network.name=adma'],
     'adma'),
    (['train', SMOKE, '--workdir=w', '--config.data.options.lenght=3'], 'lenght'),
    (['train', '--config=optimizer.py', '--workdir=w'], "keyword argument 'beta'"),
    (['train', SMOKE, '--workdir=optimizer.py'], 'optimizer.py is a file'),
    (['train', SMOKE, '--workdir=optimizer.py/w'], 'optimizer.py is a file'),
    (['evaluate', '--workdir=optimizer.py'], 'optimizer.py is a file'),
    (['trian'], 'did you mean train?'),
    (['train', SMOKE, '--workdri=w'], 'no option --workdri, did you mean --workdir?'),
    (['bench', 'kmeans', '--repeat5=2'], 'unrecognized arguments: --repeat5=2'),
    (['predict', '--workdir=w', '--out=o', '--', '--odd.jpg'], 'is not a workdir'),
])  # fmt: skip
def test_mistakes(argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'optimizer.py').write_text(
        'from kpdiscovery.configs.tusk import tetrominoes\n'
        'def get_config(arg=""):\n'
        '    c = tetrominoes.get_config("smoke")\n'
        '    c.phases.train.optimizer.network.beta = 0.5\n'
        '    return c\n'
    )
    assert message in complaint(capsys, *argv)
    assert [path.name for path in tmp_path.iterdir()] == ['optimizer.py']


def test_a_workdir_that_cannot_be_written(workdir, capsys, monkeypatch):
    monkeypatch.setattr(os, 'access', lambda path, mode: False)
    for argv in (
        ['train', SMOKE, f'--workdir={workdir}'],
        ['evaluate', f'--workdir={workdir}'],
    ):
        assert 'no permission to write there' in complaint(capsys, *argv)


def test_what_the_disk_refuses_is_one_line(capsys):
    def full(argv):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'w/metrics.json')

    assert cli.run(full, []) == 2
    assert capsys.readouterr().err == 'kpd: w/metrics.json: No space left on device\n'


def test_an_interrupt_is_one_line(capsys):
    def interrupted(argv):
        raise KeyboardInterrupt

    assert cli.run(interrupted, []) == 130
    assert capsys.readouterr().err == 'kpd: stopped\n'


def test_empty_folder(tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    line = complaint(capsys, 'train', SMOKE, f'--data={tmp_path / "empty"}',
                     f'--workdir={tmp_path / "w"}')  # fmt: skip
    assert 'empty' in line


def test_workdir_of_another_method(workdir, capsys):
    line = complaint(
        capsys, 'train', SMOKE, f'--workdir={workdir}', '--config.method.width=8'
    )
    assert 'method.width is 8, was 4' in line and 'new --workdir' in line

"""`kpd train` and `kpd evaluate` as a person calls them: real runs and mistakes."""

import json

import numpy as np
import pytest
from PIL import Image

from kpdiscovery import cli

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
    assert 'the same command resumes' in capsys.readouterr().out
    assert cli.main(argv) == 0
    assert 'trained 2 steps' in capsys.readouterr().out


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
    (['train', SMOKE, '--workdir=w', '--config.method.reconstruction=perceptual'], 'vgg_weights'),
    (['train', '--config=tusk/faces:smoke', '--workdir=w'], 'add --data=FOLDER'),
    (['train', '--config=tusk/mnist_hard:smoke', '--workdir=w', '--data=no.npz'], 'no.npz'),
    (['evaluate', '--workdir=/does/not/exist'], 'is not a workdir'),
    (['trian'], 'did you mean train?'),
])  # fmt: skip
def test_mistakes(argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in complaint(capsys, *argv)


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

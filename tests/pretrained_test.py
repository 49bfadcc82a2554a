"""Every method from published networks: trains and is measured, at smoke size."""

import json

import numpy as np
import pytest
from PIL import Image

from kpdiscovery import cli, inference

LITE0, XFEAT = ('efficientnet_lite0',), ('xfeat',)
CASES = {
    'lmpnet/folder': LITE0,
    'weight_map/folder': LITE0,
    'feature_alignment/folder': LITE0,
    'self_training/folder': XFEAT,
    'tusk/faces': LITE0,
}


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    """Two classes of blobs on noise, eight pictures of each, some of them gray."""
    folder, draw = tmp_path_factory.mktemp('pictures'), np.random.default_rng(0)
    y, x = np.mgrid[:80, :90]
    for number in range(16):
        pixels = draw.integers(0, 80, (80, 90, 3), np.uint8)
        spot = (x - draw.integers(20, 70)) ** 2 + (y - draw.integers(20, 60)) ** 2 < 150
        pixels[spot] = (250, 200, 60) if number % 2 else (40, 180, 250)
        image = Image.fromarray(pixels)
        place = folder / 'ab'[number % 2]
        place.mkdir(exist_ok=True)
        (image.convert('L') if number < 2 else image).save(place / f'{number:02}.png')
    return folder


@pytest.mark.slow  # About half a minute each.
@pytest.mark.parametrize('name', CASES)
def test_a_pretrained_start_trains_and_is_measured(name, network, pictures, tmp_path):
    for needed in CASES[name]:
        network(needed)
    argv = ['train', f'--config={name}:pretrained,smoke', f'--data={pictures}',
            f'--workdir={tmp_path}', '--config.data.landmarks=']  # fmt: skip
    assert cli.main(argv) == 0
    assert cli.main(['evaluate', f'--workdir={tmp_path}']) == 0
    assert json.loads((tmp_path / 'metrics.json').read_text())['step'] > 0


@pytest.mark.slow
def test_a_folder_starts_from_what_is_here_and_says_so(
    network, pictures, tmp_path, capsys
):
    argv = ['train', '--config=lmpnet/folder:smoke', f'--data={pictures}']
    assert cli.main([*argv, f'--workdir={tmp_path}/scratch']) == 0
    assert 'no pretrained start: kpd weights' in capsys.readouterr().out
    network('efficientnet_lite0')
    assert cli.main([*argv, f'--workdir={tmp_path}/here']) == 0
    assert 'pretrained start: efficientnet_lite0' in capsys.readouterr().out
    kept = inference.load(tmp_path / 'here').config
    assert kept.run.config == 'lmpnet/folder:pretrained,smoke'
    assert cli.main([*argv, f'--workdir={tmp_path}/scratch']) == 0
    assert 'begun from scratch and stays so' in capsys.readouterr().out


def test_an_absent_network_is_told_before_anything_is_done(pictures, tmp_path, capsys):
    argv = ['train', '--config=lmpnet/folder:pretrained,smoke', f'--data={pictures}']
    assert cli.main([*argv, f'--workdir={tmp_path}/run']) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert told[-1].endswith('kpd weights efficientnet_lite0')
    assert not (tmp_path / 'run' / 'checkpoints').exists()

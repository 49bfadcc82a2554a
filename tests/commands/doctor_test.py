"""`kpd doctor`: findings about machines, configs and weights, and the exit code."""

import hashlib
import os
import re
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from kpdiscovery import cli, config, detection, doctor, machine
from kpdiscovery.models import pretrained, zoo
from kpdiscovery.types import UserError
from tests.models import torch_efficientnet, torch_resnet, torch_writer

SMOKE = '--config=tusk/tetrominoes:smoke'
ANIMALS = '--config=lmpnet/critters:smoke'


def ask(capsys, *argv):
    """Exit code, and {name: [(state, text)]} of the lines of `kpd doctor`."""
    capsys.readouterr()
    code = cli.main(['doctor', *map(str, argv)])
    found = {}
    for line in capsys.readouterr().out.splitlines():
        if match := re.match(r'(ok|missing|absent) +(\w+) +(.*)', line):
            found.setdefault(match[2], []).append((match[1], match[3]))
    return code, found


@pytest.fixture
def resnet18(tmp_path):
    """Half-precision weights of random numbers, with torchvision's names."""
    tensors = torch_resnet.tensors((2, 2, 2, 2), bottleneck=False, width=64, classes=9)
    path = tmp_path / 'resnet18.safetensors'
    save_file(
        {key: np.asarray(value, np.float16) for key, value in tensors.items()}, path
    )
    return path


def test_a_machine_that_runs_these_tests_lacks_nothing(capsys):
    code, found = ask(capsys)
    assert code == 0
    assert found['python'] == [('ok', sys.version.split()[0])]
    assert found['jax'][0][0] == 'ok' and 'cpu' in found['jax'][0][1]
    assert set(found) == {name for name, _ in machine.CHECKS}
    assert found['packages'][0][0] == found['disk'][0][0] == 'ok'


def test_an_optional_extra_is_absent_and_told_how_to_get(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'cv2', None)
    code, found = ask(capsys)
    assert code == 0 and found['vision'][0][0] == 'absent'
    assert "pip install 'kpdiscovery[vision]'" in found['vision'][0][1]


def test_what_is_needed_is_missing(capsys, monkeypatch):
    monkeypatch.setattr(machine, '_PACKAGES', ('flax', 'no_such_package'))
    code, found = ask(capsys)
    assert code == 2
    assert found['packages'] == [
        ('missing', 'no no_such_package: pip install kpdiscovery')
    ]


def test_findings_of_checks():
    def fail():
        raise UserError('no')

    fine = machine.Finding(machine.OK, 'yes')
    assert machine.run([('a', fail), ('b', lambda: fine)]) == [
        ('a', ('missing', 'no', '')),
        ('b', fine),
    ]
    assert machine._room(1 << 30, 'free', 'x').state == 'missing'
    assert machine._room(9 << 30, 'free', 'x') == ('ok', '9.0 GiB free', '')


def test_prepared_sets_are_those_in_array_record(tmp_path):
    for name, file in {
        'birds/1.0.0': 'birds-train.array_record-00000-of-00001',
        'imagenette/full-size/1.0.0': 'x.array_record-00000-of-00001',
        'cars/2.0.0': 'cars-train.tfrecord-00000-of-00001',
    }.items():
        (tmp_path / name).mkdir(parents=True)
        for part in (file, 'dataset_info.json'):
            (tmp_path / name / part).touch()
    assert machine.prepared(tmp_path) == {'birds', 'imagenette/full-size'}
    assert machine.prepared(tmp_path / 'nowhere') == set()


def test_a_config_with_all_it_needs(capsys):
    code, found = ask(capsys, SMOKE)
    assert code == 0
    assert {'config', 'train', 'test', 'method', 'python'} <= set(found)
    assert 'instances' in found['train'][0][1]


def test_a_folder_says_what_truth_it_has(capsys, tmp_path):
    for kind in ('cat', 'dog'):
        (tmp_path / 'data' / kind).mkdir(parents=True)
        for i in range(6):
            Image.new('RGB', (9, 9)).save(tmp_path / 'data' / kind / f'{i}.png')
    options = (ANIMALS, '--config.method.num_classes=0')
    code, found = ask(capsys, *options, f'--data={tmp_path / "data"}')
    assert code == 0
    assert found['train'] == [('ok', '11 pictures; truth: label')]
    assert found['labels'] == [('ok', '2 classes')]
    (state, text), = found['method']  # fmt: skip
    assert state == 'absent' and 'greedy_pck (keypoints, visible)' in text
    (tmp_path / 'data' / 'stray.png').write_bytes(b'')
    code, found = ask(capsys, *options, f'--data={tmp_path / "data"}')
    assert code == 2 and 'stray.png is in no directory' in found['train'][0][1]


def test_doubtful_annotations_are_told(capsys, tmp_path):
    for i in range(3):
        Image.new('RGB', (40, 30)).save(tmp_path / f'{i}.png')
    notes = {'files': ['0.png', '1.png', '2.png'], 'keypoints': np.full((3, 2, 2), 9.0)}
    argv = ('--config=tusk/folder:smoke', f'--data={tmp_path}')
    np.savez(tmp_path / 'annotations.npz', **notes)
    assert ask(capsys, *argv)[1]['doubts'] == [('ok', 'none')]
    notes['keypoints'][1, 0] = 1e4
    np.savez(tmp_path / 'annotations.npz', **notes)
    code, found = ask(capsys, *argv)
    (state, text), = found['doubts']  # fmt: skip
    assert code == 0 and state == 'absent'
    assert '1 of 6 lie outside their pictures' in text
    np.savez(tmp_path / 'annotations.npz', **notes, boxes=[[30, 20, 9, 8]] * 3)
    code, found = ask(capsys, *argv)
    assert code == 2 and 'are these x, y, width' in found['train'][0][1]


@pytest.mark.parametrize(
    ('argv', 'name', 'message'),
    [
        (['--config=tusk/tetrominos'], 'config', 'did you mean tusk/tetrominoes'),
        (['--config=tusk/folder'], 'train', 'add --data=FOLDER'),
        (['--config=tusk/folder', '--data=/no/where'], 'train', '/no/where: no such'),
        (['--config=tusk/celeba_wild'], 'weights', 'kpd weights'),
        ([ANIMALS, '--config.method.network.backbone=vgg16'], 'method', 'be a ResNet'),
        (
            [ANIMALS, '--config.method.network.weights=no.st'],
            'weights',
            'weights no.st: there is no such file',
        ),
    ],
)
def test_what_a_config_lacks(capsys, argv, name, message):
    code, found = ask(capsys, *argv)
    assert code == 2
    assert any(state == 'missing' and message in text for state, text in found[name])


def test_generic_keypoints_need_opencv_or_a_file(monkeypatch):
    assert doctor._keypoints('sift', 9).state == 'ok'
    assert doctor._keypoints('no.npz', 9).state == 'missing'
    with pytest.raises(UserError, match=r'data\.keypoints must be'):
        doctor._keypoints('shift', 9)
    monkeypatch.setitem(sys.modules, 'cv2', None)
    assert 'kpdiscovery[vision]' in doctor._keypoints('superpoint+sift', 9).mend


def test_landmarks_that_are_found_first_need_their_networks(monkeypatch, tmp_path):
    settings = config.load('self_training/folder:clusters,smoke')
    monkeypatch.setattr(zoo, 'folder', lambda: tmp_path)
    told = [check() for name, check in doctor._starts(settings)]
    assert [finding.state for finding in told] == ['missing', 'missing']
    assert 'descriptors.xfeat' in told[0].text and 'kpd weights' in told[0].text


def test_a_file_of_weights_is_named_counted_and_hashed(capsys, resnet18):
    code, found = ask(capsys, f'--weights={resnet18}')
    assert code == 0 and set(found) == {'weights'}
    text = found['weights'][0][1]
    assert 'resnet18, 11,186,112 parameters' in text  # 11,176,512 and 9,600 statistics.
    assert hashlib.sha256(resnet18.read_bytes()).hexdigest() in text
    network = '--config.method.network.'
    options = (ANIMALS, f'{network}weights={resnet18}', f'{network}small_stem=False')
    code, found = ask(capsys, *options, f'{network}width=64')
    assert code == 0 and found['weights'][0][0] == 'ok'
    code, found = ask(capsys, *options, f'{network}backbone=resnet50')
    assert code == 2 and 'is of resnet18' in found['weights'][0][1]


def test_what_does_not_fit_is_named(capsys, tmp_path):
    tensors = torch_resnet.tensors((2, 2, 2, 2), bottleneck=False, width=8)
    path = tmp_path / 'w.safetensors'
    save_file({k: v for k, v in tensors.items() if k != 'bn1.weight'}, path)
    code, found = ask(capsys, f'--weights={path}')
    assert code == 2 and 'bn1.weight' in found['weights'][0][1]
    save_file({'kernel': np.zeros(3)}, path)
    code, found = ask(capsys, f'--weights={path}')
    assert code == 2 and 'none of the networks resnet18' in found['weights'][0][1]
    path.write_bytes(b'no weights')
    assert ask(capsys, f'--weights={path}')[0] == 2
    assert ask(capsys, f'--weights={tmp_path / "no.safetensors"}')[0] == 2


def test_a_small_network_is_not_taken_for_a_larger_one(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, '_load', lambda path, name: {'x': jnp.zeros(3)})
    for name, depths in {'resnet50': (3, 4, 6, 3), 'resnet101': (3, 4, 23, 3)}.items():
        tensors = torch_resnet.tensors(depths, bottleneck=True, width=1)
        path = tmp_path / f'{name}.safetensors'
        save_file({f'model.{key}': value for key, value in tensors.items()}, path)
        assert pretrained.inspect(path) == (name, 3)
    path = tmp_path / 'lite0.safetensors'
    save_file(torch_efficientnet.tensors(), path)
    assert pretrained.inspect(path) == ('efficientnet_lite0', 3)


def test_superpoint_as_packaged():
    if not detection.PACKAGED.is_file():
        pytest.skip('no weights are packaged')
    assert pretrained.inspect(detection.PACKAGED).name == 'superpoint'


def test_a_file_of_torch_is_as_good(capsys, tmp_path):
    tensors = torch_resnet.tensors((2, 2, 2, 2), bottleneck=False, width=64, classes=9)
    data = torch_writer.zipped({
        key: torch_writer.whole(np.asarray(value, np.float16))
        for key, value in tensors.items()
    })  # fmt: skip
    path = tmp_path / f'resnet18-{hashlib.sha256(data).hexdigest()[:8]}.pth'
    path.write_bytes(data)
    code, found = ask(capsys, f'--weights={path}')
    assert code == 0
    assert 'resnet18, 11,186,112 parameters, all fit; sha256' in found['weights'][0][1]
    path = path.rename(tmp_path / 'resnet18-01234567.pth')
    code, found = ask(capsys, f'--weights={path}')
    assert code == 2 and found['weights'][0][1].endswith('damaged; fetch it again')


def test_networks_are_known_by_name(capsys, network):
    code, found = ask(capsys, '--weights=xfeat')
    assert code == 2 and 'kpd weights xfeat' in found['weights'][0][1]
    network('xfeat')
    assert doctor.machine._networks().mend == 'kpd weights efficientnet_lite0'
    code, found = ask(capsys, '--weights=xfeat')
    assert code == 0 and ': xfeat, 660,654' in found['weights'][0][1]
    code, found = ask(capsys, '--config=self_training/folder:cpu', '--data=/no')
    assert found['start'][0][1].startswith('pretrained start: xfeat; ')


def test_mistakes_are_one_line(capsys):
    for argv in (['--data=x'], ['--config.seed=1'], ['wieghts'], ['--weight']):
        assert cli.main(['doctor', *argv]) == 2
        assert capsys.readouterr().err.startswith('kpd: ')


def test_nothing_is_written(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ask(capsys, SMOKE)[0] == 0
    assert not os.listdir(tmp_path)

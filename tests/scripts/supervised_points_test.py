"""The supervised network beside `kpd fit`: it learns, and only from what is visible."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kpdiscovery import config, fit
from kpdiscovery.ops.keypoints import labelled
from kpdiscovery.types import Prediction, Split, UserError

SIDE, COUNT = 32, 24
FILE = Path(__file__).parents[2] / 'scripts' / 'supervised_points.py'
SMOKE = 'self_training/folder:cpu,smoke'


@pytest.fixture(scope='module')
def script():
    spec = importlib.util.spec_from_file_location(FILE.stem, FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Pictures of a bright and a red square; their middles, and a point hidden always."""
    where, rng = tmp_path_factory.mktemp('squares'), np.random.default_rng(0)
    points = rng.integers(6, SIDE - 6, (COUNT, 2, 2))
    for row, (one, two) in enumerate(points):
        image = np.zeros((SIDE, SIDE, 3), np.uint8)
        for (x, y), colour in ((one, (255, 255, 255)), (two, (255, 0, 0))):
            image[y - 2 : y + 3, x - 2 : x + 3] = colour
        Image.fromarray(image).resize((2 * SIDE, 2 * SIDE)).save(where / f'{row}.png')
    hidden = np.full((COUNT, 1, 2), 1e6)
    keypoints = np.concatenate([2 * points + 0.5, hidden], axis=1)
    np.savez(where / 'annotations.npz', keypoints=keypoints.astype(np.float32),
             files=[f'{row}.png' for row in range(COUNT)],
             visible=np.tile([True, True, False], (COUNT, 1)),
             split=['train'] * 16 + ['test'] * 8)  # fmt: skip
    return where


def test_it_learns_better_places_than_the_mean(script, folder, capsys):
    """Whole, as it is called, of fewer pictures than a batch has; measured on others."""
    words = [f'--config={SMOKE}', f'--data={folder}', '--pictures=12', '--steps=80',
             '--config.data.resize=stretch', '--config.data.batch_size=16']  # fmt: skip
    assert script.main(words) == 0
    told = capsys.readouterr().out
    assert told.startswith('12 pictures, 80 steps of 16, seed 0: ')
    own, mean_place = map(float, re.findall(r'mean px ([\d.]+)', told))
    assert own < 0.5 * mean_place < 10, told


def test_hidden_points_are_neither_learnt_nor_measured(script, folder):
    data = config.load(SMOKE, ['data.resize=stretch']).data
    shown = script.points_of(fit.pictures(data, str(folder), 'train'))
    labels = script.label_table(shown['keypoints'], shown['visible'])
    np.testing.assert_array_equal(labels['landmark'], [[0, 1, -1]] * 16)
    test = fit.pictures(data, str(folder), 'test')
    truth = {name: np.stack([test[row][name] for row in range(8)])
             for name in ('keypoints', 'visible', 'frame')}  # fmt: skip
    off = truth['keypoints'] + np.array(
        [3, 4], np.float32
    )  # Of 32 px; the files have 64.
    split = Split(Prediction(labelled(off)), truth, (SIDE, SIDE), 3)
    found = script.figures(split)
    assert found['mean px'] == pytest.approx(10) == found['median px']
    there = script.at_mean_place(split, shown).prediction.keypoints.xy
    np.testing.assert_allclose(there[0, :2], shown['keypoints'][:, :2].mean(axis=0))


def test_sides_change_places_in_the_mirror(script):
    settings = config.load('self_training/aflw:smoke')
    method, mirror = script._method(settings, 5)
    assert mirror.tolist() == [1, 0, 2, 4, 3] and method.flip_train and method.flip_test
    settings.data.landmarks = ''
    method, mirror = script._method(settings, 5)
    assert mirror.tolist() == [0, 1, 2, 3, 4]
    assert not (method.flip_train or method.flip_test)
    with pytest.raises(UserError, match='chapter 6'):
        script._method(config.load('self_training/folder:ch5,smoke'), 5)

"""`kpd features`: one look of the network, which train, evaluate and predict then use."""

import json

import numpy as np
import pytest
from PIL import Image

from kpdiscovery import cli, config, data, evaluate, inference
from kpdiscovery.methods.feature_alignment import FeatureAlignment
from kpdiscovery.methods.feature_alignment.features import Features

SMALL = ['--config=feature_alignment/folder:smoke', '--config.data.size=32']


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Sixteen pictures that are no squares, half of them for testing, and their features."""
    root = tmp_path_factory.mktemp('features')
    rng, names = np.random.default_rng(0), [f'{i:02}.png' for i in range(16)]
    (root / 'pictures').mkdir()
    for name in names:
        pixels = rng.integers(0, 255, (24, 40, 3), np.uint8)
        Image.fromarray(pixels).save(root / 'pictures' / name)
    np.savez(
        root / 'pictures/annotations.npz', files=names,
        keypoints=rng.uniform(0, 24, (16, 5, 2)).astype(np.float32),
        split=['train', 'test'] * 8,
    )  # fmt: skip
    out = root / 'maps'
    argv = [
        *SMALL,
        f'--data={root / "pictures"}',
        f'--out={out}',
        '--weights=superpoint',
    ]
    assert cli.main(['features', *argv]) == 0
    return root


@pytest.fixture(scope='module')
def run(place):
    """The workdir of a run on the features."""
    argv = [
        *SMALL, f'--data={place / "pictures"}', f'--workdir={place / "run"}',
        f'--config.data.features={place / "maps"}', '--config.mesh.data=1',
        '--config.method.features.backbone=given', '--config.method.transform=none',
    ]  # fmt: skip
    assert cli.main(['train', *argv]) == 0
    return place / 'run'


def test_the_files_hold_what_the_network_says(place):
    settings = config.load('feature_alignment/folder:smoke', ['data.size=32'])
    data.point_to(settings.data, str(place / 'pictures'))
    source = data.build(settings.data, split='test')
    trained = inference.untrained(settings, source)
    rows = [source[i] for i in range(8)]
    batch = {name: np.stack([row[name] for row in rows])
             for name in ('image', 'pixels_valid')}  # fmt: skip
    want = inference.extract(trained.method, trained.variables, batch)
    with np.load(place / 'maps/test.npz') as file:
        np.testing.assert_allclose(file['features'], want['features'], atol=1e-3)
        np.testing.assert_array_equal(file['valid'], want['features_valid'])
        assert file['files'].tolist() == [f'{i:02}.png' for i in range(1, 16, 2)]
        assert not file['valid'].all()  # Bars of the padding.
    record = json.loads((place / 'maps/features.json').read_text())
    assert (record['size'], record['resize']) == (32, 'pad')
    assert Features(**record['features']).backbone == 'superpoint'


def test_all_commands_work_with_them(place, run, monkeypatch):
    looks = []
    seen = Features.extract

    def counted(self, *arguments):
        looks.append(self.backbone)
        return seen(self, *arguments)

    monkeypatch.setattr(Features, 'extract', counted)
    assert cli.main(['evaluate', f'--workdir={run}']) == 0
    assert not looks
    argv = [f'--workdir={run}', str(place / 'pictures'), f'--out={place / "found"}']
    assert cli.main(['predict', *argv, '--overlays=no']) == 0
    assert set(looks) == {'superpoint'}
    found = json.loads((place / 'found/keypoints.json').read_text())
    assert len(found['images']) == 16 and found['annotations']


def test_predictions_are_those_from_the_files(place, run):
    given = inference.load(run)
    source = data.build(given.config.data, split='test')
    want = inference.predict_rows(given, source, 8, batch_size=8).prediction.keypoints
    looking = inference.looking(given)
    rows = [source[i] for i in range(8)]
    batch = {name: np.stack([row[name] for row in rows])
             for name in ('image', 'pixels_valid')}  # fmt: skip
    got = inference.predict_images(looking, batch['image'], batch).keypoints
    np.testing.assert_allclose(got.score, want.score, atol=0.01)


def test_features_of_somebody_else_cannot_be_followed(place, run, capsys):
    record = place / 'maps/features.json'
    text = record.read_text()
    record.unlink()
    argv = [f'--workdir={run}', str(place / 'pictures'), f'--out={place / "no"}']
    assert cli.main(['predict', *argv]) == 2
    assert 'extract them with kpd features' in capsys.readouterr().err
    record.write_text('{"features": 1}')
    assert cli.main(['predict', *argv]) == 2
    assert 'not what kpd features writes' in capsys.readouterr().err
    record.write_text(text)


def test_mistakes(place, run, capsys):
    assert cli.main(['features', '--out=gs://mine/x']) == 2
    assert 'copy it to the bucket' in capsys.readouterr().err
    argv = ['features', f'--out={place / "x"}', f'--data={place / "pictures"}']
    assert cli.main([*argv, '--config=tusk/folder:smoke']) == 2
    assert 'nothing to extract' in capsys.readouterr().err
    assert cli.main([*argv]) == 2
    assert 'features of vgg16 need one: give --weights' in capsys.readouterr().err
    stretched = [f'--workdir={run}', '--config.data.resize=stretch']
    assert cli.main(['evaluate', *stretched]) == 2
    assert "fitted by 'pad'" in capsys.readouterr().err


def test_evaluation_looks_at_each_picture_once(place, tmp_path, monkeypatch):
    """Three models are measured: trained, by clustering only, and untrained."""
    argv = [*SMALL, f'--data={place / "pictures"}', f'--workdir={tmp_path}',
            '--config.mesh.data=1', '--config.method.transform=none']  # fmt: skip
    assert cli.main(['train', *argv]) == 0
    rows, seen = [], inference.extract

    def counted(method, variables, batch):
        rows.append(len(batch['image']))
        return seen(method, variables, batch)

    def given(self, variables, images, **fields):
        assert self.features.backbone == ('superpoint' if copies else 'given')
        return maps(self, variables, images, **fields)

    def copied(*args, **options):  # Warped copies are other pictures.
        copies.append(True)
        found = warped(*args, **options)
        copies.pop()
        return found

    copies: list[bool] = []
    maps, warped = FeatureAlignment.maps, inference.predict_warped
    monkeypatch.setattr(inference, 'extract', counted)
    monkeypatch.setattr(FeatureAlignment, 'maps', given)
    monkeypatch.setattr(inference, 'predict_warped', copied)
    found = evaluate.evaluate(inference.load(tmp_path))
    assert sum(rows) == 16
    assert 'part_ap_l2_image' in found['metrics'] and found['untrained']
    assert 'part_ap_l2_image' in found['baselines']['clustering']

"""Wanted landmarks kept with a run, and predicted from then on."""

import csv
import dataclasses
import json

import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from PIL import Image

from kpdiscovery import cli, fit, inference, wanted
from kpdiscovery.ops.keypoints import labelled
from kpdiscovery.types import Method, Prediction, UserError

SIDE = 48


@dataclasses.dataclass(frozen=True)
class Corners(Method):
    """The corners of the one bright rectangle, in order."""

    ordered, num_labels, metrics = True, 4, ()

    def predict(self, variables, images):
        bright = images[..., 0] > 0.5
        ends = []
        for line in (bright.any(axis=1), bright.any(axis=2)):
            ends.append(line.argmax(axis=1))
            ends.append(SIDE - 1 - line[:, ::-1].argmax(axis=1))
        x0, x1, y0, y1 = ends
        xy = [(x0, y0), (x1, y0), (x0, y1), (x1, y1)]
        return Prediction(labelled(jnp.moveaxis(jnp.array(xy, jnp.float32), -1, 0)))


class Unordered(Corners):
    ordered, num_labels = False, 1


@pytest.fixture
def run(tmp_path, monkeypatch):
    """(workdir, folder of pictures whose wanted points are middle and a quarter)."""
    rng = np.random.default_rng(0)
    low = rng.integers(4, 20, (8, 2)) * 2
    high = low + rng.integers(8, 20, (8, 2)) * 2
    (tmp_path / 'data').mkdir()
    for i, ((x0, y0), (x1, y1)) in enumerate(zip(low, high, strict=True)):
        image = np.zeros((2 * SIDE, 2 * SIDE, 3), np.uint8)
        image[y0:y1, x0:x1] = 255
        Image.fromarray(image).save(tmp_path / 'data' / f'{i}.png')
    points = np.stack([(low + high) / 2, 0.75 * low + 0.25 * high], axis=1) - 0.5
    np.savez(tmp_path / 'data' / 'annotations.npz', files=[f'{i}.png' for i in range(8)],
             keypoints=points.astype(np.float32), keypoint_names=['middle', 'quarter'],
             split=['train'] * 5 + ['test'] * 3)  # fmt: skip
    sections = {
        'data': {'source': 'folder', 'path': '', 'size': SIDE, 'resize': 'stretch',
                 'options': {}},
        'method': {'name': 'corners'}, 'evaluation': {'batch_size': 2},
    }  # fmt: skip
    trained = inference.Trained(Corners(), {}, ml_collections.ConfigDict(sections), {})
    monkeypatch.setattr(inference, 'load', lambda *args: trained)
    (tmp_path / 'run').mkdir()
    return tmp_path / 'run', tmp_path / 'data'


def test_wanted_landmarks_are_learnt_kept_and_predicted(run, tmp_path, capsys):
    workdir, folder = run
    words = ['fit', f'--workdir={workdir}', f'--annotations={folder}', '--measure=test']
    assert cli.main(words) == 0
    told = capsys.readouterr().out
    assert '2 points from 4 landmarks of 5 pictures' in told
    assert 'split test: mean 0.' in told
    kept = wanted.load(str(workdir))
    assert kept.names == ('middle', 'quarter') and kept.pictures == 5
    out = tmp_path / 'out'
    assert (
        cli.main(['predict', f'--workdir={workdir}', str(folder), f'--out={out}']) == 0
    )
    with open(out / 'wanted.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    truth = np.load(folder / 'annotations.npz')['keypoints']
    found = np.array([[float(row['x']), float(row['y'])] for row in rows])
    np.testing.assert_allclose(found.reshape(8, 2, 2), truth, atol=1.0)
    assert {row['name'] for row in rows} == {'middle', 'quarter'}
    notes = json.loads((out / 'wanted.json').read_text())
    assert notes['categories'][0]['keypoints'] == ['middle', 'quarter']
    assert (out / 'wanted' / '0.png.jpg').is_file()


def test_so_many_pictures(run, capsys):
    workdir, folder = run
    words = [f'--workdir={workdir}', f'--annotations={folder}', '--pictures=3']
    assert fit.main(words) == 0
    assert 'landmarks of 3 pictures' in capsys.readouterr().out
    first = wanted.load(str(workdir))
    assert first.pictures == 3 and first.names == ('middle', 'quarter')
    assert fit.main([*words, '--seed=1']) == 0
    other = wanted.load(str(workdir))
    assert not np.array_equal(other.map.mean, first.map.mean)


def test_a_picture_is_asked_for_once(run):
    trained = inference.load(run[0])
    source = fit.pictures(trained.config.data, str(run[1]), 'train')
    asked, give = [], type(source).__getitem__

    class Counted(type(source)):
        def __getitem__(self, index):
            asked.append(index)
            return give(self, index)

    source.__class__ = Counted
    shown = fit.annotated(trained, source)
    assert asked == list(range(5))
    np.testing.assert_allclose(shown.xy[:, [0, 3]].mean(1), shown.points[:, 0], atol=1)


def test_what_cannot_be_fitted_is_told(run, monkeypatch):
    workdir, folder = run
    words = [f'--workdir={workdir}', f'--annotations={folder}']
    with pytest.raises(UserError, match='wanted three pictures'):
        fit.main([*words, '--pictures=2'])
    other = inference.load(workdir)._replace(method=Unordered())
    monkeypatch.setattr(inference, 'load', lambda *args: other)
    with pytest.raises(UserError, match='keypoints of Unordered have no kinds'):
        fit.main(words)
    (folder / 'annotations.npz').unlink()
    with pytest.raises(UserError, match='no annotated points'):
        fit.main(words)
    (workdir / 'wanted.npz').write_bytes(b'nothing')
    with pytest.raises(UserError, match='run kpd fit again'):
        wanted.load(str(workdir))

"""Wanted landmarks kept with a run, and predicted from then on."""

import csv
import dataclasses
import json

import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from PIL import Image

from kpdiscovery import cli, finding, fit, inference, wanted
from kpdiscovery.ops.keypoints import labelled
from kpdiscovery.reporting import annotations
from kpdiscovery.types import Keypoints, Method, Prediction, UserError

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


class Middle(Corners):
    def predict(self, variables, images):
        return Prediction(labelled(jnp.full((len(images), 4, 2), 20.0)))


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
    assert 'error of the mean place of the others: mean ' in told
    assert 'split test: mean 0.' in told and '3 pictures (5.png, 6.png, 7.png)' in told
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
    told = [float(row['expected_error']) for row in rows[:2]]
    np.testing.assert_allclose(told, kept.error, atol=1e-3)  # All are of one size.
    larger = annotations.Found('x', (4 * kept.side, kept.side), Keypoints(
        np.zeros((2, 2)), np.ones(2), np.arange(2), np.ones(2, bool)))  # fmt: skip
    wanted.write_csv(tmp_path / 'x.csv', kept, [larger])
    with open(tmp_path / 'x.csv', newline='') as file:
        twice = [float(row['expected_error']) for row in csv.DictReader(file)]
    np.testing.assert_allclose(twice, 2 * kept.error, atol=1e-3)
    notes = json.loads((out / 'wanted.json').read_text())
    assert notes['categories'][0]['keypoints'] == ['middle', 'quarter']
    assert (out / 'wanted' / '0.png.jpg').is_file()


def test_errors_of_the_mean_of_the_others():
    points = np.array([[[0.0, 0], [5, 5]], [[6, 0], [1, 1]], [[0, 6], [9, 9]]])
    visible = np.array([[True, True], [True, False], [True, False]])
    errors = fit.of_mean_place(points, visible)
    half = np.hypot(3, 3)
    wanted_errors = [half, np.hypot(6, 3), np.hypot(3, 6)]
    np.testing.assert_allclose(errors[:, 0], wanted_errors)
    assert np.isnan(errors[:, 1]).all()  # No other picture has the second point.


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


class Twice(Corners):
    """Corners as parts, each with a weaker guess to the left of it."""

    ordered, one_each = False, True

    def predict(self, variables, images):
        sure = super().predict(variables, images).keypoints
        both = jnp.concatenate([sure.xy.at[..., 0].add(-9.0), sure.xy], axis=1)
        score = jnp.repeat(jnp.array([0.6, 1.0]), 4)[None].repeat(len(both), 0)
        label = jnp.tile(jnp.arange(4), 2)[None].repeat(len(both), 0)
        return Prediction(Keypoints(both, score, label, score > 0))


def test_of_a_part_the_surest_point_counts(run, monkeypatch):
    workdir, folder = run
    twice = inference.load(workdir)._replace(method=Twice())
    source = fit.pictures(twice.config.data, str(folder), 'train')
    shown = fit.annotated(twice, source)
    wanted_xy = fit.annotated(inference.load(workdir), source).xy
    assert shown.xy.shape == (5, 4, 2) and shown.valid.all()
    np.testing.assert_allclose(shown.xy, wanted_xy, atol=1e-4)


def test_nothing_to_measure_is_told(run, capsys):
    workdir, folder = run
    renew(folder, visible=np.arange(8)[:, None].repeat(2, 1) < 5)
    words = [f'--workdir={workdir}', f'--annotations={folder}', '--measure=test']
    assert fit.main(words) == 0
    assert 'split test: nothing: none of these points' in capsys.readouterr().out


def renew(folder, **changes):
    """The folder's annotations with other arrays; None takes one away."""
    with np.load(folder / 'annotations.npz') as old:
        arrays = {**old, **changes}
    arrays = {name: value for name, value in arrays.items() if value is not None}
    np.savez(folder / 'annotations.npz', **arrays)
    return arrays


def test_rows_that_are_mirrored_are_told_as_they_lie_in_their_files(run):
    """But to `fit`, whose points are those of the mirrored pictures."""
    workdir, folder = run
    trained = inference.load(workdir)
    look = lambda **options: np.stack([
        one.keypoints.xy for one in finding.find(
            trained, fit.pictures(trained.config.data, str(folder), 'train'), **options
        )
    ])  # fmt: skip
    plain = look()
    renew(folder, mirrored=np.ones(8, bool))
    np.testing.assert_allclose(look(), plain[:, [1, 0, 3, 2]], atol=1e-4)
    turned = look(filed=False)
    np.testing.assert_allclose(turned[..., 0], 2 * SIDE - 1 - look()[..., 0], atol=1e-4)
    shown = fit.annotated(
        trained, fit.pictures(trained.config.data, str(folder), 'train')
    )
    np.testing.assert_allclose(shown.xy, turned, atol=1e-4)


def test_all_pictures_are_fitted_where_no_splits_are_named(run, capsys):
    workdir, folder = run
    words = [f'--workdir={workdir}', f'--annotations={folder}']
    fit.main(words)
    assert 'of 5 pictures' in capsys.readouterr().out
    renew(folder, split=None)
    fit.main(words)
    assert 'of 8 pictures' in capsys.readouterr().out
    with pytest.raises(
        UserError, match='8 pictures of split test are among those to fit'
    ):
        fit.main([*words, '--measure=test'])  # Fewer than ten are all in both.
    with pytest.raises(UserError, match='--pictures must be at least 1, got 0'):
        fit.main([*words, '--pictures=0'])


def test_points_that_are_nowhere_annotated_are_left_out(run, caplog, capsys):
    workdir, folder = run
    with np.load(folder / 'annotations.npz') as old:
        points = old['keypoints']
    points[:5, 1] = np.nan
    renew(folder, keypoints=points)
    fit.main([f'--workdir={workdir}', f'--annotations={folder}', '--measure=test'])
    assert 'annotated in no picture, left out: quarter' in caplog.text
    assert '1 points from' in capsys.readouterr().out
    assert wanted.load(str(workdir)).names == ('middle',)


def test_one_animal_a_picture(run):
    workdir, folder = run
    with np.load(folder / 'annotations.npz') as old:
        renew(folder, keypoints=np.stack([old['keypoints']] * 2, axis=1))
    with pytest.raises(UserError, match='several animals a picture: kpd fit wants one'):
        fit.main([f'--workdir={workdir}', f'--annotations={folder}'])


def test_how_training_pictures_were_told_apart_does_not_matter(run, capsys):
    """Options of other data, thinning and features: the annotated pictures have none."""
    workdir, folder = run
    data = inference.load(workdir).config.data
    data.options = {'folder_labels': True, 'annotations': 'gone.npz', 'length': 9}
    data.rows, data.features = 2, 'gone'
    fit.main([f'--workdir={workdir}', f'--annotations={folder}'])
    assert 'of 5 pictures' in capsys.readouterr().out


def test_another_model_is_told(run, tmp_path, capsys):
    workdir, folder = run
    fit.main([f'--workdir={workdir}', f'--annotations={folder}'])
    words = [f'--workdir={workdir}', str(folder), '--overlays=no']
    assert cli.main(['predict', *words, f'--out={tmp_path / "a"}']) == 0
    assert 'saw another model' not in capsys.readouterr().err
    inference.load(workdir).config.data.resize = 'pad'
    assert cli.main(['predict', *words, f'--out={tmp_path / "b"}']) == 0
    assert 'corners after 0 steps, 48 px, stretch, now' in capsys.readouterr().err
    one, two = (inference.Trained(None, {}, inference.load(workdir).config, meta)
                for meta in ({'phase': 'a', 'step': 3}, {'phase': 'b', 'step': 3}))  # fmt: skip
    assert wanted.model(one) != wanted.model(two)


@dataclasses.dataclass(frozen=True)
class Counted(Corners):
    k: int = 4
    ordered, num_labels, predict_options = False, 4, {'keypoints': 'k'}


def test_other_numbers_of_keypoints_do_not_fit(run, tmp_path, monkeypatch, capsys):
    """Landmarks of a method without order are ranks among as many keypoints."""
    workdir, folder = run
    fit.main([f'--workdir={workdir}', f'--annotations={folder}'])
    other = inference.load(workdir)._replace(method=Counted())
    monkeypatch.setattr(inference, 'load', lambda *args: other)
    words = [f'--workdir={workdir}', str(folder), f'--out={tmp_path / "out"}']
    assert cli.main(['predict', *words, '--keypoints=3']) == 2
    assert 'leave --keypoints and --wide away' in capsys.readouterr().err


def test_points_that_a_crop_cuts_off_count(run):
    """The animal is in the picture, whatever the run saw of it."""
    workdir, folder = run
    files = dict(np.load(folder / 'annotations.npz'))
    files['boxes'] = np.tile([[0.0, 0, 20, 20]], (8, 1, 1))
    files['keypoints'][2, 1] = 90, 90
    np.savez(folder / 'annotations.npz', **files)
    trained = inference.load(str(workdir))
    settings = ml_collections.ConfigDict({**trained.config.data, 'resize': 'box'})
    source = fit.pictures(settings, str(folder), 'all')
    assert not source[2]['visible'].all()
    shown = fit.annotated(trained, source)
    assert shown.visible.all()
    np.testing.assert_allclose(shown.points, files['keypoints'], atol=1e-3)


def test_landmarks_that_lie_in_one_place_tell_nothing(run, monkeypatch, capsys):
    workdir, folder = run
    trained = inference.load(str(workdir))._replace(method=Middle())
    monkeypatch.setattr(inference, 'load', lambda *args: trained)
    assert cli.main(['fit', f'--workdir={workdir}', f'--annotations={folder}']) == 2
    assert 'they lie in one place' in capsys.readouterr().err
    assert not (workdir / wanted.FILE).exists()


def test_a_map_of_other_names_than_points_is_damaged(run):
    workdir, folder = run
    fit.main([f'--workdir={workdir}', f'--annotations={folder}'])
    with np.load(workdir / wanted.FILE) as file:
        values = dict(file)
    np.savez(workdir / wanted.FILE, **values | {'names': np.array(['one'])})
    with pytest.raises(UserError, match=r'damaged \(1 names of 2 points\)'):
        wanted.load(str(workdir))

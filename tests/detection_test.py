"""`data.keypoints`: found once for the training split, kept in the workdir."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from kpdiscovery import cli, config, data, detection, methods, preparation, transfer
from kpdiscovery.data.files.folder import Folder
from kpdiscovery.data.joined import Joined, detections
from kpdiscovery.data.subset import Subset
from kpdiscovery.models import weights, xfeat
from kpdiscovery.training import checkpoints
from kpdiscovery.types import State, UserError


def finder(images, valid=None):
    """Two points a picture whose descriptor is its mean colour."""
    n = len(images)
    mean = images.mean((1, 2)) + 1e-3
    unit = mean / np.linalg.norm(mean, axis=-1, keepdims=True)
    xy = np.tile(np.array([[1, 2], [5, 6]], np.float32), (n, 1, 1))
    score = np.tile(np.array([0.4, 0.6], np.float32), (n, 1))
    return detections.Detections(xy, score, np.repeat(unit[:, None], 2, axis=1))


@pytest.fixture
def source():
    settings = config.load('tusk/tetrominoes:smoke', ['data.options.length=5'])
    return data.build(settings.data, split='train')


def test_points_are_found_once(source, tmp_path, monkeypatch):
    monkeypatch.setitem(detection.CLASSICAL, 'mine', finder)
    section = {'keypoints': 'mine', 'num_detected': 3}
    first = detection.prepare(source, section, tmp_path / 'w')
    assert first.fields['detected'].shape == (5, 3, 2)
    assert first.fields['detected_descriptors'].shape == (5, 3, 3)
    np.testing.assert_allclose(
        first.fields['detected_score'], np.tile([0.6, 0.4, 0], (5, 1)), atol=1e-6
    )
    monkeypatch.setitem(detection.CLASSICAL, 'mine', None)  # Must not be called again.
    again = detection.prepare(source, section, tmp_path / 'w')
    for name, array in first.fields.items():
        np.testing.assert_allclose(again.fields[name], array, atol=1e-6)


def test_another_number_is_found_anew(source, tmp_path, monkeypatch):
    monkeypatch.setitem(detection.CLASSICAL, 'mine', finder)
    for num in (3, 2):
        section = {'keypoints': 'mine', 'num_detected': num}
        joined = detection.prepare(source, section, tmp_path)
        assert joined.fields['detected'].shape == (5, num, 2)


def test_pictures_cropped_in_place_are_looked_at_anew(
    tmp_path, rng, caplog, monkeypatch
):
    monkeypatch.setitem(detection.CLASSICAL, 'mine', finder)
    folder, descriptors = tmp_path / 'pictures', []
    folder.mkdir()
    pixels = rng.integers(0, 255, (3, 20, 20, 3), np.uint8)
    for crop in (20, 12):
        for number, image in enumerate(pixels):
            Image.fromarray(image[:crop, :crop]).save(folder / f'{number}.png')
        source = Folder(folder, size=16)
        found = detection.prepare(source, {'keypoints': 'mine'}, tmp_path / 'w')
        descriptors.append(found.fields['detected_descriptors'])
    assert not np.allclose(*descriptors)
    assert 'keypoints are found anew' in caplog.text


@pytest.mark.parametrize('change', ['resize', 'options', 'file'])
def test_all_that_points_follow_from_is_known(source, tmp_path, monkeypatch, change):
    calls = []
    mine = lambda images, valid: calls.append(1) or finder(images)
    monkeypatch.setitem(detection.CLASSICAL, 'mine', mine)
    section, after = {'keypoints': 'mine', 'resize': 'pad', 'options': {}}, []
    np.savez(tmp_path / 'mine.npz', xy=np.ones((5, 1, 2)), score=np.ones((5, 1)))
    if change == 'file':
        section['keypoints'] = str(tmp_path / 'mine.npz')
    detection.prepare(source, section, tmp_path / 'w')
    changed = {
        'resize': {'resize': 'crop'},
        'options': {'options': {'method': 'nearest'}},
    }
    np.savez(tmp_path / 'mine.npz', xy=np.full((5, 1, 2), 3.0), score=np.ones((5, 1)))
    for _ in range(2):
        section |= changed.get(change, {})
        found = detection.prepare(source, section, tmp_path / 'w')
        after.append((len(calls), found.fields['detected'].max()))
    assert after == [(0, 3) if change == 'file' else (2, 6)] * 2


def test_the_size_looked_at_is_known(source, tmp_path, monkeypatch):
    """And is no news to runs that looked at pictures as they are."""
    seen = []
    mine = lambda images, valid: seen.append(images.shape[1]) or finder(images)
    monkeypatch.setitem(detection.CLASSICAL, 'mine', mine)
    size = source[0]['image'].shape[0]
    for asked in (None, 0, size, 2 * size, 2 * size):
        section = {'keypoints': 'mine'}
        section |= {} if asked is None else {'keypoints_size': asked}
        found = detection.prepare(source, section, tmp_path)
    assert seen == [size, 2 * size]
    score, xy = found.fields['detected_score'], found.fields['detected']
    np.testing.assert_allclose(xy[score > 0.5], np.tile([[2.25, 2.75]], (5, 1)))


def test_a_file_of_points(source, tmp_path):
    xy, score = np.full((5, 4, 2), 3.0), np.ones((5, 4))
    np.savez(tmp_path / 'mine.npz', xy=xy, score=score)
    section = {'keypoints': str(tmp_path / 'mine.npz')}
    joined = detection.prepare(source, section, tmp_path / 'w')
    assert isinstance(joined, Joined)
    assert sorted(joined.fields) == ['detected', 'detected_score']
    assert (tmp_path / 'w' / 'keypoints.npz').is_file()


def test_without_the_key_nothing_changes(source, tmp_path):
    assert detection.prepare(source, {}, tmp_path) is source
    assert detection.prepare(source, {'keypoints': ''}, tmp_path) is source
    assert not list(tmp_path.iterdir())


def test_unknown_detectors_are_named(source, tmp_path):
    with pytest.raises(UserError, match=r"'sift', 'orb', .* got 'shift'"):
        detection.prepare(source, {'keypoints': 'shift'}, tmp_path)


def test_what_is_trained_on_has_the_points(tmp_path):
    """And so has the run that resumes."""
    pytest.importorskip('cv2', reason='OpenCV is not installed')
    kept = []
    for _ in range(2):
        settings = config.load('tusk/tetrominoes:smoke', ['data.options.length=5'])
        settings.data.update({'keypoints': 'sift', 'num_detected': 4})
        source = preparation.prepare(settings, tmp_path).source
        assert source[4]['detected'].shape == (4, 2)
        kept.append((tmp_path / 'keypoints.npz').stat().st_mtime_ns)
    assert kept[0] == kept[1]


@pytest.mark.slow
def test_train_finds_and_resumes(tmp_path, capsys):
    pytest.importorskip('cv2', reason='OpenCV is not installed')
    path = tmp_path / 'mine.py'
    path.write_text(
        'from kpdiscovery.configs.tusk import tetrominoes\n'
        'def get_config(arg=""):\n'
        '    c = tetrominoes.get_config("smoke")\n'
        '    c.data.keypoints, c.data.num_detected = "sift", 4\n'
        '    c.data.options.length, c.mesh.data = 16, 1\n'
        '    return c\n'
    )
    argv = ['train', f'--config={path}', f'--workdir={tmp_path / "w"}']
    assert cli.main(argv) == 0
    kept = (tmp_path / 'w' / 'keypoints.npz').stat().st_mtime_ns
    assert cli.main(argv) == 0
    assert (tmp_path / 'w' / 'keypoints.npz').stat().st_mtime_ns == kept
    assert 'trained 2 steps' in capsys.readouterr().out


# SuperPoint.


@pytest.fixture(scope='module')
def corners(tmp_path_factory):
    """A workdir of two steps on shapes."""
    path = tmp_path_factory.mktemp('corners')
    argv = ['train', '--config=superpoint/shapes:smoke', '--config.mesh.data=1',
            f'--workdir={path}']  # fmt: skip
    assert cli.main(argv) == 0
    return path


def test_a_workdir_is_a_detector_and_its_file_the_same_one(corners, tmp_path, rng):
    images = rng.integers(0, 255, (3, 36, 44, 3), np.uint8)
    found = detection.detector(str(corners), 9)(images)
    assert found.xy.shape == (3, 9, 2) and found.descriptors.shape == (3, 9, 8)
    assert (found.score > 0).any()
    settings = config.load('superpoint/drawn:smoke', [f'method.weights={corners}'])
    transfer.settle(settings, methods.build(settings.method), tmp_path)
    again = detection.detector(settings.method.weights, 9)(images)
    np.testing.assert_allclose(again.score, found.score, atol=1e-6)


def test_a_workdir_of_another_method_is_no_detector(tmp_path):
    settings = config.load('tusk/tetrominoes:smoke').to_dict()
    state = State(jnp.zeros((), jnp.int32), {'net': jnp.zeros(1)}, {})
    with checkpoints.Checkpoints(tmp_path, settings) as kept:
        meta = {'number': 0, 'phase': 'train', 'step': 1, 'seconds': 0.0}
        kept.save(1, checkpoints.Snapshot(state, {}, {}), meta)
    with pytest.raises(
        UserError, match='a run of tusk as data.keypoints: its keypoints have no'
    ):
        detection.detector(str(tmp_path), 9)


@pytest.mark.slow
def test_a_workdir_starts_another_run(corners, tmp_path, capsys):
    argv = ['train', '--config=superpoint/drawn:smoke', f'--workdir={tmp_path}',
            f'--config.method.weights={corners}']  # fmt: skip
    assert cli.main(argv) == 0
    assert 'trained 6 steps' in capsys.readouterr().out


def test_corners_are_evaluated(corners, capsys):
    assert cli.main(['evaluate', f'--workdir={corners}']) == 0
    assert 'corner_average_precision' in capsys.readouterr().out


def test_weights_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(detection, 'PACKAGED', tmp_path / 'none.safetensors')
    with pytest.raises(UserError, match='no SuperPoint weights come with this package'):
        detection.detector('superpoint', 5)
    for name in ('x.safetensors', 'x.pth', 'x.pt'):
        with pytest.raises(UserError, match='no such file'):
            detection.detector(str(tmp_path / name), 5)


def test_sift_describes_the_points_of_another(corners, rng):
    pytest.importorskip('cv2', reason='OpenCV is not installed')
    images = rng.integers(0, 255, (2, 40, 40, 3), np.uint8)
    images[1] = 7  # Of one colour: no gradients to describe, and perhaps no points.
    own = detection.detector(str(corners), 9)(images)
    found = detection.detector(f'{corners}+sift', 9)(images)
    np.testing.assert_array_equal(found.xy, own.xy)
    assert found.descriptors.shape == (2, 9, 128)
    length = np.linalg.norm(found.descriptors[0], axis=-1)
    np.testing.assert_allclose(length, own.score[0] > 0, atol=1e-5)


# XFeat.


@pytest.fixture(scope='module')
def xfeat_file(tmp_path_factory):
    """Random weights."""
    path = tmp_path_factory.mktemp('xfeat') / 'random.safetensors'
    keys = iter(jax.random.split(jax.random.key(0), 200))
    draw = lambda leaf: 0.1 + jax.random.uniform(next(keys), leaf.shape)
    weights.save(path, jax.tree.map(draw, xfeat.like()), xfeat.table())
    return str(path)


def test_a_file_of_xfeat_is_told_by_its_tensors(xfeat_file, rng):
    images = rng.integers(0, 255, (2, 32, 40, 3), np.uint8)
    found = detection.detector(xfeat_file, 6)(images)
    assert found.xy.shape == (2, 6, 2) and found.descriptors.shape == (2, 6, 64)


def test_xfeat_enlarges_small_pictures(xfeat_file):
    side = lambda name, size, asked=0: detection.side(
        {'keypoints': name, 'keypoints_size': asked}, size
    )
    assert side(xfeat_file, (64, 64)) == side('xfeat+sift', (300, 64)) == 256
    assert side('xfeat', (300, 400)) == 0 and side('xfeat', (64, 64), 160) == 160
    assert side('sift', (64, 64)) == 0 and side('superpoint', (64, 64), 160) == 160


def test_bars_take_no_points_from_the_picture():
    """Whose things end at their edges, the best corners that there are."""
    rng = np.random.default_rng(0)
    images = np.zeros((1, 96, 96, 3), np.uint8)
    for x, y in rng.integers(0, 90, (40, 2)):
        images[:, y : y + 8, x : x + 8] = rng.integers(40, 160)
    valid = np.zeros((1, 96, 96), bool)
    valid[:, :, 24:72] = True
    images[~valid] = 0
    find = detection.detector('superpoint', 32)
    kept = detections.off_padding(find(images, valid), valid)
    assert (kept.score > 0).sum() == 32
    whole = np.ones_like(valid)
    np.testing.assert_allclose(find(images, whole).xy, find(images).xy)


def test_packaged_weights_find_corners():
    image = np.full((1, 64, 64, 3), 60, np.uint8)
    image[:, 20:44, 16:48] = 200
    found = detection.detector('superpoint', 8)(image)
    xy = found.xy[0][found.score[0] > 0]
    for corner in ([16, 20], [47, 20], [16, 43], [47, 43]):
        assert np.abs(xy - corner).max(axis=-1).min() <= 2, xy


def test_other_boxes_are_looked_at_anew(tmp_path):
    """The same files and settings, cut otherwise: `annotations.npz` was corrected."""
    names = [f'{i}.png' for i in range(2)]
    for i, name in enumerate(names):
        noise = np.random.default_rng(i).integers(0, 255, (40, 40, 3)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / name)
    section, told = {'keypoints': 'sift', 'num_detected': 4, 'resize': 'box'}, []
    for right in (30, 30, 20):
        np.savez(
            tmp_path / 'annotations.npz', files=names, boxes=[[[2, 2, right, 30]]] * 2
        )
        source = Folder(tmp_path, size=32, resize='box')
        told.append(detection._provenance(source, section, (32, 32)))
        thin = detection._provenance(Subset(source, np.arange(1)), section, (32, 32))
        assert thin['crops'] != told[-1]['crops']
    assert told[0] == told[1] and told[0]['crops'] != told[2]['crops']
    whole = Folder(tmp_path, size=32)
    for source in (whole, Subset(whole, np.arange(1))):
        assert 'crops' not in detection._provenance(source, section, (32, 32))

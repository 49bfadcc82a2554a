"""Landmarks without training: which place is taken, and what another run starts from."""

import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery import (
    cli,
    config,
    detection,
    inference,
    landmark_runs,
    methods,
    preparation,
)
from kpdiscovery.data.joined import Joined, detections
from kpdiscovery.methods.constellation import locate
from kpdiscovery.methods.constellation.dense import Described, Descriptors, standard
from kpdiscovery.methods.constellation.method import Constellations, advise
from kpdiscovery.ops.constellations import Constellation
from kpdiscovery.types import UserError

CELLS = 16
NAME = 'constellation'  # Of the folder in a workdir.


def picture(places, seen, dim=8):
    """Maps `[1, 16, 16, dim]` whose cell at each place (x, y) looks like seen[i]."""
    maps = np.zeros((1, CELLS, CELLS, dim), np.float32)
    maps[..., -1] = 1  # Ground.
    for (x, y), what in zip(places, seen, strict=True):
        maps[0, y, x] = np.eye(dim)[what]
    return maps


def in_sides(cells):
    return (np.float32(cells) + 0.5) / CELLS - 0.5


def look(maps, known, clusters, valid=None):
    valid = np.ones(maps.shape[:3], bool) if valid is None else valid
    centroids = np.eye(maps.shape[-1], dtype=np.float32)[:clusters]
    return locate.locate(maps, valid, centroids, known)


def nothing_known(clusters):
    return Constellation(jnp.zeros((clusters, 2)), jnp.full(clusters, jnp.inf))


def test_clusters_are_where_they_look_right():
    places = [(2, 3), (12, 5), (7, 13)]
    found = look(picture(places, range(3)), nothing_known(3), 3)
    np.testing.assert_allclose(found.xy[0], in_sides(places), atol=1e-3)
    np.testing.assert_allclose(found.score, 1, atol=1e-6)
    pixels = locate.to_pixels(found.xy, (64, 64))
    np.testing.assert_allclose(pixels[0], np.float32(places) * 4 + 1.5, atol=0.1)


def test_of_two_places_that_look_alike_the_others_choose():
    """An eye is found twice; the one that lies as in other pictures is taken."""
    places = [(2, 3), (12, 5), (7, 13), (5, 6), (13, 12)]
    shape = in_sides([*places[:3], places[3]])
    known = Constellation(jnp.asarray(shape), jnp.full(4, 0.01))
    maps = picture([(x + 1, y) for x, y in places], [0, 1, 2, 3, 3])
    alone = look(maps, nothing_known(4), 4)
    np.testing.assert_allclose(alone.xy[0, 3], in_sides([(10, 9)])[0], atol=1e-2)
    found = look(maps, known, 4)
    np.testing.assert_allclose(found.xy[0, 3], in_sides([(6, 6)])[0], atol=0.02)


def test_padding_is_not_looked_at():
    maps = picture([(2, 3), (12, 5)], [0, 0])
    valid = np.arange(CELLS)[None, None] < 8
    valid = np.broadcast_to(valid, maps.shape[:3])
    found = look(maps, nothing_known(1), 1, valid)
    np.testing.assert_allclose(found.xy[0], in_sides([(2, 3)]), atol=1e-3)


def test_parts_of_a_descriptor_count_alike(rng):
    """Whatever the scale of a network's channels."""
    small = Descriptors(
        xfeat='random', backbone='random', sides=(32,), side=32, taps=('stage2',)
    )
    rows = rng.normal(size=(50, small.width)).astype(np.float32)
    rows[:, 64:] = 100 * rows[:, 64:] + 7
    by = standard(jnp.asarray(rows), jnp.ones(50), lambda x: x)
    unit = np.asarray(small.standardize(jnp.asarray(rows), by))
    halves = [np.linalg.norm(part, axis=-1) for part in (unit[:, :64], unit[:, 64:])]
    np.testing.assert_allclose(halves, np.sqrt(0.5), rtol=1e-5)


def test_sizes_that_the_networks_cannot_see_are_refused():
    with pytest.raises(ValueError, match='multiples of 32'):
        Descriptors(sides=(100,))
    settings = config.load('constellation/folder:smoke')
    settings.method.num_keypoints = 7
    with pytest.raises(
        UserError, match=r'num_keypoints must be in 3..num_clusters = 6'
    ):
        methods.build(settings.method)


@pytest.mark.parametrize('found, remedy', [
    ({'points': 40.0, 'cosine': 0.6}, ''),
    ({'points': 1.2, 'cosine': 0.6}, 'only 1.2 generic points'),
    ({'spread': 0.013, 'moved': 0.06}, ''),
    ({'spread': 0.2, 'moved': 0.2}, '20% of a side from where the others put them'),
])  # fmt: skip
def test_little_that_is_found_is_told(found, remedy):
    told = advise(found)
    assert remedy in told and bool(told) == bool(remedy)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp('constellation')
    train = ['train', '--config=constellation/critters:smoke', f'--workdir={workdir}']
    assert cli.main(train) == 0
    return workdir


def test_through_the_commands(run, capsys):
    assert cli.main(['evaluate', f'--workdir={run}']) == 0
    result = json.loads((run / 'metrics.json').read_text())
    assert {'forward_nme_12', 'spread', 'warp_error'} <= set(result['metrics'])
    trained = inference.load(run)
    spread = np.asarray(trained.variables['clusters']['spread'])
    kept = np.asarray(trained.variables['clusters']['kept'])
    assert np.isfinite(spread).all()
    assert kept[0] == spread.argmin() and len(set(kept)) == 4


def test_landmarks_are_the_kept_clusters_in_their_order(monkeypatch):
    """And a point's descriptor is that of the cell it lies in. No network: maps are given."""
    places = [(2, 3), (12, 5), (7, 13), (9, 1)]
    seen = Described(jnp.asarray(picture(places, range(4))), None)
    monkeypatch.setattr(Descriptors, 'describe', lambda *args: seen)
    monkeypatch.setattr(Descriptors, 'standardize', lambda self, found, by: found)
    descriptors = Descriptors(cells=CELLS)
    method = Constellations(num_keypoints=3, num_clusters=4, descriptors=descriptors)
    clusters = {
        'centroids': jnp.eye(8)[:4], 'kept': jnp.array([3, 0, 2]),
        'standard': {'mean': 0, 'deviation': 1}, **nothing_known(4)._asdict(),
    }  # fmt: skip
    images = jnp.zeros((1, 64, 64, 3))
    found = method.predict({'clusters': clusters}, images).keypoints
    wanted = 4 * np.float32([places[3], places[0], places[2]]) + 1.5
    np.testing.assert_allclose(found.xy[0], wanted, atol=0.1)
    blank = clusters | {'centroids': jnp.eye(8)[:4].at[0].set(0)}  # Of no point at all.
    found = method.predict({'clusters': blank}, images).keypoints
    assert found.valid.tolist() == [[True, False, True]]
    told = method.describe({'clusters': clusters}, images, jnp.asarray(wanted)[None])
    np.testing.assert_allclose(told[0], np.eye(8)[[3, 0, 2]], atol=1e-5)


def words(run, workdir):
    return [
        'train', '--config=self_training/critters:clusters,smoke', f'--workdir={workdir}',
        f'--config.data.keypoints={run}', '--config.data.num_detected=4',
    ]  # fmt: skip


def test_its_landmarks_are_keypoints_with_labels(run, tmp_path):
    name, *overrides = words(run, tmp_path)[1:]
    settings = config.load(name.partition('=')[2], [o[len('--config.'):] for o in overrides
                                                    if o.startswith('--config.')])  # fmt: skip
    source = preparation.prepare(settings, tmp_path).source
    found = detections.load(tmp_path / 'keypoints.npz', rows=24, size=(32, 32))
    np.testing.assert_array_equal(found.labels, np.tile(np.arange(4), (24, 1)))
    flip = found.mirror[0]
    known = np.flatnonzero(flip >= 0)
    np.testing.assert_array_equal(flip[flip[known]], known)
    np.testing.assert_array_equal(source[3]['detected_label'], np.arange(4))
    np.testing.assert_array_equal(source[3]['detected_mirror'], flip)
    assert detection.side(settings.data, (64, 64)) == 32


@pytest.mark.slow
def test_by_its_name_it_is_trained_first_and_once(tmp_path, monkeypatch):
    """In the workdir, without labels, on larger pictures of the same source."""
    config_load = config.load
    load = lambda name: config_load(f'{name}:smoke')
    monkeypatch.setattr(landmark_runs.config, 'load', load)
    monkeypatch.setattr(landmark_runs, '_SIDE', 64)
    for _ in range(2):
        settings = config_load('self_training/critters:clusters,smoke')
        prepared = preparation.prepare(settings, tmp_path)
        assert settings.data.keypoints == 'constellation'
        assert prepared.source[0]['detected_label'].tolist() == [0, 1, 2, 3]
    inner = inference.load(tmp_path / 'constellation')
    assert inner.config.data['size'] == 64 and inner.meta['step'] == 2
    lines = (tmp_path / 'constellation/metrics.jsonl').read_text().splitlines()
    steps = [json.loads(line)['step'] for line in lines if '"loss"' in line]
    assert steps == [1, 1, 2]


@pytest.mark.parametrize('path_before', [False, True])
def test_a_workdir_that_moves_goes_on(run, tmp_path, monkeypatch, path_before):
    """With its landmarks, also one that was begun when configs had their path."""
    monkeypatch.setattr(
        landmark_runs, 'constellation', lambda settings, source, workdir: str(workdir / NAME)
    )  # fmt: skip
    old, new = tmp_path / 'old', tmp_path / 'new'
    shutil.copytree(run, old / NAME)
    prepare = lambda where: preparation.prepare(settings, where).source
    settings = config.load('self_training/critters:clusters,smoke')
    first = prepare(old)
    if path_before:
        settings.data.keypoints = str(old / NAME)
    (old / 'config.json').write_text(settings.to_json())
    old.rename(new)
    before = settings.data.keypoints
    monkeypatch.setattr(detections, 'detect', None)  # Must not be called again.
    settings = config.load('self_training/critters:clusters,smoke')
    again = prepare(new)
    assert settings.data.keypoints == before
    np.testing.assert_array_equal(again[3]['detected'], first[3]['detected'])
    assert again.stamp == first.stamp


def test_a_run_is_read_with_the_start_that_lies_in_it(run, tmp_path):
    workdir = tmp_path / 'moved'
    shutil.copytree(run, workdir)
    told = json.loads((workdir / 'config.json').read_text())
    for name in (NAME, '/gone/constellation', 'sift'):
        told['data']['keypoints'] = name
        (workdir / 'config.json').write_text(json.dumps(told))
        assert inference.load(workdir).config.data.keypoints == name
        (workdir / NAME).mkdir()
        found = name if name == 'sift' else str(workdir / NAME)
        assert inference.load(workdir).config.data.keypoints == found
        (workdir / NAME).rmdir()


@pytest.mark.slow
def test_another_method_starts_from_its_landmarks(run, tmp_path):
    assert cli.main(words(run, tmp_path)) == 0
    trained = inference.load(tmp_path)
    flip = np.asarray(trained.variables['clusters']['flip'])
    known = np.flatnonzero(flip >= 0)
    np.testing.assert_array_equal(flip[flip[known]], known)
    assert cli.main(['evaluate', f'--workdir={tmp_path}']) == 0
    told = json.loads((tmp_path / 'metrics.json').read_text())
    assert cli.main(['evaluate', f'--workdir={run}']) == 0
    own = json.loads((run / 'metrics.json').read_text())['metrics']
    assert own['match'] > 0 < own['match_by_place']  # Stage 2 has no descriptors.
    assert 'match' not in told['metrics']
    # The column of the start is that run's own figure, on the same pictures.
    assert told['generic']['forward_nme_12'] == pytest.approx(
        own['forward_nme_12'], 0.05
    )


def test_what_is_which_in_the_mirror():
    """Points 0 and 1 change places, 2 stays, whatever place a picture has them in."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (12, 32, 32, 3), np.uint8)

    def detect(images, valid=None):
        """Where the three brightest columns of each half would be, by their sums."""
        left = images[:, :, :16].sum((1, 3)).argmax(1)
        right = 16 + images[:, :, 16:].sum((1, 3)).argmax(1)
        x = np.stack([left, right, 0 * left + 15.5], axis=1)
        xy = np.stack([x, np.full_like(x, 5)], axis=-1).astype(np.float32)
        labels = np.tile(np.arange(3, dtype=np.int32), (len(images), 1))
        return detections.Detections(xy, np.ones(x.shape, np.float32), labels=labels)

    source = [{'image': image} for image in images]
    found = landmark_runs.with_mirror(detect(images), source, detect, 0)
    np.testing.assert_array_equal(found.mirror, np.tile([1, 0, 2], (12, 1)))


def test_the_nearest_landmark_may_be_too_far_to_be_a_mirror_image():
    """Of pictures of 100 px: 0 has its partner 2 px away, 2 none within 10, 3 is a nose."""
    own = np.float32([[[20, 50], [78, 50], [30, 90], [49.5, 60]]])
    other = own * [-1, 1] + [99, 0]
    labels, score = np.arange(4, dtype=np.int32)[None], np.ones((1, 4), np.float32)
    found, seen = (
        detections.Detections(xy, score, labels=labels) for xy in (own, other)
    )
    counts, times = landmark_runs._nearest(found, seen, 10.0)
    want = np.zeros((4, 4))
    want[0, 1] = want[1, 0] = want[3, 3] = 1
    np.testing.assert_array_equal(counts, want)
    np.testing.assert_array_equal(times, 1)


def test_mirrors_are_learnt_from_pictures_of_the_whole_split(monkeypatch):
    monkeypatch.setattr(landmark_runs, '_MIRRORED', 3)
    source, looked = [{'image': np.full((8, 8, 3), i, np.uint8)} for i in range(9)], []

    def detect(images, valid=None):
        looked.extend(images[:, 0, 0, 0])
        n = len(images)
        labels = np.zeros((n, 1), np.int32)
        return detections.Detections(
            np.full((n, 1, 2), 3.5, np.float32), np.ones((n, 1)), labels=labels
        )

    images = np.stack([row['image'] for row in source])
    landmark_runs.with_mirror(detect(images), source, looked.clear() or detect, 0)
    assert set(looked) == {0, 4, 8}


class Padded:
    """Two dark pictures with noise in the middle columns, the rest padding or not said."""

    truth = ()

    def __init__(self, told: bool):
        rng = np.random.default_rng(0)
        images = np.zeros((2, 32, 32, 3), np.uint8)
        images[:, :, 10:22] = rng.integers(0, 255, (2, 32, 12, 3))
        valid = np.zeros((32, 32), bool)
        valid[:, 10:22] = True
        more = {'pixels_valid': valid} if told else {}
        self.rows = [{'image': image, **more} for image in images]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, row):
        return self.rows[row]


def test_a_start_does_not_look_at_padding(run):
    """Landmarks of pictures between bars are those that `predict` finds there."""
    trained = inference.load(run)
    find = landmark_runs.detector(trained)
    for told in (True, False):
        source = Padded(told)
        found = detections.detect(source, find, num=4, progress=False)
        fields = {name: np.stack([row[name] for row in source.rows])
                  for name in source.rows[0]}  # fmt: skip
        own = inference.predict_images(trained, fields['image'], fields).keypoints
        np.testing.assert_allclose(found.xy, own.xy, atol=1e-4)
        if told:
            assert ((found.xy[..., 0] > 9) & (found.xy[..., 0] < 22)).all()
            flipped = landmark_runs.with_mirror(found, source, find, 0)
            assert flipped.mirror.shape == found.labels.shape


def test_many_landmarks_have_clusters_to_choose_from():
    settings = config.load('self_training/faces:clusters', ['method.num_keypoints=64'])
    assert landmark_runs.config_of(settings).method.num_clusters == 128
    settings = config.load('self_training/faces:clusters', [])
    assert landmark_runs.config_of(settings).method.num_clusters == 60


@pytest.mark.parametrize(('labels', 'told'), [
    ([[0, 1, 2, -1]], r'3 of the 4 landmarks .*give --config.method.num_keypoints=3'),
    ([[0, 1, 3, -1]], r'3 of the 4 landmarks .* of 2 there is no point'),
    ([[0, 1, 3, 4], [2, 0, -1, -1]], ''),
])  # fmt: skip
def test_landmarks_that_are_not_given_are_missed_at_the_start(labels, told):
    """From 20 landmarks 30 would leave ten channels untaught, and called valid."""
    fields = {'detected_label': np.int32(labels)}
    source = Joined(Labelled(len(labels)), fields)
    section = config.load('self_training/folder:clusters').method
    section.num_keypoints = 4
    landmark_runs.check_given(source, config.load('self_training/folder').method)
    if not told:
        landmark_runs.check_given(source, section)
        return
    with pytest.raises(UserError, match=told):
        landmark_runs.check_given(source, section)


class Labelled(list):
    truth = ()

    def __init__(self, rows):
        super().__init__([{}] * rows)


def test_runs_without_an_order_are_no_start(run):
    trained = inference.load(run)
    unordered = type('Unordered', (), {'ordered': False})()
    with pytest.raises(UserError, match='have no order'):
        landmark_runs.detector(trained._replace(method=unordered))
    assert landmark_runs.detector(trained)(np.zeros((2, 32, 32, 3), np.uint8))

"""The three chapters whole: they train, resume bit for bit, predict; odd data does no harm."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery import config, methods
from kpdiscovery.data import feeds
from kpdiscovery.data.joined import Joined
from kpdiscovery.methods.self_training import (
    SelfTraining,
    label_tables,
    landmarks,
    network,
)
from kpdiscovery.methods.self_training import method as method_module
from kpdiscovery.methods.self_training.health import advise_start
from kpdiscovery.ops import coordinates, heatmaps
from kpdiscovery.training import loop, sharding
from kpdiscovery.training.sweeps import Sweeper
from kpdiscovery.types import State, UserError

SIZE, POINTS = 32, 6
OLDER = [pytest.param(name, marks=pytest.mark.slow) for name in ('ch4', 'ch5')]


class Spots:
    """Pictures of four coloured spots at random places, and generic keypoints on them."""

    truth = ()

    def __init__(self, length=16, seed=0):
        rng = np.random.default_rng(seed)
        self.xy = rng.uniform(4, SIZE - 5, (length, 4, 2)).astype(np.float32)
        y, x = np.mgrid[:SIZE, :SIZE]
        squares = (x - self.xy[..., 0, None, None]) ** 2
        squares = squares + (y - self.xy[..., 1, None, None]) ** 2
        colors = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])
        light = np.einsum('nkhw,kc->nhwc', np.exp(-squares / 4), colors)
        self.images = np.uint8(255 * np.clip(light, 0, 1))

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return {'image': self.images[index]}

    def detected(self, rng):
        """The spots and two stray points a picture, with descriptors that tell them."""
        n = len(self)
        stray = rng.uniform(2, SIZE - 3, (n, 2, 2))
        descriptors = np.concatenate([np.tile(np.eye(4, 8), (n, 1, 1)),
                                      rng.normal(size=(n, 2, 8))], axis=1)  # fmt: skip
        descriptors /= np.linalg.norm(descriptors, axis=-1, keepdims=True)
        return {
            'detected': np.concatenate([self.xy, stray], axis=1).astype(np.float32),
            'detected_score': np.ones((n, POINTS), np.float32),
            'detected_descriptors': descriptors.astype(np.float32),
        }


@pytest.fixture
def source(rng):
    spots = Spots()
    return Joined(spots, spots.detected(rng))


def settings(variant='', *overrides):
    name = ','.join(filter(None, [variant, 'smoke']))
    return config.load(f'self_training/critters:{name}', [
        'mesh.data=1', 'run.checkpoint_every=1', f'method.num_points={POINTS}',
        'method.network.features=8', 'method.network.depth=1',
        'method.network.groups=1', 'method.num_keypoints=4', *overrides,
    ])  # fmt: skip


def train(settings, source, workdir, **options):
    method = methods.build(settings.method)
    return loop.train(method, settings.to_dict(), source, workdir, **options)


def stop_after(monkeypatch, steps):
    countdown = iter(range(steps))
    reason = property(
        lambda self: '' if next(countdown, None) is not None else 'time is up'
    )
    monkeypatch.setattr(loop.Stop, 'reason', reason)


def test_stage_two_alone_learns_what_another_run_gave(source, tmp_path):
    """Landmarks 0 and 1 change places in the mirror; the stray points have no label."""
    n = len(source)
    label = np.tile(np.int32([0, 1, 2, 3, -1, -1]), (n, 1))
    mirror = np.tile(np.int32([1, 0, 2, 3, -1, -1]), (n, 1))
    given = Joined(source, {'detected_label': label, 'detected_mirror': mirror})
    chosen = settings('distilled')
    (phase,) = methods.build(chosen.method).phases(chosen.to_dict())
    assert phase.name == 'landmarks' and phase.sweep.every == phase.steps
    outcome = train(chosen, given, tmp_path)
    assert set(outcome.variables) == {'trunk', 'landmarks', 'clusters'}
    assert outcome.variables['clusters']['flip'].tolist() == [1, 0, 2, 3]
    method = methods.build(chosen.method)
    state = jax.jit(phase.init)(jax.random.key(0), stack(given), None)
    rows = phase.sweep.extract(state, stack(given), {})
    rows = {**rows, 'row_valid': jnp.ones(n, bool)}
    table = phase.sweep.reduce(rows, state, jax.random.key(0)).labels
    xy, there = landmarks.by_channel(
        table['xy'], table['landmark'], table['score'], method.num_labels
    )
    assert there.all()
    cells = coordinates.pixel_to_cell(source.source.xy, network.STRIDE)
    np.testing.assert_allclose(xy, cells, atol=1e-5)
    chosen.method.start = 'points'
    with pytest.raises(ValueError, match='in chapter 6, from another run'):
        methods.build(chosen.method).phases(chosen.to_dict())


def test_landmarks_without_a_known_mirror_image_are_not_mirrored(source):
    """All of a file without `mirror`, or some: 0 and 1 change places, nobody knows of 2."""
    n, method = len(source), methods.build(settings('distilled').method)
    label = np.tile(np.int32([0, 1, 2, -1, -1, -1]), (n, 1))
    batch = {**stack(source), 'detected_label': label}
    always = dataclasses.replace(method.landmark_augmentation, flip=1.0)
    method = dataclasses.replace(method, landmark_augmentation=always)
    for mirror, want in (([-1] * 3, [-1, -1, -1, -1]), ([1, 0, -1], [1, 0, -1, -1])):
        batch['detected_mirror'] = np.tile(np.int32([*mirror, -1, -1, -1]), (n, 1))
        rows = label_tables.read_generic(method, None, batch, {})
        rows['row_valid'] = np.ones(n, bool)
        table, keep, _ = label_tables._label_given(
            method, rows, {}, 0, None, axis_name=None
        )
        np.testing.assert_array_equal(keep['flip'], want)
        key = jax.random.key(0)
        seen = [landmarks.make_views(method, flip, key, batch, table)
                for flip in (None, keep['flip'])]  # fmt: skip
        same = np.isclose(seen[0][0], seen[1][0]).all(axis=(1, 2, 3))
        assert same.all() if max(mirror) < 0 else not same.any()
        taught = np.asarray(seen[1][2]).any(axis=0)
        np.testing.assert_array_equal(taught, [True, True, max(mirror) < 0, False])


def test_channels_that_the_template_lacks_are_not_valid(source, monkeypatch):
    light = lambda method, variables, images: images[:, ::4, ::4]
    monkeypatch.setattr(landmarks, 'landmark_maps', light)
    images = jnp.asarray(source.source.images[:2], jnp.float32) / 255
    method = SelfTraining(chapter=4, num_keypoints=3)
    clusters = {'active': jnp.array([True, False, True])}
    found = method._peaks({'clusters': clusters}, images)
    np.testing.assert_array_equal(found.valid, [[True, False, True]] * 2)
    assert method._peaks({'clusters': {}}, images).valid.all()


def test_maps_without_a_known_mirror_image_are_not_averaged(source, monkeypatch):
    """Channel k is the picture's light; a mirrored picture's has its mark elsewhere."""
    light = lambda method, variables, images: images[:, ::4, ::4]
    monkeypatch.setattr(landmarks, 'landmark_maps', light)
    monkeypatch.setattr(network, 'peaks', lambda maps: (maps, maps))
    monkeypatch.setattr(method_module, 'labelled', lambda maps, *rest: maps)
    method = SelfTraining(num_keypoints=3)
    images = jnp.asarray(source.source.images[:2], jnp.float32) / 255
    own = light(None, None, images)
    flip = jnp.array([1, 0, -1])
    got = method._peaks({'clusters': {'flip': flip}}, images)
    mirrored = light(None, None, images[:, :, ::-1])[:, :, ::-1]
    np.testing.assert_allclose(got[..., 2], own[..., 2])
    np.testing.assert_allclose(got[..., 0], (own[..., 0] + mirrored[..., 1]) / 2)


@pytest.mark.slow
@pytest.mark.parametrize('chapter', ['ch4', 'ch5', 'ch6'])
def test_stops_resumes_and_predicts(chapter, source, tmp_path, monkeypatch):
    chosen = settings(chapter)
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        assert not train(chosen, source, tmp_path / 'parts').finished
    resumed = train(chosen, source, tmp_path / 'parts')
    assert resumed.finished
    whole = train(chosen, source, tmp_path / 'whole')
    jax.tree.map(np.testing.assert_array_equal, whole.variables, resumed.variables)
    method = methods.build(chosen.method)
    images = jnp.asarray(source.source.images[:3], jnp.float32) / 255
    found = jax.jit(method.predict)(resumed.variables, images).keypoints
    assert found.xy.shape == (3, method.num_labels, 2)
    assert (found.xy >= -0.5).all() and (found.xy <= SIZE - 0.5).all()
    np.testing.assert_array_equal(found.label[0], np.arange(method.num_labels))
    seen = np.ones(found.valid.shape, bool)
    if chapter == 'ch5':  # Where channels of clusters that live are sure.
        seen = np.asarray(found.score) >= method.threshold
        seen &= np.asarray(resumed.variables['clusters']['active'])
    np.testing.assert_array_equal(found.valid, seen)


@pytest.mark.parametrize(
    'chapter', [pytest.param('ch5', marks=pytest.mark.slow), 'ch6']
)
def test_eight_devices_make_the_labels_of_one(chapter, source):
    chosen = settings(chapter)
    phases = methods.build(chosen.method).phases(chosen.to_dict())[:2]
    init = jax.jit(phases[0].init)
    start = jax.device_get(init(jax.random.key(0), stack(source), None))

    def sweep_all(devices):
        mesh = sharding.make_mesh(devices)
        table, found = {}, []
        with jax.set_mesh(mesh):
            feed = feeds.Feed(source, 8, sharding.by_rows(mesh))
            state = jax.device_put(start, sharding.replicated(mesh))
            for phase in phases:
                sweeper = Sweeper(phase.sweep, feed)
                table = sweeper.init(table, {})
                table, state, scalars = sweeper.run(state, table, jax.random.key(3))
                found.append(
                    jax.device_get((table, state.variables['clusters'], scalars))
                )
        return found

    close = functools.partial(np.testing.assert_allclose, atol=1e-5, rtol=1e-5)
    jax.tree.map(close, sweep_all(1), sweep_all(8))


def warm(method, source):
    """The state and the table after the sweep over generic keypoints."""
    batch = stack(source)
    phase = method.phases(settings().to_dict())[0]
    state = jax.jit(phase.init)(jax.random.key(0), batch, None)
    return state, sweep(phase.sweep, state, batch, {})


def stack(source):
    rows = [source[i] for i in range(len(source))]
    batch = jax.tree.map(lambda *leaves: np.stack(leaves), *rows)
    return {**batch, 'index': np.arange(len(source), dtype=np.int32)}


def sweep(sweep, state, batch, table):
    table = sweep.init(len(batch['index']), table, batch)
    rows = dict(jax.jit(sweep.extract)(state, batch, table))
    rows['row_valid'] = np.ones(len(batch['index']), bool)
    return jax.jit(sweep.reduce)(rows, state, jax.random.key(1))


def test_generic_keypoints_become_slots_without_the_lonely_ones(source):
    method = methods.build({**settings().method.to_dict(), 'outliers': 0.3})
    _, found = warm(method, source)
    label = np.asarray(found.labels['label'])
    slots = np.broadcast_to(np.arange(POINTS), label.shape)
    np.testing.assert_array_equal(label[label >= 0], slots[label >= 0])
    assert 0.65 < (label >= 0).mean() < 0.8  # Equal descriptors stay together.
    assert (label[:, :4] >= 0).mean() > (label[:, 4:] >= 0).mean()
    np.testing.assert_allclose(
        found.labels['xy'][:, :4], (source.source.xy + 0.5) / 4 - 0.5, atol=1e-5
    )
    assert (np.asarray(found.labels['landmark']) == -1).all()


def test_chapter_five_clusters_the_generic_descriptors(source):
    chosen = settings('ch5', 'method.num_clusters=4', 'method.outliers=0.3')
    method = methods.build(chosen.method)
    phase = method.phases(chosen.to_dict())[0]
    batch = stack(source)
    state = jax.jit(phase.init)(jax.random.key(0), batch, None)
    result = sweep(phase.sweep, state, batch, {})
    assert 'full' not in result.scalars  # No threshold has let these pass.
    found = result.labels
    label = np.asarray(found['label'])[:, :4]
    kinds = np.asarray(found['landmark'])[:, :4]
    np.testing.assert_array_equal(label, kinds)
    for column in label.T:  # Every spot is one cluster wherever it has a label.
        assert len(set(column[column >= 0])) <= 1


def test_points_outside_the_boxes_are_left_out(source):
    batch = stack(source)
    box = np.float32([[[0, 0, 15.5, 31.5]], [[40, 40, 60, 60]]])
    batch = {k: v[:2] for k, v in batch.items()}
    batch |= {'boxes': box, 'boxes_valid': np.array([[True], [False]])}
    rows = label_tables.read_generic(methods.build(settings().method), None, batch, {})
    left = batch['detected'][0, :, 0] <= 15.5
    assert np.asarray(rows['valid'])[0].sum() == left.sum()
    assert np.asarray(rows['valid'])[1].all()  # No valid box: all count.
    far = {**batch, 'boxes_valid': np.ones((2, 1), bool)}
    assert not label_tables.read_generic(
        methods.build(settings().method), None, far, {}
    )['valid'][1].any()  # fmt: skip


def test_no_generic_keypoints_at_all_in_the_data(tmp_path):
    with pytest.raises(UserError, match="set data.keypoints to 'sift'"):
        train(settings(), Spots(), tmp_path)


def test_chapter_five_needs_descriptors(source, tmp_path):
    fields = {k: v for k, v in source.fields.items() if k != 'detected_descriptors'}
    bare = Joined(source.source, fields)
    with pytest.raises(UserError, match="data.keypoints has no 'descriptors'"):
        train(settings('ch5'), bare, tmp_path)


@pytest.fixture(scope='module')
def compiled():
    """Function from a chapter to one that sweeps and steps through its phases."""

    @functools.cache
    def build(chapter):
        chosen = settings(chapter)
        phases = methods.build(chosen.method).phases(chosen.to_dict())
        inits = [jax.jit(phase.init) for phase in phases]
        sweeps = [phase.sweep and (jax.jit(phase.sweep.extract),
                                   jax.jit(phase.sweep.reduce))
                  for phase in phases]  # fmt: skip
        steps = [jax.jit(phase.step) for phase in phases]

        def run(batch):
            key, state, table, health = jax.random.key(0), None, {}, []
            index = batch['index']
            valid = np.arange(len(index)) < len(np.unique(index))
            for phase, init, look, step in zip(
                phases, inits, sweeps, steps, strict=True
            ):
                state = init(key, batch, state)
                if look:
                    table = phase.sweep.init(len(valid), table, batch)
                    rows = {**look[0](state, batch, table), 'row_valid': valid}
                    table, state, scalars = look[1](rows, state, key)
                    health.append(scalars)
                state, scalars = step(state, batch, table, key)
                health.append(scalars)
            return state, health

        return run

    return build


@pytest.mark.parametrize('odd', [
    'empty', 'one_color', 'one_image', 'equal', pytest.param('nan', marks=pytest.mark.slow),
])  # fmt: skip
@pytest.mark.parametrize('chapter', [*OLDER, 'ch6'])
def test_odd_data_trains_to_an_end(odd, chapter, rng, compiled):
    spots = Spots(length=8)
    fields = spots.detected(rng)
    if odd == 'empty':
        fields['detected_score'][:] = 0
    if odd == 'one_color':
        spots.images[:] = 77
    if odd == 'equal':
        fields['detected_descriptors'][:] = 0.5
    if odd == 'nan':
        fields['detected_descriptors'][:, 1] = np.nan
    batch = stack(Joined(spots, fields))
    if (
        odd == 'one_image'
    ):  # Every row of a batch is row 0; the table's others are padding.
        batch = {name: np.repeat(value[:1], 8, axis=0) for name, value in batch.items()}
    state, health = compiled(chapter)(batch)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.variables))
    assert all(np.isfinite(value) for line in health for value in line.values())
    if odd == 'empty':
        assert health[0]['points'] == 0
        assert 'only 0.0 generic keypoints' in advise_start(health[0])


@pytest.mark.slow
def test_labels_of_another_data_set(source, tmp_path):
    train(settings(), source, tmp_path, max_seconds=0.0)
    other = Spots(length=40)
    joined = Joined(other, other.detected(np.random.default_rng(0)))
    with pytest.raises(
        UserError, match='labels of other pictures .40 pictures, were 16'
    ):
        train(settings(), joined, tmp_path)


def test_mirrored_picture_has_mirrored_landmarks(source):
    method = methods.build({**settings().method.to_dict(), 'flip_test': True})
    images = jnp.asarray(source.source.images[:2], jnp.float32) / 255
    init = jax.jit(
        lambda key: network.init(key, images, method.network, {'landmarks': 4})
    )
    nets = init(jax.random.key(0))
    variables = {**nets, 'clusters': {**method.blank_clusters(),
                                      'flip': jnp.array([1, 0, 2, 3])}}  # fmt: skip
    predict = jax.jit(method.predict)
    here = predict(variables, images).keypoints.xy
    there = predict(variables, images[:, :, ::-1]).keypoints.xy
    back = there[:, jnp.array([1, 0, 2, 3])].at[..., 0].multiply(-1) + jnp.array(
        [[[SIZE - 1.0, 0]]]
    )
    np.testing.assert_allclose(here, back, atol=1e-4)


def test_stage_one_gives_points_of_the_nearest_clusters(source):
    method = methods.build(settings().method)
    state, _ = warm(method, source)
    images = jnp.asarray(source.source.images[:4], jnp.float32) / 255
    stage_one = jax.jit(network.stage_one, static_argnums=0)
    maps = stage_one(method.network, state.variables, images)
    points = jax.jit(method.detect)(maps.scores)
    predict = jax.jit(method.predict)
    assert not predict(
        state.variables, images
    ).keypoints.valid.any()  # No clusters yet.
    seen = heatmaps.sample_bilinear(maps.descriptors, points.xy)
    seen = np.asarray(seen / jnp.linalg.norm(seen, axis=-1, keepdims=True), np.float64)
    centroids = seen[0, :4]  # Those of the first picture's best points.
    clusters = {**state.variables['clusters'], 'centroids': jnp.asarray(centroids)}
    found = predict({**state.variables, 'clusters': clusters}, images).keypoints
    nearest = (seen @ centroids.T).argmax(-1)
    valid = np.asarray(points.valid)
    there = [[(valid[b] & (nearest[b] == k)).any() for k in range(4)] for b in range(4)]
    np.testing.assert_array_equal(found.valid, there)
    cells = np.asarray((found.xy + 0.5) / 4 - 0.5)
    np.testing.assert_allclose(cells[0], points.xy[0, :4], atol=1e-4)
    for b, k in zip(*np.nonzero(there), strict=True):
        mine = valid[b] & (nearest[b] == k)
        assert np.abs(np.asarray(points.xy)[b, mine] - cells[b, k]).sum(-1).min() < 1e-4


def test_what_stage_one_says_of_places_follows_them(source):
    """Cells' own descriptors at their centres, in pixels; stage 2 has none."""
    method = methods.build(settings().method)
    state, _ = warm(method, source)
    images = jnp.asarray(stack(source)['image'][:2], jnp.float32) / 255
    xy = jnp.array([[[1.5, 1.5], [13.5, 5.5]], [[29.5, 29.5], [5.5, 1.5]]])
    found = method.describe(state.variables, images, xy)
    dense = network.stage_one(method.network, state.variables, images).descriptors
    for b, places in enumerate([[(0, 0), (1, 3)], [(7, 7), (0, 1)]]):
        for p, (row, column) in enumerate(places):
            np.testing.assert_allclose(found[b, p], dense[b, row, column], atol=1e-5)
    assert method.describe({'trunk': {}}, images, xy) is None


@pytest.mark.parametrize('options, message', [
    ({'chapter': 7}, 'chapter must be 4, 5 or 6, got 7'),
    ({'correspondence': 'magic'}, "correspondence must be one of .* got 'magic'"),
    ({'negatives': 'none'}, "negatives must be one of .* got 'none'"),
    ({'num_points': 3}, 'num_points must be at least num_keypoints = 30, got 3'),
])  # fmt: skip
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        SelfTraining(**options)


def test_rows_that_are_padding_do_not_count(source):
    method = methods.build(settings().method)
    batch = stack(source)
    phase = method.phases(settings().to_dict())[0]
    state = State(jnp.zeros((), jnp.int32), {'clusters': method.blank_clusters()}, {})
    rows = dict(jax.jit(phase.sweep.extract)(state, batch, {}))
    rows['row_valid'] = np.arange(16) < 10
    found = jax.jit(phase.sweep.reduce)(rows, state, jax.random.key(0))
    assert (np.asarray(found.labels['label'])[10:] == -1).all()

"""Part discovery by feature alignment: both phases on critters, and on given features."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery import config, data, evaluate, inference, methods
from kpdiscovery.data.joined import Joined
from kpdiscovery.methods.feature_alignment import FeatureAlignment, Features, aligning
from kpdiscovery.methods.feature_alignment.features import of_batch
from kpdiscovery.models import backbones, superpoint, weights
from kpdiscovery.ops import pseudo_truth
from kpdiscovery.reporting import logs
from kpdiscovery.training import loop
from kpdiscovery.types import Method, UserError

GIVEN = Features(backbone='given')
PLAIN = 'method.transform=none'  # Compiles in half the time.


def settings(*overrides):
    return config.load(
        'feature_alignment/critters:smoke', ['mesh.data=2', 'data.size=48', *overrides]
    )


def train(settings, source, workdir, **options):
    method = methods.build(settings.method)
    return loop.train(method, settings.to_dict(), source, workdir, **options)


class Pictures:
    """Grey pictures that hold their number."""

    truth = ()

    def __init__(self, length=24, size=48):
        self.length, self.size = length, size

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        image = np.full((self.size, self.size, 3), index, np.uint8)
        return {'image': image, 'index': np.int32(index)}


def with_features(length=24, width=8, **fields):
    """Pictures whose given features are two squares, each of one kind, anywhere."""
    rng = np.random.default_rng(0)
    kinds = np.eye(width)[:3]
    features = np.tile(kinds[2], (length, 6, 6, 1))
    for row, (x, y) in zip(features, rng.integers(0, 4, (length, 2)), strict=True):
        row[y, x : x + 2], row[y + 1, x : x + 2] = kinds[0], kinds[1]
    features = features + 0.01 * rng.normal(size=features.shape)
    return Joined(Pictures(length), {'features': features.astype(np.float16), **fields})


def on_given(*overrides):
    return settings('method.features.backbone=given', 'mesh.data=1', *overrides)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A run of two steps of alignment, and where it lies."""
    workdir, wanted = tmp_path_factory.mktemp('parts'), settings('run.keep=9')
    outcome = train(wanted, data.build(wanted.data, split='train'), workdir)
    assert outcome.finished
    return outcome, workdir


@pytest.fixture(scope='module')
def given(tmp_path_factory):
    """The same on given features."""
    workdir = tmp_path_factory.mktemp('given')
    return train(on_given(), with_features(), workdir), workdir


def test_is_a_method_and_checks_its_options():
    assert isinstance(FeatureAlignment(), Method)
    for options, message in [
        ({'transform': 'rigid'}, "transform must be one of .*got 'rigid'"),
        ({'parts': 'all'}, "parts must be one of .*got 'all'"),
        ({'neighbours': 0}, 'neighbours must be at least 1'),
    ]:
        with pytest.raises(ValueError, match=message):
            FeatureAlignment(**options)
    with pytest.raises(ValueError, match=r"map must be one of .*relu1_2.*got 'stage4'"):
        Features(map='stage4')
    with pytest.raises(ValueError, match=r'map must be one of .*trunk'):
        Features(backbone='superpoint')


# Training.


def test_alignment_changes_the_parts_and_nothing_else(trained):
    outcome, workdir = trained
    before = inference.load(workdir, step=1).variables
    after = outcome.variables
    np.testing.assert_array_equal(
        before['dictionary']['directions'], after['dictionary']['directions']
    )
    np.testing.assert_array_equal(
        before['parts']['directions'], before['dictionary']['directions']
    )
    assert (before['parts']['directions'] != after['parts']['directions']).any()
    jax.tree.map(np.testing.assert_array_equal, before['features'], after['features'])


@pytest.mark.slow
def test_a_stopped_run_goes_on_bit_for_bit(trained, tmp_path):
    outcome, _ = trained
    source = data.build(settings().data, split='train')
    stopped = train(settings(), source, tmp_path, max_seconds=0)
    assert not stopped.finished
    again = train(settings(), source, tmp_path)
    jax.tree.map(np.testing.assert_array_equal, again.variables, outcome.variables)


@pytest.mark.slow
def test_the_number_of_devices_changes_little(trained, tmp_path):
    outcome, _ = trained
    wanted = settings('mesh.data=8')
    other = train(wanted, data.build(wanted.data, split='train'), tmp_path)
    np.testing.assert_allclose(
        other.variables['parts']['directions'],
        outcome.variables['parts']['directions'],
        atol=1e-3,
    )


def test_alignment_finds_the_object(tmp_path):
    """The dictionary knows two kinds on a square anywhere; background is what is left.

    To the letter, as shifts are as large as the map: soft alignment looks nearby."""
    wanted = on_given(
        'phases.align.steps=40', 'phases.align.pools_every=20', 'run.log_every=1',
        'run.checkpoint_every=100', 'method.transform=translation', 'method.parity=paper',
        'phases.align.optimizer.share=0.0', 'phases.align.optimizer.lr=0.05',
    )  # fmt: skip
    source = with_features()
    outcome = train(wanted, source, tmp_path)
    curves = logs.read_curves(tmp_path)['align']
    loss = list(curves['loss'].values())
    assert loss[-1] < 0.1 * loss[0]
    assert list(curves['partners'].values())[-1] == 4  # All of the object.
    given = source.fields['features'].astype(np.float32)
    maps = methods.build(wanted.method).maps(
        outcome.variables, np.zeros((24, 48, 48, 3), np.float32), features=given
    )
    ground = given.argmax(axis=-1) == 2
    np.testing.assert_array_equal(np.asarray(maps).argmax(axis=-1) == 4, ground)


@pytest.mark.parametrize('parity', ['recommended', 'paper'])
def test_the_loss_of_a_picture_and_its_pool(rng, parity):
    """Of two neighbours one is not there; a row of the other, and a column of the
    picture, do not count."""
    method = FeatureAlignment(
        features=GIVEN,
        num_keypoints=4,
        cap=1,
        parity=parity,
        transform='none',
    )
    maps = rng.dirichlet(np.ones(5), (3, 4, 4)).astype(np.float32)
    valid = np.ones((3, 4, 4), bool)
    valid[0, :, 3] = valid[1, 0] = False
    maps[~valid] = np.eye(5)[4]
    features = rng.normal(size=(3, 4, 4, 6)).astype(np.float32)
    found, terms = jax.jit(method._loss)(
        jax.random.key(0),
        aligning.Pictures(*map(jnp.asarray, (maps, features, valid))),
        jnp.array([True, False]),
    )
    votes = np.where(valid[0][..., None], maps[1], np.eye(5)[4])
    votes[0] = votes[0] if parity == 'paper' else np.eye(5)[4]
    labels = np.asarray(
        pseudo_truth.greedy_labels(jnp.asarray(votes), background=-1, cap=1, radius=0)
    )
    pick = lambda m: np.take_along_axis(m, labels[..., None], -1)[..., 0]
    own, other = np.maximum(pick(maps[0]), 1e-6), np.maximum(pick(maps[1]), 1e-6)
    if parity == 'paper':
        cells = -np.log((own + other) / 2)
    else:
        cells = -np.log(np.where(valid[1], (own + other) / 2, own))
    ground, there = labels == 4, valid[0]
    share = there.astype(float)
    if parity == 'recommended':
        some = (there & ~ground).sum()
        share[ground] *= min(1, some / (there & ground).sum())
    total = (cells * share).sum() / share.sum()
    assert float(found) == pytest.approx(total, rel=1e-4)
    assert float(terms['outside']) == pytest.approx(1 / 4)
    assert float(terms['foreground']) == pytest.approx((there & ~ground).sum() / 12)


def test_cells_that_do_not_divide_the_picture_are_refused():
    features = Features(backbone='resnet18', map='stage3', weights='random')

    def look(side):
        def see(image):
            variables = {'features': features.init(jax.random.key(0), image)}
            return of_batch(features, variables, {'image': image})[0]

        return jax.eval_shape(see, jax.ShapeDtypeStruct((1, side, side, 3), 'float32'))

    assert look(96).shape[1:3] == (6, 6)
    with pytest.raises(ValueError, match=r'of 100 pixels are 7 cells: data\.size'):
        look(100)


def test_fewer_pictures_than_a_pool_has(tmp_path):
    """Places stay empty; training goes on."""
    wanted = on_given('method.neighbours=12', 'data.batch_size=4', PLAIN)
    outcome = train(wanted, with_features(length=5), tmp_path)
    assert outcome.finished
    assert np.isfinite(outcome.variables['parts']['directions']).all()


def test_a_picture_without_features(tmp_path):
    source = with_features()
    source.fields['features'][3] = 0
    outcome = train(on_given(PLAIN), source, tmp_path)
    assert np.isfinite(outcome.variables['parts']['directions']).all()


@pytest.mark.parametrize('transform', ['none', 'affine'])
def test_cells_that_do_not_count_change_nothing(tmp_path, transform):
    valid = np.ones((24, 6, 6), bool)
    valid[:, :, 5] = False
    found = []
    for value in (0, 5):
        source = with_features(features_valid=valid)
        source.fields['features'][:, :, 5] = value
        wanted = on_given(PLAIN)
        wanted.method.transform = transform
        outcome = train(wanted, source, tmp_path / str(value))
        found.append(outcome.variables['parts']['directions'])
    np.testing.assert_allclose(*found, atol=1e-5)


def test_alignment_needs_the_dictionary():
    wanted = settings()
    del wanted.phases['dictionary']
    with pytest.raises(UserError, match='align needs the phase dictionary before it'):
        train(wanted, Pictures(), '/nowhere')


# Prediction.


def test_predictions_are_the_peaks_of_every_part(trained):
    _, workdir = trained
    loaded = inference.load(workdir)
    source = data.build(loaded.config.data, split='test')
    got = inference.predict_rows(loaded, source, 6, batch_size=3).prediction.keypoints
    assert got.xy.shape == (6, 8, 2)  # Four parts, two peaks each.
    assert got.label.tolist() == [[0, 0, 1, 1, 2, 2, 3, 3]] * 6
    assert ((got.xy >= -0.5) & (got.xy <= 47.5)).all()
    assert (got.score[:, ::2] >= got.score[:, 1::2]).all()


def test_a_peak_is_in_the_middle_of_its_cell():
    method = FeatureAlignment(features=GIVEN, num_keypoints=2, peaks=1)
    features = np.zeros((1, 6, 6, 3), np.float32)
    features[..., 2] = 1
    features[0, 1, 4] = (1, 0, 0)
    features[0, 5, 0] = (0, 1, 0)
    variables = {'parts': {'directions': jnp.eye(3)}}
    got = method.predict(variables, jnp.zeros((1, 48, 48, 3)), features=features)
    assert got.keypoints.xy[0].tolist() == [[35.5, 11.5], [3.5, 43.5]]
    assert got.keypoints.valid.all()


def test_a_peak_between_cells_is_read_there():
    """A blob over two cells, unequally: weights by hand."""
    method = FeatureAlignment(features=GIVEN, num_keypoints=2, peaks=1, kappa=1.0)
    features = np.zeros((1, 6, 6, 3), np.float32)
    features[..., 2] = 1
    features[0, 2, 2], features[0, 2, 3] = (1, 0, 0), (0.8, 0, 0.6)
    maps = np.asarray(method.maps(
        {'parts': {'directions': jnp.eye(3)}}, jnp.zeros((1, 48, 48, 3)),
        features=features,
    ))[0, 1:4, 1:4, 0]  # fmt: skip
    got = method.predict(
        {'parts': {'directions': jnp.eye(3)}}, jnp.zeros((1, 48, 48, 3)),
        features=features,
    ).keypoints.xy[0, 0]  # fmt: skip
    x = (maps.sum(axis=0) * [1, 2, 3]).sum() / maps.sum()
    np.testing.assert_allclose(got, [8 * (x + 0.5) - 0.5, 8 * 2.5 - 0.5], rtol=1e-5)
    assert got[0] > 8 * 2.5 - 0.5  # Its cell's middle.
    paper = dataclasses.replace(method, parity='paper', peaks=2)
    anchors = paper.predict(
        {'parts': {'directions': jnp.eye(3)}}, jnp.zeros((1, 48, 48, 3)),
        features=features,
    ).keypoints.xy[0, :2]  # fmt: skip
    assert anchors.tolist() == [[19.5, 19.5], [27.5, 19.5]]  # Beside each other.


def test_a_flat_map_drops_no_part(rng):
    """Hundreds of parts share a cell: none need be sure of it."""
    method = FeatureAlignment(features=GIVEN, num_keypoints=40, peaks=3, kappa=2.0)
    variables = {'parts': {'directions': jnp.asarray(rng.normal(size=(41, 8)))}}
    features = rng.normal(size=(2, 6, 6, 8)).astype(np.float32)
    images = jnp.zeros((2, 48, 48, 3))
    got = method.predict(variables, images, features=features).keypoints
    valid, score = (np.asarray(v).reshape(2, 40, 3) for v in (got.valid, got.score))
    assert score.max() < 0.3 and valid[..., 0].all()
    np.testing.assert_array_equal(valid, score >= 0.5 * score[..., :1])


def test_clustering_only_is_a_baseline_of_the_evaluation(trained, monkeypatch):
    wanted = settings()
    source = data.build(wanted.data, split='train')
    monkeypatch.setattr(data, 'build', lambda *args, **options: source)
    found = evaluate.evaluate(inference.load(trained[1]))
    assert set(found['baselines']) == {'clustering'}
    for column in (found['metrics'], found['baselines']['clustering']):
        assert {'part_ap_l2_image', 'part_error_image'} <= set(column)


def test_prediction_with_given_features(given):
    outcome, workdir = given
    loaded = inference.load(workdir)
    got = inference.predict_rows(loaded, with_features(), 4, batch_size=2).prediction
    maps = loaded.method.maps(
        outcome.variables, jnp.zeros((4, 48, 48, 3)),
        features=with_features().fields['features'][:4],
    )  # fmt: skip
    best = np.asarray(maps[..., :-1]).max(axis=(1, 2))
    np.testing.assert_allclose(got.keypoints.score[:, ::2], best, rtol=1e-5)


def test_features_given_or_not_must_agree_with_the_config(tmp_path):
    with pytest.raises(UserError, match='goes with data.features=FOLDER'):
        train(on_given(), Pictures(), tmp_path / 'a')
    with pytest.raises(UserError, match='goes with data.features=FOLDER'):
        train(settings('mesh.data=1'), with_features(), tmp_path / 'b')


def test_features_of_another_width_are_told(given):
    loaded = inference.load(given[1])
    with pytest.raises(UserError, match=r'features have 5 channels.*learnt from 8'):
        inference.predict_rows(loaded, with_features(width=5), 4, batch_size=2)


# Features from networks.


@pytest.fixture
def images(rng):
    return jnp.asarray(rng.uniform(size=(2, 32, 32, 3)), jnp.float32)


def test_features_of_vgg_come_from_a_file(images, tmp_path):
    plain = Features(width=4)
    with pytest.raises(ValueError, match='vgg16 need features.weights=FILE'):
        plain.init(jax.random.key(0), images[:1])
    random = dataclasses.replace(plain, weights='random')
    variables = jax.jit(random.init)(jax.random.key(0), images[:1])
    see = jax.jit(functools.partial(of_batch, random))
    got = see({'features': variables}, {'image': images})[0]
    assert got.shape == (2, 2, 2, 32)
    np.testing.assert_allclose(jnp.linalg.norm(got, axis=-1), 1, rtol=1e-5)
    weights.save(tmp_path / 'own.safetensors', variables)
    loaded = dataclasses.replace(plain, weights=str(tmp_path / 'own.safetensors'))
    again = loaded.init(jax.random.key(1), images[:1])
    jax.tree.map(np.testing.assert_array_equal, again, variables)


def test_features_of_a_resnet_are_its_maps(images):
    features = Features('resnet18', 'stage3', 'random', width=4, small_stem=True)
    variables = jax.jit(features.init)(jax.random.key(0), images[:1])
    network = backbones.build('resnet18', width=4, small_stem=True)
    want = jax.jit(network.apply)(variables, images)['stage3']
    got = jax.jit(features.extract)(variables, images)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('batch_norm', [True, False])
def test_features_of_superpoint(images, tmp_path, batch_norm):
    model = superpoint.SuperPoint((4, 4, 4, 6), 8, 12, batch_norm)
    gray = jnp.zeros((1, 16, 16, 1))
    variables = jax.jit(model.init)(jax.random.key(0), gray)
    assert superpoint.of_variables(variables) == model
    see = jax.jit(Features('superpoint', 'trunk').extract)
    trunk = see(variables, images)
    assert trunk.shape == (2, 4, 4, 6)
    described = jax.eval_shape(
        Features('superpoint', 'descriptor').extract, variables, images
    )
    assert described.shape == (2, 4, 4, 12)
    bent = lambda name: {
        **variables,
        'params': {**variables['params'], name: jax.tree.map(
            lambda leaf: leaf + 0.5, variables['params'][name])},
    }  # fmt: skip
    np.testing.assert_array_equal(see(bent('convPa'), images), trunk)  # Of a head.
    assert (see(bent('conv4b'), images) != trunk).any()
    if not batch_norm:
        assert (trunk >= 0).all() and trunk.any()


def test_our_own_superpoint_is_there_without_a_file(images):
    features = Features('superpoint', 'trunk')
    variables = features.init(jax.random.key(0), images[:1])
    got = jax.jit(features.extract)(variables, images)
    assert got.shape[:3] == (2, 4, 4)
    assert jnp.isfinite(got).all()


def test_cells_on_padding_do_not_count(images):
    features = Features('superpoint', 'trunk')
    variables = {'features': features.init(jax.random.key(0), images[:1])}
    padded = jnp.ones((2, 32, 32), bool).at[:, 20:].set(False)
    batch = {'image': images, 'pixels_valid': padded}
    _, valid = jax.jit(functools.partial(of_batch, features))(variables, batch)
    assert valid[0, :, 0].tolist() == [True, True, False, False]

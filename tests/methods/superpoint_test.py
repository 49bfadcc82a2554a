"""SuperPoint's steps on small pictures, its labels and its predictions."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery import config, data, methods
from kpdiscovery.data.generated.shapes import shapes
from kpdiscovery.methods.superpoint import SuperPoint, adaptation, learning
from kpdiscovery.methods.superpoint.augmentation import Homographies, Photometric
from kpdiscovery.models import weights
from kpdiscovery.types import Method, UserError

STILL = Homographies(patch=1.0, perspective=0.0, scale=0.0, angle=0.0, margin=0)
TINY = SuperPoint((4, 4, 4, 4), 8, 8, num_keypoints=12, pseudo_keypoints=6)


@functools.cache
def batch(count=4, size=32):
    return jax.device_get(
        shapes(split='test', size=size, length=count).batch(range(count))
    )


def phases(name='superpoint/folder:smoke', **changes):
    settings = config.load(name)
    settings.method.update(changes)
    method = methods.build(settings.method)
    return method, method.phases(settings.to_dict())


def start(phase, rows, before=None):
    """First state, compiled: by single operations it takes minutes."""
    return jax.jit(lambda: phase.init(jax.random.key(0), rows, before))()


# Method.


def test_is_a_method_and_checks_its_options():
    assert isinstance(TINY, Method)
    with pytest.raises(ValueError, match="'centred' or 'corner', got 'x'"):
        SuperPoint(frame='x')
    with pytest.raises(ValueError, match='widths must be four'):
        SuperPoint(widths=(1, 2))
    with pytest.raises(ValueError, match="shapes, adapt or describe, got 'train'"):
        TINY.phases(
            {'phases': {'train': {'steps': 1, 'optimizer': {'name': 'adam', 'lr': 1}}}}
        )


def test_options_from_a_checkpoint_can_be_hashed():
    light = {'contrast': [0.5, 1.5], 'shade': [0.0, 0.1]}
    section = {'name': 'superpoint', 'widths': [4, 4, 4, 4], 'photometric': light}
    method = methods.build(section)
    assert method.widths == (4, 4, 4, 4)
    assert hash(method) == hash(dataclasses.replace(method))


def predict(images, **changes):
    method = dataclasses.replace(TINY, **changes)
    key, gray = jax.random.key(0), jnp.zeros((1, 8, 8, 1))
    net = jax.jit(method.model.init)(key, gray)
    return jax.jit(method.predict)({'net': net}, jnp.asarray(images, jnp.float32))


def test_predicts_on_sides_that_8_does_not_divide(rng):
    got = predict(rng.random((2, 45, 38, 3)), threshold=0.0, border=2, radius=2)
    xy = np.asarray(got.keypoints.xy)
    assert xy.shape == (2, 12, 2) and got.descriptors.shape == (2, 12, 8)
    assert got.keypoints.valid.all() and (got.keypoints.label == 0).all()
    assert xy.min() >= 2 and xy[..., 0].max() <= 29 and xy[..., 1].max() <= 37
    np.testing.assert_allclose(np.linalg.norm(got.descriptors, axis=-1), 1, atol=1e-5)
    score = np.asarray(got.keypoints.score)
    assert (np.diff(score, axis=1) <= 0).all()


@pytest.mark.parametrize('level', [0.0, 0.5, 1.0])
def test_pictures_of_one_colour(level):
    got = predict(np.full((1, 32, 32, 3), level))
    assert np.isfinite(got.keypoints.xy).all() and np.isfinite(got.descriptors).all()
    assert not predict(
        np.full((1, 32, 32, 3), level), threshold=0.99
    ).keypoints.valid.any()


def test_keypoints_keep_their_distance():
    heat = jnp.zeros((1, 24, 24)).at[0, 10, 10].set(0.9).at[0, 12, 12].set(0.8)
    heat = heat.at[0, 10, 15].set(0.7).at[0, 2, 12].set(1.0)  # Next to the border.
    found = TINY.peaks(heat, 5)
    assert found.xy[0][found.valid[0]].tolist() == [[10, 10], [15, 10]]


# Labels and views.


def test_without_a_warp_labels_stay():
    method = dataclasses.replace(TINY, views=STILL, photometric=None)
    gray = jnp.asarray(np.random.default_rng(0).random((16, 24)), jnp.float32)
    xy, there = jnp.array([[3.0, 2], [18, 9]]), jnp.ones(2, bool)
    own, other, _ = learning._views(method, jax.random.key(0), gray, xy, there)
    np.testing.assert_allclose(other.gray, gray, atol=1e-4)
    np.testing.assert_array_equal(other.labels, own.labels)
    assert own.labels[0, 0] == 19 and own.labels[1, 2] == 10
    assert own.valid.all()


def test_labels_follow_the_picture():
    """A bright dot and its label move together."""
    method = dataclasses.replace(TINY, photometric=None)
    gray = jnp.zeros((64, 64)).at[30:33, 40:43].set(1.0)
    xy, there = jnp.array([[41.0, 31.0]]), jnp.ones(1, bool)
    view = jax.jit(
        functools.partial(learning._views, method, gray=gray, xy=xy, there=there)
    )
    seen = 0
    for seed in range(12):
        _, other, _ = view(key=jax.random.key(seed))
        cells = np.argwhere(np.asarray(other.labels) < 64)
        if not len(cells):
            continue
        (row, column), pixel = cells[0], int(other.labels[tuple(cells[0])])
        y, x = 8 * row + pixel // 8, 8 * column + pixel % 8
        ys, xs = np.mgrid[:64, :64]
        mass = np.asarray(other.gray)
        if mass.sum() > 4 and 4 < x < 60 and 4 < y < 60:
            seen += 1
            assert abs((mass * xs).sum() / mass.sum() - x) < 1.0
            assert abs((mass * ys).sum() / mass.sum() - y) < 1.0
    assert seen > 3


def test_light_changes_keep_the_range(rng):
    gray = jnp.asarray(rng.random((24, 24)), jnp.float32)
    light = jax.jit(jax.vmap(Photometric(), (0, None)))
    many = light(jax.random.split(jax.random.key(0), 20), gray)
    assert (many >= 0).all() and (many <= 1).all() and np.isfinite(many).all()
    assert np.std(np.asarray(many.mean(axis=(1, 2)))) > 0.05
    still = Photometric(0.0, (1.0, 1.0), 0.0, 0.0, (0.0, 0.0), 1)
    np.testing.assert_allclose(still(jax.random.key(1), gray), gray, atol=1e-6)


# Homographic adaptation.


def test_combining_by_hand():
    total, weight = jnp.array([0.6, 0.0, 0.4]), jnp.array([1.0, 0.0, 1.0])
    np.testing.assert_allclose(adaptation.combine(total, weight), [0.6, 0.0, 0.4])
    mean = adaptation.combine(jnp.array([0.6 + 0 + 0.4]), jnp.array([2.0]))
    np.testing.assert_allclose(mean, [0.5])  # Reference: .6, 0, .4 with counts 1, 0, 1.


def test_an_equivariant_detector_is_its_own_adaptation():
    """Brightness follows every warp, so the mean over views is the picture itself."""
    y, x = jnp.mgrid[:48, :48] / 48.0
    gray = jnp.stack([0.5 + 0.3 * jnp.sin(5 * x + 3 * y), 0.5 * x])
    keys = jax.random.split(jax.random.key(0), 2)
    run = functools.partial(
        adaptation.adapt, lambda image: image, views=Homographies(), count=12
    )
    got = run(keys, gray)
    np.testing.assert_allclose(got[:, 8:40, 8:40], gray[:, 8:40, 8:40], atol=0.02)
    alone = adaptation.adapt(lambda image: image, keys, gray, Homographies(), count=1)
    np.testing.assert_array_equal(alone, gray)


def test_pseudo_labels_are_the_same_each_time():
    method, (adapt, *_) = phases()
    state = start(adapt, batch())
    extract = jax.jit(adapt.sweep.extract)
    rows = [extract(state, batch(), {}) for _ in range(2)]
    jax.tree.map(np.testing.assert_array_equal, *rows)
    assert rows[0]['xy'].shape == (4, method.pseudo_keypoints, 2)
    valid = jnp.array([True, True, True, False])
    result = adapt.sweep.reduce(
        {**rows[0], 'row_valid': valid}, state, jax.random.key(0)
    )
    assert set(result.labels) == {'xy', 'score'}
    there = np.asarray(rows[0]['score'][:3] > 0)
    assert result.scalars['points'] == pytest.approx(there.sum() / 3)


# Steps.


def test_every_phase_steps_with_finite_results():
    _, all_phases = phases()
    state, labels = None, {}
    for phase in all_phases:
        state = start(phase, batch(), state)
        if phase.sweep:
            # No points anywhere: still finite.
            labels = phase.sweep.init(4, labels, batch())
        before = state
        state, terms = jax.jit(phase.step)(state, batch(), labels, jax.random.key(1))
        assert all(np.isfinite(value) for value in terms.values()), terms
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.variables))
        moved = jax.tree.map(
            lambda a, b: bool((a != b).any()), before.variables, state.variables
        )
        params = moved['net']['params']
        assert any(params['conv1a'].values())
        assert any(params['convDb'].values()) == (phase.name == 'describe')
    assert {'warped_cells', 'own_cells', 'descriptors', 'loss'} == set(terms)


def test_a_detector_learns_one_corner():
    method = dataclasses.replace(TINY, widths=(8, 8, 8, 8), views=STILL, photometric=None,
                                 batch_norm=False, threshold=0.1)  # fmt: skip
    images = np.zeros((4, 16, 16, 3), np.uint8)
    images[:, 6:, 5:] = 255
    rows = {'image': images, 'index': np.arange(4, dtype=np.int32),
            'keypoints': np.tile(np.array([[[5.0, 6.0]]], np.float32), (4, 1, 1)),
            'visible': np.ones((4, 1), bool)}  # fmt: skip
    section = {'steps': 80, 'optimizer': {'name': 'adam', 'lr': 1e-2}}
    (phase,) = method.phases({'phases': {'shapes': section}})
    state = start(phase, rows)
    step = jax.jit(phase.step)
    for i in range(80):
        state, terms = step(state, rows, {}, jax.random.key(i))
    assert terms['loss'] < 0.5
    found = jax.jit(method.predict)(state.variables, images / np.float32(255)).keypoints
    assert found.xy[0, 0].tolist() == [5, 6] and found.score[0, 0] > 0.5


def test_a_source_without_points_is_refused():
    _, (phase,) = phases('superpoint/shapes:smoke')
    rows = {name: batch()[name] for name in ('image', 'index')}
    key = jax.random.key(0)
    state = jax.eval_shape(lambda: phase.init(key, rows, None))
    with pytest.raises(ValueError, match='there are no points to learn'):
        jax.eval_shape(phase.step, state, rows, {}, key)


# Start from a file.


def test_starts_from_a_file(tmp_path):
    path = tmp_path / 'w.safetensors'
    net = jax.jit(TINY.model.init)(jax.random.key(7), jnp.zeros((1, 8, 8, 1)))
    weights.save(path, net)
    fields = {'widths': (4, 4, 4, 4), 'head': 8, 'descriptor': 8}
    _, (phase,) = phases('superpoint/shapes:smoke', weights=str(path), **fields)
    state = start(phase, batch())
    jax.tree.map(np.testing.assert_array_equal, state.variables['net'], net)
    _, (phase,) = phases('superpoint/shapes:smoke', weights=str(path), head=9)
    with pytest.raises(UserError, match='the config has'):
        start(phase, batch())


def test_smoke_configs_have_their_sources():
    settings = config.load('superpoint/drawn:smoke')
    assert len(data.build(settings.data, split='train')) == 8

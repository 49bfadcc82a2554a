"""TUSK as a method: prediction, presets, and what one step does."""

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats
from scipy import ndimage

from kpdiscovery import losses
from kpdiscovery.data.generated.tetrominoes import tetrominoes
from kpdiscovery.methods import views as views_lib
from kpdiscovery.methods.tusk import Tusk, learning, method
from kpdiscovery.methods.views import Views, to_first
from kpdiscovery.ops import coordinates
from kpdiscovery.types import UserError

ADAM = {'name': 'adam', 'lr': 3e-3}
CONFIG = {'phases': {'train': {'steps': 40, 'optimizer': {
    'network': ADAM, 'prototypes': {**ADAM, 'lr': 0.1, 'b1': 0.5}}}}}  # fmt: skip
TINY = Tusk(
    num_keypoints=3,
    num_prototypes=6,
    window=5,
    alpha=True,
    channels=8,
    width=4,
    levels=1,
    groups=2,
    views=None,
    prototype_steps=2,
    projections=4,
)
FULL = dataclasses.replace(
    TINY,
    levels=2,
    width=8,
    views=Views(0.95, 0.02, 0.02, 0.05, 0.1, pad='reflect'),
    splat_variance=0.5,
    splat_gain=64.0,
    memory=32,
    cluster_start=0.5,
)


@pytest.fixture(scope='module')
def batch():
    return jax.device_get(tetrominoes(split='train', size=16).batch(range(8)))


@pytest.fixture(scope='module')
def images(batch):
    return batch['image'].astype(np.float32) / 255


def start(tusk, batch):
    (phase,) = tusk.phases(CONFIG)
    return jax.jit(phase.init, static_argnums=2)(jax.random.key(0), batch, None)


def stepper(tusk):
    return jax.jit(tusk.phases(CONFIG)[0].step)


@pytest.mark.parametrize('options, same', [
    ({}, True), ({'cluster_start': 0.5}, False), ({'claim_weight': 1.0}, True),
    ({'claim_weight': 1.0, 'alpha': True}, False),
])  # fmt: skip
def test_its_step_knows_their_number_only_for_a_schedule(batch, options, same):
    tusk = dataclasses.replace(TINY, **{'alpha': False, **options})
    section = CONFIG['phases']['train']
    texts = []
    for steps in (40, 90):
        config = {'phases': {'train': {**section, 'steps': steps}}}
        (phase,) = tusk.phases(config)
        state = jax.eval_shape(lambda p=phase: p.init(jax.random.key(0), batch, None))
        step = jax.jit(phase.step)
        texts.append(step.lower(state, batch, {}, jax.random.key(0)).as_text())
    assert (texts[0] == texts[1]) == same


def run(step, state, batch, steps):
    scalars = []
    for number in range(steps):
        key = jax.random.fold_in(jax.random.key(0), number)
        state, last = step(state, batch, {}, key)
        scalars.append(jax.device_get(last))
    return state, scalars


def assert_finite(*trees):
    for leaf in jax.tree.leaves(trees):
        assert jnp.isfinite(leaf).all()


@pytest.fixture(scope='module')
def variables(batch):
    return start(TINY, batch).variables


@pytest.fixture(scope='module')
def predict():
    return jax.jit(lambda tusk, *args: tusk.predict(*args), static_argnums=0)


# Prediction.


def test_what_a_prediction_holds(predict, variables, images):
    got = predict(TINY, variables, images)
    want = {
        'xy': ((8, 3, 2), 'float32'),
        'score': ((8, 3), 'float32'),
        'label': ((8, 3), 'int32'),
        'valid': ((8, 3), 'bool'),
    }
    points = {name: getattr(got.keypoints, name) for name in want}
    assert {name: (x.shape, x.dtype) for name, x in points.items()} == want
    assert got.descriptors.shape == (8, 3, 8)
    assert got.reconstruction.shape == (8, 16, 16, 3)
    assert (got.instances.shape, got.instances.dtype) == ((8, 16, 16), 'int32')
    np.testing.assert_allclose(got.alphas.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(got.instances, got.alphas.argmax(1))


def test_points_that_are_no_peaks_do_not_count(predict, variables, images):
    """A window as large as the map leaves room for few peaks."""
    wide = dataclasses.replace(TINY, window=31)
    got = predict(wide, variables, images)
    assert (got.keypoints.valid.sum(1) == 1).all()
    np.testing.assert_array_equal(got.keypoints.score[~got.keypoints.valid], 0)
    owned = jnp.take_along_axis(
        got.keypoints.valid, got.instances.reshape(8, -1), axis=1
    )
    assert owned.all()


def test_predictions_make_sense(predict, variables, images):
    got = predict(TINY, variables, images)
    assert (jnp.abs(got.keypoints.xy - 7.5) < 8.5).all()
    assert ((got.keypoints.label >= 0) & (got.keypoints.label < 6)).all()
    assert ((got.keypoints.score > 0) & (got.keypoints.score < 1)).all()
    np.testing.assert_allclose(jnp.linalg.norm(got.descriptors, axis=-1), 1, rtol=1e-5)
    prototypes = np.asarray(variables['prototypes'])
    unit = prototypes / np.linalg.norm(prototypes, axis=-1, keepdims=True)
    nearest = (got.descriptors @ unit.T).argmax(-1)
    np.testing.assert_array_equal(got.keypoints.label, nearest)


def test_without_alpha_there_are_no_masks(predict, batch, images):
    plain = dataclasses.replace(TINY, alpha=False)
    got = predict(plain, start(plain, batch).variables, images)
    assert got.alphas is None
    assert got.instances is None
    assert got.reconstruction.shape == images.shape


def test_more_keypoints_than_in_training(predict, variables, images):
    few = predict(TINY, variables, images).keypoints
    many = predict(dataclasses.replace(TINY, predict_keypoints=7), variables, images)
    assert many.keypoints.xy.shape == (8, 7, 2)
    assert many.alphas.shape == (8, 7, 16, 16)
    np.testing.assert_allclose(many.keypoints.xy[:, :3], few.xy, atol=1e-5)


def test_weak_keypoints_are_left_out(predict, variables, images):
    every = predict(TINY, variables, images)
    bar = float(np.median(every.keypoints.score))
    some = predict(dataclasses.replace(TINY, min_confidence=bar), variables, images)
    valid = every.keypoints.score > bar
    assert 0 < valid.mean() < 1
    np.testing.assert_array_equal(some.keypoints.valid, valid)
    shares = np.asarray(some.alphas.max((2, 3)))
    assert (shares[~valid & valid.any(1, keepdims=True)] == 0).all()
    np.testing.assert_allclose(
        some.keypoints.score[valid], every.keypoints.score[valid]
    )


def test_everything_comes_back_in_the_pixels_that_were_given(
    predict, variables, images
):
    wide = np.repeat(np.repeat(images, 2, 1), 3, 2)  # 32 x 48, inside 16 x 24.
    inside = dataclasses.replace(TINY, resolution=16)
    got = predict(inside, variables, wide)
    small = predict(TINY, variables, inside.fit(wide))
    want = coordinates.resize_points(small.keypoints.xy, (16, 24), (32, 48))
    np.testing.assert_allclose(got.keypoints.xy, want, atol=1e-3)
    assert got.instances.shape == (8, 32, 48)
    assert got.reconstruction.shape == wide.shape
    np.testing.assert_allclose(got.alphas.sum(1), 1, rtol=1e-4)


def test_more_keypoints_than_pixels_are_refused(variables, images):
    with pytest.raises(ValueError, match=r'at most H \* W = 256 .* got 257'):
        dataclasses.replace(TINY, predict_keypoints=257).predict(variables, images)


def test_sizes_that_do_not_halve_are_refused(variables):
    with pytest.raises(ValueError, match='divisible by 8'):
        dataclasses.replace(TINY, levels=4).predict(variables, jnp.ones((1, 12, 16, 3)))


# Presets and switches.


def test_presets_change_what_they_should():
    paper, code, ours = (dataclasses.replace(TINY, parity=name)
                         for name in ('paper', 'code', 'recommended'))  # fmt: skip
    assert [t.assignment for t in (paper, code, ours)] == ['distance', *2 * ['squared']]
    assert [t.encodes_again for t in (paper, code, ours)] == [False, True, False]
    fields = lambda t: dataclasses.astuple(t.cluster_updates)[2:]
    assert fields(paper) == ('floor', 0.0, 'mean', False)
    assert fields(code) == ('floor', 0.01, 'prototype', True)
    assert fields(ours) == ('systematic', 0.01, 'prototype', False)
    assert [method.PARITY[t.parity].sampling for t in (paper, code)] == [
        'bilinear',
        'floor',
    ]


def test_presets_reach_the_prediction(predict, variables, images):
    ours = predict(TINY, variables, images)
    code = predict(dataclasses.replace(TINY, parity='code'), variables, images)
    np.testing.assert_allclose(code.keypoints.xy, ours.keypoints.xy, atol=1e-5)
    assert jnp.abs(code.descriptors - ours.descriptors).max() > 1e-3


def convolutions(tusk, variables, batch):
    """How many convolutions one step holds, gradients included."""
    (phase,) = tusk.phases(CONFIG)
    state = jax.eval_shape(phase.init, jax.random.key(0), batch, None)
    step = jax.make_jaxpr(phase.step)(state, batch, {}, jax.random.key(0))
    return str(step).count('conv_general_dilated[')


def test_only_the_code_preset_encodes_again(variables, batch):
    once = convolutions(TINY, variables, batch)
    again = convolutions(dataclasses.replace(TINY, parity='code'), variables, batch)
    assert again - once == 5  # One pass of an encoder of one level.
    more = dataclasses.replace(TINY, prototype_steps=8)
    assert convolutions(more, variables, batch) == once


OF_VIEWS = 'heat_equivariance', 'feature_equivariance', 'agreement'


@pytest.mark.parametrize(
    'changes, terms',
    [
        ({'clustering': 'kmeans'}, set()),
        ({'parity': 'paper', 'alpha': False}, {'no claim'}),
        ({'views': FULL.views}, {*OF_VIEWS}),
        ({'views': FULL.views, 'clustering': 'information'},
         {*OF_VIEWS, 'information', 'no cluster', 'no prototypes'}),
        ({'exploration': 0.5, 'normalize_features': 'channel', 'whiten': True}, set()),
        ({'upright': True}, set()),
    ],
)  # fmt: skip
def test_every_switch_has_a_step(batch, changes, terms):
    (phase,) = dataclasses.replace(TINY, **changes).phases(CONFIG)
    key = jax.random.key(0)
    state = jax.eval_shape(phase.init, key, batch, None)
    after, scalars = jax.eval_shape(phase.step, state, batch, {}, key)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
        lambda x: (x.shape, x.dtype), state
    )
    usual = {
        'loss', 'reconstruction', 'cluster', 'confidence', 'peaks', 'prototypes', 'live',
        'claim',
    }  # fmt: skip
    missing = {name for name in usual if f'no {name}' in terms}
    more = {name for name in terms if not name.startswith('no ')}
    assert set(scalars) == usual - missing | more


def test_no_score_map_of_a_method_that_is_upright_has_pits(variables, images):
    plain, _ = TINY.encode(variables, images)
    upright, _ = dataclasses.replace(TINY, upright=True).encode(variables, images)
    skew = lambda scores: scipy.stats.skew(jax.scipy.special.logit(scores), (1, 2))
    assert (skew(plain) < 0).any()
    assert (skew(upright) > 0).all()


def test_whitened_descriptors_follow_running_moments(batch, images):
    """Moments of the keypoints' features: used for a batch's own, kept for prediction."""
    tusk = dataclasses.replace(TINY, whiten=True)
    state, scalars = run(stepper(tusk), start(tusk, batch), batch, 3)
    assert_finite(state, scalars)
    mean, covariance = (state.variables['moments'][k] for k in ('mean', 'covariance'))
    assert jnp.abs(mean).max() > 0
    scores, features = tusk.encode(state.variables, images)
    read = tusk.find(scores, features, 3).descriptors
    variance, vectors = np.linalg.eigh(np.asarray(covariance, np.float64))
    root = (vectors / np.sqrt(variance + 1e-3 * variance.mean())) @ vectors.T
    want = (np.asarray(read) - np.asarray(mean)) @ root
    want /= np.linalg.norm(want, axis=-1, keepdims=True)
    got = tusk.predict(state.variables, images).descriptors
    np.testing.assert_allclose(got, want, atol=1e-3)


def test_variables_are_nested_dicts(batch):
    """What a checkpoint gives back; another container would come back as a dict."""
    state = start(dataclasses.replace(TINY, whiten=True, memory=8), batch)
    inner = [state.variables]
    while inner:
        assert all(type(node) is dict for node in inner)
        leaves = [leaf for node in inner for leaf in node.values()]
        inner = [leaf for leaf in leaves if not isinstance(leaf, jax.Array)]


def test_whitened_descriptors_of_a_batch_are_spread(batch, images):
    """Unit vectors whose mean is near 0, where untouched ones share a cone."""
    length = {}
    for whiten in (True, False):
        tusk = dataclasses.replace(TINY, whiten=whiten)
        variables = start(tusk, batch).variables
        terms, _ = learning.loss(
            tusk, images, None, None, 0.0, jax.random.key(0), variables
        )[1]
        length[whiten] = float(jnp.linalg.norm(terms['descriptors'].mean((0, 1))))
    assert length[True] < 0.3 < 0.6 < length[False]


def test_unknown_switches_are_named():
    names = (
        'parity', 'reconstruction', 'perceptual', 'clustering', 'normalize_features',
    )  # fmt: skip
    for name, value in ((name, 'x') for name in names):
        with pytest.raises(ValueError, match=f"{name} must be .*, got 'x'"):
            dataclasses.replace(TINY, **{name: value})


def test_perceptual_loss_asks_for_its_weights(batch):
    with pytest.raises(UserError, match=r'weights no\.st'):
        options = {'reconstruction': 'perceptual', 'perceptual_weights': 'no.st'}
        start(dataclasses.replace(TINY, **options), batch)


def test_exploration_fades_and_prefers_unusual_pixels(images):
    tusk = dataclasses.replace(TINY, exploration=0.5)
    keys = jax.random.split(jax.random.key(0), 8)
    assert learning.explore(TINY, keys, images, 0.1) is None
    early = learning.explore(tusk, keys, images, 0.1)
    np.testing.assert_allclose(early.lift, 0.6, rtol=1e-6)
    ground = (images == 0).all(-1)
    assert early.bonus[ground].max() == 0
    assert early.bonus[~ground].max() > 0.5
    middle = learning.explore(tusk, keys, images, 0.3)  # Chooses, but does not lift.
    assert middle.lift == 0 < middle.bonus.max() <= 0.4
    late = learning.explore(tusk, keys, images, 0.5)
    assert late.lift == late.bonus.max() == 0


@pytest.mark.parametrize('done', [0.1, 0.9])
def test_every_weight_of_ours_has_its_term(variables, batch, done):
    """The cluster loss waits until .5, claims until .6."""
    weighed = dataclasses.replace(
        FULL, levels=1, width=4, claim_weight=0.7, cluster_weight=0.2,
        reconstruction_weight=2.0, feature_weight=5.0, weigh_alphas=True,
    )  # fmt: skip
    keys = jax.random.split(jax.random.key(0), 8)
    images, warp = learning.views(weighed, keys, batch)
    total, (terms, _) = learning.loss(
        weighed, images, warp, None, done, jax.random.key(1), variables
    )
    want = 2 * terms['reconstruction'] + 0.01 * terms['heat_equivariance']
    want += 5 * terms['feature_equivariance']
    want += (done > 0.5) * (0.2 * terms['cluster'] + 0.7 * terms['claim'])
    np.testing.assert_allclose(total, want, rtol=1e-5)
    assert all(terms[name] > 0 for name in ('claim', 'cluster'))
    told = dataclasses.replace(weighed, clustering='information')
    total, (terms, _) = learning.loss(
        told, images, warp, None, done, jax.random.key(1), variables
    )
    want = 2 * terms['reconstruction'] + 0.01 * terms['heat_equivariance']
    want += 5 * terms['feature_equivariance'] + (done > 0.5) * 0.7 * terms['claim']
    want += (done > 0.5) * 0.2 * terms['information']
    np.testing.assert_allclose(total, want, rtol=1e-5)
    assert terms['information'] < 0


def test_what_fills_up_a_map_of_few_peaks_is_not_learnt(variables, images):
    """A window as large as the picture leaves a peak or two for eight keypoints."""
    few = dataclasses.replace(TINY, num_keypoints=8, window=15)
    _, (terms, _) = learning.loss(
        few, images, None, None, 0.0, jax.random.key(0), variables
    )
    assert terms['peaks'] < 0.5
    found = few.find(*few.encode(variables, images), 8)
    lone = learning._peaks_only(found)
    off = ~np.asarray(found.peak)
    assert off.any() and not np.asarray(lone.confidence)[off].any()
    best = np.broadcast_to(found.descriptors[:, :1], found.descriptors.shape)
    np.testing.assert_array_equal(np.asarray(lone.descriptors)[off], best[off])
    np.testing.assert_allclose(
        terms['confidence'], np.asarray(found.confidence)[~off].mean(), rtol=1e-5
    )


def test_equivariance_compares_what_the_warp_brings_together(batch):
    """Views as their own features: equal where one sees the other."""
    tusk = FULL
    keys = jax.random.split(jax.random.key(0), 8)
    soft = {'image': ndimage.gaussian_filter(batch['image'], (0, 2, 2, 0))}
    views, warp = jax.jit(learning.views, static_argnums=0)(tusk, keys, soft)
    apart = jnp.mean((views[::2] - views[1::2]) ** 2)
    compare = jax.jit(learning._equivariance, static_argnums=0)
    got = compare(tusk, views[..., 0], views, warp)
    assert got['feature_equivariance'] < 0.3 * apart
    back = compare(tusk, views[..., 0], views.reshape(8, 2, 16, 16, 3)[:, ::-1].reshape(
        views.shape), warp)  # fmt: skip
    assert back['feature_equivariance'] > 2 * got['feature_equivariance']
    moved, _ = views_lib.follow(warp, views[::2])
    want = jnp.mean((moved - views[1::2]) ** 2)
    np.testing.assert_allclose(got['feature_equivariance'], want, rtol=5e-3)


# Steps.


@pytest.fixture(scope='module')
def full(batch):
    return stepper(FULL), start(FULL, batch)


@pytest.fixture(scope='module')
def trained(full, batch):
    return run(*full, batch, 30)


def test_the_loss_falls(trained):
    state, scalars = trained
    before, after = (np.mean([s['reconstruction'] for s in part])
                     for part in (scalars[:3], scalars[-3:]))  # fmt: skip
    assert after < 0.7 * before
    assert state.step == 30
    assert_finite(state.variables, scalars)


def test_terms_add_up_and_the_cluster_loss_waits(trained):
    _, scalars = trained
    for number in (0, 19, 20, 29):  # The cluster loss sets in at step 20 of 40.
        s = scalars[number]
        want = s['reconstruction'] + 0.01 * s['heat_equivariance']
        want += 100 * s['feature_equivariance'] + (number >= 20) * 0.01 * s['cluster']
        np.testing.assert_allclose(s['loss'], want, rtol=1e-5)


def test_steps_are_a_function_of_state_batch_and_key(full, trained, batch):
    state, scalars = run(*full, batch, 3)
    assert [s['loss'] for s in scalars] == [s['loss'] for s in trained[1][:3]]
    again, _ = run(*full, batch, 3)
    for one, other in zip(*map(jax.tree.leaves, (state, again)), strict=True):
        np.testing.assert_array_equal(one, other)
    step, first = full
    here, there = (step(first, batch, {}, jax.random.key(i))[1]['loss'] for i in (1, 2))
    assert here != there


def test_order_of_examples_does_not_matter(full, batch):
    step, state = full
    order = np.random.default_rng(0).permutation(8)
    other = jax.tree.map(lambda leaf: leaf[order], batch)
    here, there = (step(state, b, {}, jax.random.key(1))[1] for b in (batch, other))
    for name in ('reconstruction', 'feature_equivariance', 'cluster', 'confidence'):
        np.testing.assert_allclose(here[name], there[name], rtol=1e-4)


def test_every_part_moves(full, trained):
    for name, before in full[1].variables.items():
        moved = [jnp.abs(a - b).max() for a, b in zip(
            jax.tree.leaves(before), jax.tree.leaves(trained[0].variables[name]),
            strict=True)]  # fmt: skip
        assert max(moved) > 1e-3, name


def test_memory_holds_descriptors_and_prototypes_approach_them(full, trained):
    state, _ = trained
    recent = state.variables['recent']
    np.testing.assert_allclose(jnp.linalg.norm(recent, axis=-1), 1, rtol=1e-4)
    unit = lambda x: x / jnp.linalg.norm(x, axis=-1, keepdims=True)
    near = lambda s: (recent @ unit(s.variables['prototypes']).T).max(1).mean()
    assert near(state) > max(0.9, near(full[1]))


def test_prototypes_take_their_own_steps(full, trained):
    opt = trained[0].opt
    assert opt['network'][0].count == 30
    assert opt['prototypes'][0].count == 60


def test_a_constant_picture_leaves_everything_finite(full, batch):
    flat = {**batch, 'image': np.full_like(batch['image'], 100)}
    state, scalars = run(*full, flat, 2)
    assert_finite(state.variables, scalars)


def test_keypoints_of_two_views_are_partners_by_their_places(rng):
    """Three of the first view in any order, one that is not seen in the second."""
    tusk = dataclasses.replace(TINY, window=9)
    size, keys = (40, 40), jax.random.split(jax.random.key(0), 2)
    images = jnp.zeros((2, *size, 3))
    warp = Views(rotation=0.3, bend=0.02).pair(keys, images).warp
    second = jnp.asarray(rng.permuted(np.float32([[12, 12], [28, 15], [20, 30]])))
    second = jnp.stack([second, second + 1])
    first = to_first(warp, second)[:, jnp.array([2, 0, 1])]
    first = first.at[:, 0].add(20.0)  # The last of the second view has no partner.
    unit = jnp.eye(4)
    label = np.array([[[3, 1, 2], [1, 2, 0]], [[3, 0, 2], [1, 3, 0]]])
    xy = jnp.stack([first, second], axis=1).reshape(4, 3, 2)
    points = types.SimpleNamespace(xy=xy, peak=jnp.ones((4, 3), bool))
    descriptors = unit[label].reshape(4, 3, 4)
    found = learning._agreement(tusk, points, descriptors, unit, warp)
    assert found['agreement'] == pytest.approx(2 / 4)
    told = dataclasses.replace(tusk, clustering='information', views=FULL.views)
    found = learning._agreement(told, points, descriptors, unit, warp)
    sure = jax.nn.softmax(unit / learning._SHARP)
    ends = [sure[jnp.array(labels)] for labels in ([1, 2, 0, 2], [1, 2, 1, 3])]
    want = losses.mutual_information(*ends, jnp.ones(4, bool))
    assert found['information'] == pytest.approx(float(want), rel=1e-5)
    assert found['live'] == 4
    # One of the two that agree only fills up its map.
    points.peak = points.peak.at[0, 2].set(False)
    found = learning._agreement(tusk, points, descriptors, unit, warp)
    assert found['agreement'] == pytest.approx(1 / 3)


def test_views_are_as_sharp_as_pictures_of_a_prediction():
    """Thin lines at twice the inner size: warped first, then made smaller."""
    lines = np.zeros((4, 48, 48, 3), np.uint8)
    lines[:, 20:28:4, 8:40] = lines[:, 8:40, 20:28:4] = 255  # .44 if warped when small.
    tusk = dataclasses.replace(FULL, resolution=24)
    keys = jax.random.split(jax.random.key(0), 4)
    images, _ = learning.views(tusk, keys, {'image': lines})
    energy = lambda v: np.square(np.diff(v, axis=1)).sum() / len(v)
    assert energy(images) > 0.6 * energy(tusk.fit(lines / np.float32(255)))


def test_objects_of_a_wide_picture_are_seen_as_those_of_a_square_one(trained, images):
    """Two pictures side by side: inside as high as one, and twice as wide."""
    state, _ = trained
    tusk = dataclasses.replace(FULL, resolution=16)
    pair = jnp.concatenate([images[:1], images[1:2]], axis=2)
    assert tusk.fit(images).shape[1:3] == (16, 16)
    assert tusk.fit(pair).shape[1:3] == (16, 32)
    found = tusk.predict(state.variables, pair)
    assert found.keypoints.xy[..., 0].max() > images.shape[2]
    assert found.reconstruction.shape == pair.shape
    whole = np.asarray(tusk.encode(state.variables, tusk.fit(pair))[1])
    left = np.asarray(tusk.encode(state.variables, tusk.fit(images[:1]))[1])
    same = np.corrcoef(whole[:, :, :12].ravel(), left[:, :, :12].ravel())[0, 1]
    assert same > 0.8  # Group norms see other pictures.


def test_one_joint_step_instead_of_alternating(batch):
    tusk = dataclasses.replace(TINY, alternate=False)
    before = start(tusk, batch)
    after, scalars = run(stepper(tusk), before, batch, 1)
    assert after.opt['prototypes'][0].count == 1
    assert jnp.abs(after.variables['prototypes'] - before.variables['prototypes']).max()
    s = scalars[0]
    want = s['reconstruction'] + 0.01 * s['cluster'] + s['prototypes']
    np.testing.assert_allclose(s['loss'], want, rtol=1e-5)


def test_vector_quantization_decodes_prototypes_and_still_trains_the_encoder(batch):
    tusk = dataclasses.replace(TINY, clustering='vector_quantization')
    before = start(tusk, batch)
    after, scalars = run(stepper(tusk), before, batch, 1)
    s = scalars[0]
    np.testing.assert_allclose(
        s['loss'], s['reconstruction'] + 0.25 * s['commitment'], rtol=1e-5
    )
    assert_finite(after.variables)
    moved = jax.tree.map(
        lambda a, b: jnp.abs(a - b).max(),
        before.variables['encoder'],
        after.variables['encoder'],
    )
    assert max(jax.tree.leaves(moved)) > 1e-4
    assert s['prototypes'] > 1e-4  # The codebook follows descriptors, not itself.


def test_bfloat16_keeps_parameters_in_float32_and_everything_finite(batch):
    tusk = dataclasses.replace(TINY, dtype='bfloat16')
    before = start(tusk, batch)
    after, scalars = run(stepper(tusk), before, batch, 2)
    assert_finite(after.variables, scalars)
    kinds = {leaf.dtype.name for leaf in jax.tree.leaves((after.variables, scalars))}
    assert kinds == {'float32'}
    got = jax.eval_shape(tusk.predict, after.variables, jnp.ones((1, 16, 16, 3)))
    floats = [x for x in jax.tree.leaves(got) if jnp.issubdtype(x.dtype, jnp.floating)]
    assert {x.dtype.name for x in floats} == {'float32'}


def test_prototypes_of_the_code_preset_follow_the_points_that_the_network_learnt(
    batch, monkeypatch
):
    """While networks stand still, another look at the pictures finds the same."""
    still = dict.fromkeys(('network', 'prototypes'), optax.set_to_zero())
    seen = []
    tusk = dataclasses.replace(
        TINY, parity='code', exploration=1.0, memory=24, whiten=True
    )
    for again in (True, False):
        preset = method.PARITY['code']._replace(encode_again=again)
        monkeypatch.setitem(method.PARITY, 'code', preset)
        state = learning.init(tusk, still, jax.random.key(0), batch, None)
        step = functools.partial(learning.step, tusk, still, 10)
        state, _ = jax.jit(step)(state, batch, {}, jax.random.key(1))
        seen.append(state.variables['recent'])
    np.testing.assert_allclose(*seen, atol=1e-4)

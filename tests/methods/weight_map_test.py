"""The weight map: its pieces by hand, and both methods' phases on coloured squares."""

import dataclasses
import functools
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kpdiscovery import config, data, evaluate, inference, methods
from kpdiscovery.methods.classification import Network
from kpdiscovery.methods.crops import Crops
from kpdiscovery.methods.learning import start as learning_start
from kpdiscovery.methods.weight_map import WeightMapping, learning, stopping
from kpdiscovery.models import backbones
from kpdiscovery.models.vgg import IMAGENET_MEAN
from kpdiscovery.models.weight_map import WeightMap
from kpdiscovery.types import Method, State, UserError
from tests.methods.weak_labels import Squares, Unlabelled, train

KEY = jax.random.key(1)
LONELY = [2] + [0, 1] * 11 + [0]
WHOLE = 'method2,smoke'  # It has all phases.
METHODS = [pytest.param('smoke', marks=pytest.mark.slow), WHOLE]


def settings(variant='smoke', *overrides):
    return config.load(f'weight_map/critters:{variant}', [
        'mesh.data=1', 'method.num_classes=3', 'method.holdout=4', 'run.keep=9', *overrides,
    ])  # fmt: skip


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Function from a variant to the outcome and workdir of two steps a phase; one class
    has one picture."""

    @functools.cache
    def run(variant):
        workdir = tmp_path_factory.mktemp('weight_map')
        outcome = train(settings(variant), Squares(label=LONELY), workdir)
        assert outcome.finished
        return outcome, workdir

    return run


def count(tree):
    return sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def test_parameters_of_the_tabled_network():
    net = WeightMap(backbones.build('resnet18'))
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    params = jax.eval_shape(net.init, jax.random.key(0), image)['params']
    blocks = [count(params[f'up{i}']) for i in range(1, 6)]
    assert blocks == [2_360_832, 590_592, 147_840, 110_976, 18_817]
    literal = WeightMap(backbones.build('resnet18'), last_norm=True)
    params = jax.eval_shape(literal.init, jax.random.key(0), image)['params']
    assert count(params) == 14_405_571


@pytest.mark.parametrize('size', [(64, 64), (50, 37)])
@pytest.mark.parametrize(
    ('backbone', 'options'),
    [
        ('resnet18', {}),
        ('resnet18', {'small_stem': True}),
        ('efficientnet_lite0', {}),
        ('efficientnet_lite0', {'last_stride': 1}),
    ],
)
def test_maps_are_as_large_as_pictures(size, backbone, options):
    net = WeightMap(backbones.build(backbone, width=8, **options))
    images = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
    got, _ = jax.eval_shape(
        lambda x: net.init_with_output(jax.random.key(0), x), images
    )
    assert got.shape == (2, *size)
    assert got.dtype == jnp.float32


def test_nothing_holds_the_ground_up():
    """The ground may sink as far as it likes beside the object; a batch norm before the
    sigmoid holds it at the spread of the logits."""
    images = jax.random.uniform(jax.random.key(0), (2, 32, 32, 3))
    options = {'width': 4, 'small_stem': True}
    for literal in (False, True):
        net = WeightMap(backbones.build('resnet18', **options), last_norm=literal)
        variables = net.init(jax.random.key(1), images)
        top = dict(variables['params']['up5']['conv1']['conv'])
        top = {'kernel': 1000 * top['kernel'], 'bias': top['bias'] - 500}
        variables['params']['up5']['conv1']['conv'] = top
        maps, _ = net.apply(variables, images, train=True, mutable=['batch_stats'])
        assert (maps.min() < 1e-6) != literal
    assert methods.build(settings('paper,smoke').method).mapper.last_norm


def test_frozen_statistics_of_the_encoder_stay():
    method = methods.build(
        settings('smoke', 'method.encoder.frozen_statistics=true').method
    )
    images = jax.random.uniform(jax.random.key(0), (2, 32, 32, 3))
    variables = method.mapper.init(jax.random.key(1), images)
    _, fresh = method.mapper.apply(
        variables, images, train=True, mutable=['batch_stats']
    )
    before, after = variables['batch_stats'], fresh['batch_stats']
    same = lambda name: jax.tree.all(jax.tree.map(
        lambda a, b: bool((a == b).all()), before[name], after.get(name, before[name])
    ))  # fmt: skip
    assert same('backbone') and not same('up1')


@pytest.mark.parametrize('guide', ['classifier', 'embedding'])
def test_what_is_frozen_of_the_judge_passes_the_gradient_on(guide):
    section = settings('smoke', 'method.network.frozen=stage4').method
    method = methods.build({**section, 'num_classes': 3, 'guide': guide})
    images = jax.random.uniform(jax.random.key(0), (1, 32, 32, 3))
    variables = {guide: getattr(method, guide).init(jax.random.key(1), images)}
    said = lambda images: method.judge(variables, images)[0, 0]
    assert jnp.abs(jax.grad(said)(images)).max() > 0


def test_whole_boxes_are_told(caplog):
    method = WeightMapping(holdout=4)
    assert 'raise method.regularizer' in method.advise({'whole_boxes': 80.0})
    assert not method.advise({'whole_boxes': 20.0})
    advise = stopping.while_training(method, {'epoch': 5})['sweep'].advise
    full = score(method, 5, [1.0, 1.0, 1.0], [0.95] * 3)
    assert 'whole pictures' in advise(full)
    young = score(method, 0, [1.0, 1.0, 1.0], [0.95] * 3)
    assert not advise(young)


def test_is_a_method_and_checks_its_options():
    assert isinstance(WeightMapping(), Method)
    for options, message in [
        ({'guide': 'both'}, "guide must be one of .*got 'both'"),
        ({'target': 'hard'}, "target must be one of .*got 'hard'"),
        ({'masking': 'black'}, "masking must be one of .*got 'black'"),
        ({'trunks': 'own'}, "trunks must be one of .*got 'own'"),
        ({'trunks': 'copy', 'encoder': Network('resnet34')}, 'to be the same backbone'),
        ({'holdout': 1}, 'holdout=1 leaves no row'),
        ({'threshold': 2.0}, r'threshold must be in \(0, 1\], got 2'),
        ({'guide': 'embedding', 'inner': False, 'outer': False}, 'inner or outer'),
    ]:
        with pytest.raises(ValueError, match=message):
            WeightMapping(**options)


# Learning.


def test_what_a_map_hides_has_the_mean_colour():
    images = jax.random.uniform(jax.random.key(0), (1, 2, 2, 3))
    maps = jnp.array([[[1.0, 0.0], [0.5, 1.0]]])
    method = WeightMapping()
    got = learning.cover(method, images, maps)
    np.testing.assert_allclose(got[0, 0, 0], images[0, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(got[0, 0, 1], IMAGENET_MEAN, rtol=1e-6)
    half = (images[0, 1, 0] + jnp.array(IMAGENET_MEAN)) / 2
    np.testing.assert_allclose(got[0, 1, 0], half, rtol=1e-6)
    raw = learning.cover(dataclasses.replace(method, masking='raw'), images, maps)
    np.testing.assert_allclose(raw, images * maps[..., None], rtol=1e-6)


def mean_colour(images):
    """A judge."""
    return images.mean(axis=(1, 2))


_INNER = 3**0.5 * (0.35 - 0.15) + 0.3  # Distances of shown and hidden to the whole.
_OUTER = 0.3  # Positive and negative are alike: the margin is left.


@pytest.mark.parametrize('options, wanted', [
    ({}, _INNER + _OUTER + 2 * 0.5), ({'inner': False}, _OUTER + 2 * 0.5),
    ({'outer': False}, _INNER + 2 * 0.5), ({'regularizer': 0.0}, _INNER + _OUTER),
])  # fmt: skip
def test_terms_of_method_two(options, wanted):
    """Halves of .3 and .7, .5 as a whole; on black the shown one is .15, the other .35."""
    images = jnp.repeat(jnp.array([0.3, 0.7]), 2)[None, :, None, None]
    images = jnp.broadcast_to(images, (2, 4, 4, 3))
    maps = (images[..., 0] < 0.5).astype(jnp.float32)
    method = WeightMapping(
        guide='embedding', masking='raw',
        **{'regularizer': 2.0, 'margin': 0.3, **options},
    )  # fmt: skip
    all_of_it = jnp.array([True, True])
    chosen = jnp.array([1, 0]), jnp.array([1, 0]), all_of_it
    got = learning._keep_apart(method, mean_colour, images, maps, chosen, all_of_it)
    np.testing.assert_allclose(got['loss'], wanted, rtol=1e-4)


@pytest.mark.parametrize('target, of_classes, kept', [
    ('soft', [0.5, 0.5], True), ('label', [0.0, 1.0], False),
])  # fmt: skip
def test_terms_of_method_one(target, of_classes, kept):
    """Red is class 0, green 1; of a picture of both the map shows the red half."""
    images = jnp.array([[[[1.0, 0, 0], [0, 1.0, 0]]]])
    maps = jnp.array([[[1.0, 0.0]]])
    judge = lambda images: 4 * images.mean(axis=(1, 2))[:, :2]
    method = WeightMapping(num_classes=2, target=target, masking='raw', regularizer=3.0)
    got = learning._keep_class(
        method, judge, images, maps, jnp.array([1]), jnp.array([True])
    )
    shown = np.log(np.exp([2.0, 0.0]) / np.exp([2.0, 0.0]).sum())
    assert float(got['loss']) == pytest.approx(-shown @ of_classes + 3 * 0.5, rel=1e-5)
    assert bool(got['kept']) == kept


def test_a_picture_is_not_its_own_positive():
    """Of classes of one and two pictures, four places each, as `feeds.by_class` fills them."""
    index = jnp.array([7, 7, 7, 7, 0, 1, 0, 1])
    label = jnp.array([0] * 4 + [1] * 4)
    for seed in range(10):
        positive, _, usable = learning.pick_triplets(
            jax.random.key(seed), label, index, jnp.ones(8, bool)
        )
        assert usable.tolist() == [False] * 4 + [True] * 4
        assert (index[positive[4:]] != index[4:]).all()


def test_triplets_of_a_batch():
    label, index = jnp.array([0, 0, 0, 1, 1, 2, 0]), jnp.arange(7)
    counts = jnp.array([True] * 6 + [False])
    seen = set()
    for seed in range(30):
        positive, negative, usable = learning.pick_triplets(
            jax.random.key(seed), label, index, counts
        )
        assert usable.tolist() == [True] * 5 + [False, False]  # One picture; left out.
        for i in range(5):
            assert label[positive[i]] == label[i]
            assert positive[i] != i and counts[positive[i]]
            assert label[negative[i]] != label[i] and counts[negative[i]]
        seen.add((int(positive[0]), int(negative[0])))
    assert {p for p, _ in seen} == {1, 2}
    assert {n for _, n in seen} == {3, 4, 5}


def test_a_batch_of_one_class_has_no_triplets():
    *_, usable = learning.pick_triplets(
        jax.random.key(0), jnp.zeros(4, int), jnp.arange(4), jnp.ones(4, bool)
    )
    assert not usable.any()


@pytest.mark.parametrize('variant, phase', [
    (WHOLE, 'classify'), (WHOLE, 'embed'), (WHOLE, 'localize'), ('label,smoke', 'localize'),
])  # fmt: skip
def test_the_class_of_a_held_out_row_teaches_nothing(trained, variant, phase):
    outcome, _ = trained(WHOLE)
    settled = settings(variant)
    phases = methods.build(settled.method).phases(settled.to_dict())
    step = next(one.step for one in phases if one.name == phase)
    rows = [Squares()[i] for i in range(8)]
    batch = {
        n: jnp.stack([row[n] for row in rows]) for n in ('image', 'index', 'label')
    }
    net = {'classify': 'classifier', 'embed': 'embedding', 'localize': 'map'}[phase]
    update = {net: optax.sgd(0.1)}
    state = learning_start(outcome.variables, update)
    # The loss alone: nothing of the step's gradient is compiled.
    loss = jax.jit(
        lambda b: step.func(step.args[0], update, state, b, {}, KEY)[1]['loss']
    )
    change = lambda row: {**batch, 'label': batch['label'].at[row].set(2)}
    whole, first, fifth, second = (loss(b) for b in (batch, *map(change, (0, 4, 1))))
    assert whole == first == fifth != second


def _state(outcome):
    return State(jnp.int32(0), outcome.variables, {})


@pytest.mark.parametrize('variant', METHODS)
def test_the_judge_stays(trained, variant):
    outcome, workdir = trained(variant)
    judges = {'classifier': 2, **({'embedding': 4} if variant == WHOLE else {})}
    assert set(outcome.variables) == {'map', *judges}
    for name, step in judges.items():
        before = inference.load(workdir, step=step).variables[name]
        jax.tree.map(np.testing.assert_array_equal, outcome.variables[name], before)


@pytest.mark.slow
def test_a_stopped_run_goes_on_bit_for_bit(trained, tmp_path):
    source = Squares(label=LONELY)
    assert not train(settings(WHOLE), source, tmp_path, max_seconds=0).finished
    again = train(settings(WHOLE), source, tmp_path)
    jax.tree.map(
        np.testing.assert_array_equal, again.variables, trained(WHOLE)[0].variables
    )


# The stopping score.


def score(method, step, score, area):
    rows = {'score': jnp.array(score), 'area': jnp.array(area), 'map': 0, 'box': 0,
            'row_valid': jnp.array([True, True, False])}  # fmt: skip
    state = State(jnp.int32(step), {}, {})
    return stopping._score(method, rows, state, None).scalars


def test_small_boxes_full_of_map_score_high():
    got = score(WeightMapping(), 5, [0.5, 0.7, 9.0], [0.2, 0.4, 9.0])
    np.testing.assert_allclose(got['score'], 0.6, rtol=1e-6)
    np.testing.assert_allclose(got['box_area'], 0.3, rtol=1e-6)


@pytest.mark.parametrize('parity, wanted', [('recommended', 0.35), ('paper', 0.85)])
def test_a_whole_picture_is_no_reason_to_stop(parity, wanted):
    """Whatever the map, all of it lies in such a box."""
    got = score(WeightMapping(parity=parity), 5, [1.0, 0.7, 9.0], [0.95, 0.4, 9.0])
    np.testing.assert_allclose(got['score'], wanted, rtol=1e-6)
    np.testing.assert_allclose(got['concentration'], 0.85, rtol=1e-6)


@pytest.mark.parametrize('step, area', [(0, 0.1), (5, 0.95)])
def test_the_untrained_and_the_full_map_do_not_count(step, area):
    got = score(WeightMapping(), step, [1.0, 1.0, 1.0], [area] * 3)
    assert got['score'] == -np.inf
    np.testing.assert_allclose(got['concentration'], 1.0)


def test_without_held_out_rows_the_last_state_is_kept():
    method = methods.build(settings('smoke', 'method.holdout=0').method)
    phase = method.phases(settings().to_dict())[-1]
    assert phase.sweep is None and phase.keep_best is None


# Prediction.


@pytest.mark.parametrize('variant', METHODS)
def test_predictions(trained, variant):
    _, workdir = trained(variant)
    source = Squares()
    split = inference.predict_rows(inference.load(workdir), source, 6, batch_size=3)
    got = split.prediction
    assert got.mask.shape == (6, 36, 36)
    assert (got.mask >= 0).all() and (got.mask <= 1).all()
    assert got.boxes.shape == (6, 1, 4) and got.boxes_valid.all()
    assert (got.boxes[..., :2] >= -0.5).all() and (got.boxes[..., 2:] <= 35.5).all()
    assert got.class_logits.shape == (6, 3)
    assert got.class_maps.shape == (6, 4, 4, 3)
    top = got.mask.reshape(6, -1).argmax(axis=1)
    np.testing.assert_array_equal(got.keypoints.xy[:, 0, 0], top % 36)


def test_evaluation(trained, monkeypatch):
    monkeypatch.setattr(data, 'build', lambda *args, **options: Squares(6))
    found = evaluate.evaluate(inference.load(trained(WHOLE)[1]))
    for column in ('metrics', 'untrained'):
        assert {'top1_accuracy', 'gt_known', 'top1_localization', 'pxap', 'center_box',
                'max_box_accuracy_v2'} <= set(found[column])  # fmt: skip
    assert 'cam_max_box_accuracy_v2' in found['metrics']
    assert not found['skipped']


@pytest.mark.slow
def test_the_oracle_is_told_from_what_training_kept(trained, monkeypatch, capsys):
    monkeypatch.setattr(data, 'build', lambda *args, **options: Squares(6))
    workdir = trained('smoke')[1]
    assert evaluate.main([f'--workdir={workdir}', '--oracle=pxap']) == 0
    found = json.loads((workdir / 'metrics.json').read_text())
    epochs = {int(step): value for step, value in found['epochs'].items()}
    assert list(epochs) == [3, 4]
    best = max(epochs, key=epochs.get)
    assert found['baselines'][f'oracle ({best})']['pxap'] == max(epochs.values())
    assert found['baselines']['last epoch']['pxap'] == epochs[4]
    assert 'last epoch' in capsys.readouterr().out
    with pytest.raises(UserError, match='--oracle=iou is none of the figures: top1'):
        evaluate.main([f'--workdir={workdir}', '--oracle=iou'])


@pytest.fixture
def drawn(monkeypatch):
    """A method whose map is the reference's: a block of ones, a larger one of .6."""
    maps = np.zeros((1, 8, 8), np.float32)
    maps[0, 1:4, 1:4], maps[0, 5:7, 5:8], maps[0, 0, 7] = 1, 0.6, 0.05
    mapper = SimpleNamespace(apply=lambda variables, images, **_: jnp.asarray(maps))
    monkeypatch.setattr(WeightMapping, 'mapper', mapper)
    return WeightMapping(crops=Crops(share=1.0))


def test_the_stopping_score_of_the_reference(drawn):
    batch = {'image': jnp.zeros((1, 8, 8, 3), jnp.uint8)}
    state = State(jnp.int32(1), {'map': {}}, {})
    got = stopping._describe(drawn, state, batch, {})
    assert float(got['score'][0]) == pytest.approx(9 / (9 + 6 * 0.6))
    assert float(got['area'][0]) == pytest.approx(9 / 64)
    np.testing.assert_allclose(got['box'][0], np.array([1, 1, 4, 4]) / 8)


def test_the_box_is_of_what_is_above_a_share_of_the_maximum(drawn):
    look = lambda method: method.predict({'map': {}}, jnp.zeros((1, 8, 8, 3)))
    np.testing.assert_array_equal(look(drawn).boxes[0, 0], [0.5, 0.5, 3.5, 3.5])
    bent = jnp.asarray(look(drawn).mask).at[0, 2, 1:4].set(0.5)  # It falls apart above.
    drawn.mapper.apply = lambda variables, images, **_: bent
    high = look(dataclasses.replace(drawn, threshold=0.55)).boxes[0, 0]
    np.testing.assert_array_equal(high, [4.5, 4.5, 7.5, 6.5])


def test_before_there_is_a_map_all_of_the_picture_is_meant():
    method = methods.build(settings().method)
    images = jnp.zeros((1, 36, 36, 3))
    got = method.predict({}, images)
    np.testing.assert_array_equal(got.mask, jnp.ones((1, 36, 36)))
    np.testing.assert_array_equal(got.boxes[0, 0], [-0.5, -0.5, 35.5, 35.5])
    assert got.class_logits is None


def test_class_maps_average_to_what_softmax_sees_of_the_logits(trained):
    outcome, workdir = trained(WHOLE)
    images = np.stack([Squares()[i]['image'] for i in range(3)])
    got = inference.predict_images(inference.load(workdir), images)
    bias = outcome.variables['classifier']['params']['classifier']['bias']
    np.testing.assert_allclose(
        jax.nn.softmax(np.asarray(got.class_maps).mean(axis=(1, 2)) + np.asarray(bias)),
        jax.nn.softmax(got.class_logits),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize('phase, source', [
    ('embed', 'classifier'), ('localize', 'embedding'),
])  # fmt: skip
def test_a_trunk_may_start_as_the_one_before(trained, phase, source):
    outcome, _ = trained(WHOLE)
    config = settings(WHOLE, 'method.trunks=copy')
    phases = methods.build(config.method).phases(config.to_dict())
    chosen = next(p for p in phases if p.name == phase)
    batch = {'image': jnp.zeros((2, 36, 36, 3), jnp.uint8), 'label': jnp.zeros(2, int)}
    key = jax.random.key(0)
    state = jax.jit(chosen.init)(key, batch, _state(outcome))
    net = state.variables[{'embed': 'embedding', 'localize': 'map'}[phase]]
    for kind in ('params', 'batch_stats'):
        before = outcome.variables[source][kind]['backbone']
        jax.tree.map(np.testing.assert_array_equal, net[kind]['backbone'], before)
    heads = set(net['params']) - {'backbone'}
    assert heads
    if phase == 'embed':  # Its vectors are its own.
        assert net['params']['classifier']['kernel'].shape[1] == 200


# Bad input.


def test_pictures_without_classes(tmp_path):
    with pytest.raises(UserError, match='weight_map learns from class labels: sort'):
        train(settings(), Unlabelled(), tmp_path)


def test_phases_in_another_order():
    plain = settings().to_dict()
    del plain['phases']['classify']
    method = methods.build(settings().method)
    batch = {'image': jnp.zeros((2, 36, 36, 3), jnp.uint8), 'label': jnp.zeros(2, int)}
    with pytest.raises(ValueError, match='localize needs the phase classify before'):
        method.phases(plain)[0].init(jax.random.key(0), batch, None)
    second = dataclasses.replace(method, guide='embedding')
    with pytest.raises(ValueError, match='localize needs the phase embed before'):
        second.phases(plain)[0].init(jax.random.key(0), batch, None)
    with pytest.raises(ValueError, match=r"one of .*'localize'.*got 'train'"):
        method.phases({'phases': {'train': plain['phases']['localize']}})

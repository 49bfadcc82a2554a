"""LMPNet: its keypoint branch by hand, and both its phases on coloured squares."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kpdiscovery import config, data, evaluate, inference, methods
from kpdiscovery.methods import classification, learning
from kpdiscovery.methods.lmpnet import LmpNet, keypoints
from kpdiscovery.models import backbones
from kpdiscovery.models.classifier import Classifier
from kpdiscovery.models.vgg import IMAGENET_MEAN
from kpdiscovery.ops import coordinates
from kpdiscovery.types import Keypoints, Method, State, UserError
from tests.methods.weak_labels import Squares, Unlabelled, train

LONELY = [2] + [0, 1] * 11 + [0]


def settings(*overrides):
    return config.load('lmpnet/critters:smoke', [
        'mesh.data=1', 'method.num_classes=3', *overrides,
    ])  # fmt: skip


def points(cells, valid=None):
    xy = jnp.asarray([cells], jnp.float32)
    valid = jnp.ones(xy.shape[:2], bool) if valid is None else jnp.array([valid])
    label = jnp.arange(xy.shape[1])[None]
    return Keypoints(xy, jnp.where(valid, 1.0, 0.0), label, valid)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A run of two steps a phase, and where it lies; one class has one picture."""
    workdir = tmp_path_factory.mktemp('lmpnet')
    outcome = train(settings('run.keep=9'), Squares(label=LONELY), workdir)
    assert outcome.finished
    return outcome, workdir


def test_is_a_method_and_checks_its_options():
    assert isinstance(LmpNet(), Method)
    for options, message in [
        ({'pooling': 'mean'}, "pooling must be one of .*got 'mean'"),
        ({'fusion': 'both'}, "fusion must be one of .*got 'both'"),
        ({'replica': 'twin'}, "replica must be one of .*got 'twin'"),
        ({'mask_cells': 2}, 'mask_cells must be odd, got 2'),
        ({'filters': 64}, 'filters must be a share'),
        ({'erase_threshold': 0.0}, 'erase_threshold must be above 0'),
    ]:
        with pytest.raises(ValueError, match=message):
            LmpNet(**options)


# From cells to pixels, masks and joined lists.


def classifier(backbone='resnet18', **options):
    return Classifier(backbones.build(backbone, **options), 3)


@pytest.mark.parametrize('backbone, wanted', [
    ('resnet18', [(320, 96), (0, 0)]), ('efficientnet_lite0', [(335.5, 111.5), (15.5, 15.5)]),
])  # fmt: skip
def test_cells_of_the_paper_in_pixels(backbone, wanted):
    """A ResNet's cell is centred on a multiple of the stride, others' on a tile."""
    net = classifier(backbone)
    got = keypoints.to_pixels(points([(10, 3), (0, 0)]), net, (0, 0))
    np.testing.assert_array_equal(got.xy[0], wanted)
    np.testing.assert_allclose(net.to_cells(got.xy[0]), [(10, 3), (0, 0)], atol=1e-6)
    moved = keypoints.to_pixels(points([(10, 3), (0, 0)], [True, False]), net, (4, 8))
    np.testing.assert_array_equal(moved.xy[0], [np.add(wanted[0], (4, 8)), (0, 0)])


def test_a_cell_sees_what_lies_around_its_pixel():
    """The pixels that the middle cell of random ResNets looks at, on the average."""
    net = backbones.build('resnet18', width=4, small_stem=True)
    image = jax.random.uniform(jax.random.key(0), (1, 64, 64, 3))

    @jax.jit
    def middle(key):
        variables = net.init(key, image)
        see = lambda x: jnp.abs(net.apply(variables, x)['stage3'][0, 4, 4]).sum()
        weight = jnp.abs(jax.grad(see)(image))[0].sum(axis=-1)
        return weight.sum(axis=0) @ jnp.arange(64) / weight.sum()

    found = np.mean([middle(key) for key in jax.random.split(jax.random.key(1), 6)])
    wanted = coordinates.cell_to_pixel(4, net.strides['stage3'], net.first)
    assert wanted == 32 and abs(found - wanted) < 1  # A tile's middle is 35.5.


@pytest.mark.parametrize('cells, side', [(1, 9), (3, 25)])
def test_a_square_about_the_first_keypoint_is_erased(cells, side):
    images = jax.random.uniform(jax.random.key(0), (1, 64, 64, 3))
    net = classifier(small_stem=True, last_stride=1)
    got = keypoints.mask_out(images, points([(3, 4), (0, 0)]), net, cells=cells)
    changed = np.asarray((got != images).any(axis=-1))[0]
    low = np.array([4, 3]) * 8 - side // 2  # Row, column.
    assert changed[low[0] : low[0] + side, low[1] : low[1] + side].all()
    assert changed.sum() == side**2
    np.testing.assert_allclose(got[0][changed][0], IMAGENET_MEAN, rtol=1e-6)
    other = keypoints.mask_out(
        images, points([(0, 0)]), classifier('efficientnet_lite0'), cells=1
    )
    np.testing.assert_allclose(other[0, 0, 0], 127 / 255, rtol=1e-6)


def test_without_a_keypoint_nothing_is_erased():
    images = jnp.ones((1, 16, 16, 3))
    got = keypoints.mask_out(images, points([(0, 0)], [False]), classifier(), cells=3)
    np.testing.assert_array_equal(got, images)


def test_so_many_filters_are_proposals():
    assert [LmpNet().num_filters(np.zeros(c)) for c in (2048, 1280, 8)] == [64, 40, 1]


def test_lists_are_joined_without_doubles():
    first = points([(0, 0), (9, 9), (5, 5)], [True, True, False])
    second = points([(1, 0), (20, 20), (30, 30)])
    got = keypoints.join(first, second, threshold=3)
    assert got.xy[0].tolist() == [[0, 0], [9, 9], [20, 20]]
    assert got.label[0].tolist() == [0, 1, 2]
    few = keypoints.join(first, points([(0, 1), (9, 8), (1, 1)]), threshold=3)
    assert few.valid[0].tolist() == [True, True, False]
    assert few.xy[0, 2].tolist() == [0, 0]


# Training.


def test_the_first_net_stays_while_the_second_learns(trained):
    outcome, workdir = trained
    same = lambda net, step: all(jax.tree.leaves(jax.tree.map(
        np.array_equal, outcome.variables[net],
        inference.load(workdir, step=step).variables[net],
    )))  # fmt: skip
    assert same('first', 2) and same('first', 3)
    assert not same('second', 3)


@pytest.mark.slow
def test_a_stopped_run_goes_on_bit_for_bit(trained, tmp_path):
    outcome, _ = trained
    stopped = train(settings(), Squares(label=LONELY), tmp_path, max_seconds=0)
    assert not stopped.finished
    again = train(settings(), Squares(label=LONELY), tmp_path)
    jax.tree.map(np.testing.assert_array_equal, again.variables, outcome.variables)


def test_the_second_net_may_start_as_the_first():
    method = LmpNet(num_classes=3, replica='copy')
    first = {'params': {'w': jnp.arange(3.0)}}
    before = State(jnp.zeros((), jnp.int32), {'first': first}, {})
    batch = {'image': np.zeros((2, 32, 32, 3), np.uint8), 'label': np.zeros(2, int)}
    update = {'second': optax.sgd(1.0)}
    state = method._init('second', update, jax.random.key(0), batch, before)
    np.testing.assert_array_equal(state.variables['second']['params']['w'], [0, 1, 2])


def test_the_second_net_learns_from_pictures_without_the_first_keypoint(
    trained, monkeypatch
):
    outcome, _ = trained
    given = {}

    def spy(network, classifier, update, state, images, label):
        given['images'] = images
        return state, {}

    monkeypatch.setattr(classification, 'learn_classes', spy)
    method, batch = methods.build(settings().method), _batch()
    state = State(jnp.zeros((), jnp.int32), outcome.variables, {})
    seen = {}
    for name in ('first', 'second'):
        method._step(name, None, state, batch, {}, jax.random.key(0))
        seen[name] = np.asarray(given['images'])
    changed = (seen['first'] != seen['second']).any(axis=-1)
    stride = method.classifier.stride
    assert (changed.sum(axis=(1, 2)) <= (method.mask_cells * stride) ** 2).all()
    assert changed.any(axis=(1, 2)).all()
    gone = np.broadcast_to(IMAGENET_MEAN, seen['second'].shape)[changed]
    np.testing.assert_allclose(seen['second'][changed], gone, atol=1e-6)


def test_both_nets_have_a_say_in_the_keypoints(trained):
    _, workdir = trained
    images = np.stack([Squares()[i]['image'] for i in range(6)])
    found = {}
    for fusion in ('first', 'proposals', 'lists'):
        loaded = inference.load(workdir, [f'method.fusion={fusion}'])
        found[fusion] = inference.predict_images(loaded, images).keypoints
    for fusion in ('proposals', 'lists'):
        one, other = found['first'], found[fusion]
        assert not np.array_equal(one.xy * one.valid[..., None],
                                  other.xy * other.valid[..., None])  # fmt: skip


def test_the_second_net_sees_no_first_keypoint_in_prediction_either(trained):
    _, workdir = trained
    run = inference.load(workdir, ['method.fusion=lists'])
    images = np.stack([Squares()[i]['image'] for i in range(6)])
    net, method = run.method.classifier, run.method
    seen, corner = method.crops.middle(jnp.asarray(images, jnp.float32) / 255)

    def look(name, images):
        maps = net.apply(run.variables[name], images).features
        return keypoints.cluster(method, keypoints.proposals(maps, 1))

    method = dataclasses.replace(method, filters=1e-6)
    first = look('first', seen)
    second = look('second', keypoints.mask_out(seen, first, net, cells=3))
    both = keypoints.join(first, second, threshold=method.erase_threshold)
    wanted = keypoints.to_pixels(both, net, corner)
    got = inference.predict_images(run._replace(method=method), images).keypoints
    np.testing.assert_array_equal(got.valid, wanted.valid)
    np.testing.assert_allclose(got.xy, wanted.xy, atol=1e-4)
    blind = look('second', seen)  # Of the whole picture it would say something else.
    other = keypoints.join(first, blind, threshold=method.erase_threshold)
    assert (other.xy != both.xy).any()


@pytest.mark.parametrize('fusion', ['proposals', 'lists', 'first'])
def test_predictions_are_keypoints_inside_the_picture(trained, fusion):
    _, workdir = trained
    loaded = inference.load(workdir, [f'method.fusion={fusion}'])
    source = Squares()
    got = inference.predict_rows(loaded, source, 6, batch_size=3).prediction
    xy = got.keypoints.xy[got.keypoints.valid]
    assert len(xy)
    assert ((xy >= 0) & (xy < source.size)).all()
    assert got.class_logits.shape == (6, 3)
    assert ((got.feature_entropy >= 0) & (got.feature_entropy <= np.log(16))).all()


def test_fusion_of_the_first_net_alone_is_its_own_prediction(trained):
    outcome, workdir = trained
    alone = inference.load(workdir, ['method.fusion=first'])
    without = alone._replace(variables={'first': outcome.variables['first']})
    images = np.stack([Squares()[i]['image'] for i in range(3)])
    got, want = (inference.predict_images(t, images) for t in (alone, without))
    np.testing.assert_array_equal(got.keypoints.xy, want.keypoints.xy)


def test_evaluation(trained, monkeypatch):
    monkeypatch.setattr(data, 'build', lambda *args, **options: Squares())
    found = evaluate.evaluate(inference.load(trained[1]))
    for column in ('metrics', 'untrained'):
        assert {'top1_accuracy', 'feature_entropy', 'greedy_pck@0.1_kp5',
                'greedy_pck_random@0.1'} <= set(found[column])  # fmt: skip
    assert not found['skipped']


@pytest.mark.slow
def test_it_learns_colours(tmp_path):
    learnt = train(settings(
        'phases.classify.steps=60', 'phases.classify.optimizer.lr=0.02',
        'phases.mask_out.steps=1', 'run.log_every=60', 'run.checkpoint_every=60',
    ), Squares(), tmp_path)  # fmt: skip
    assert learnt.finished
    split = inference.predict_rows(
        inference.load(tmp_path), Squares(), 24, batch_size=8
    )
    right = split.prediction.class_logits.argmax(axis=-1) == split.truth['label']
    assert right.mean() > 0.9


# Bad input.


def test_pictures_without_classes(tmp_path):
    with pytest.raises(UserError, match='lmpnet learns from class labels: sort'):
        train(settings(), Unlabelled(), tmp_path)
    method = methods.build(settings().method)
    with pytest.raises(ValueError, match='one folder a class'):
        method.phases(settings().to_dict())[0].init(
            jax.random.key(0), {'image': np.zeros((2, 36, 36, 3), np.uint8)}, None
        )


@pytest.mark.parametrize('label', [[-1], [3]])
def test_labels_that_are_no_class(tmp_path, label):
    with pytest.raises(UserError, match=rf'0..2, 1 of 24 are not, {label[0]} say'):
        train(settings(), Squares(label=label), tmp_path)


def test_labels_that_are_known_too_late():
    """Of sources that say them picture by picture: the loss is not finite."""
    module, images = (
        Classifier(backbones.build('resnet18', width=2), 3),
        jnp.ones((2, 16, 16, 3)),
    )
    variables = jax.jit(module.init)(jax.random.key(0), images)
    update = {'net': optax.sgd(0.1)}
    learn = lambda classes: classification.learn_classes(
        classification.Network('resnet18', 2), module, update,
        learning.start({'net': variables}, update), images, jnp.array(classes),
    )[1]['loss']  # fmt: skip
    learn = jax.jit(learn)
    assert np.isnan(learn([0, -1])) and np.isnan(learn([0, 3]))
    assert np.isfinite(learn([0, 1]))


def test_the_second_phase_alone():
    only = settings().to_dict()
    del only['phases']['classify']
    method = methods.build(settings().method)
    with pytest.raises(ValueError, match='mask_out needs the phase classify'):
        jax.eval_shape(
            lambda: method.phases(only)[0].init(jax.random.key(0), _batch(), None)
        )
    with pytest.raises(ValueError, match=r"one of .*'mask_out'.* got 'train'"):
        method.phases({'phases': {'train': only['phases']['mask_out']}})


def test_nothing_fires(trained):
    outcome, workdir = trained
    loaded = inference.load(workdir)
    dead = jax.tree.map(np.zeros_like, outcome.variables)
    got = inference.predict_images(
        loaded._replace(variables=dead), np.zeros((2, 36, 36, 3), np.uint8)
    )
    assert not got.keypoints.valid.any()
    assert np.isfinite(got.keypoints.xy).all()
    assert got.feature_entropy.tolist() == [0, 0]


def _batch():
    return {'image': jnp.zeros((2, 36, 36, 3), jnp.uint8), 'label': jnp.zeros(2, int),
            'index': jnp.arange(2)}  # fmt: skip


def test_frozen_statistics_stay():
    section = settings('method.network.frozen_statistics=True')
    phase = methods.build(section.method).phases(section.to_dict())[0]
    state = jax.jit(phase.init)(jax.random.key(0), _batch(), None)
    after, _ = jax.jit(phase.step)(state, _batch(), {}, jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, after.variables['first']['batch_stats'],
                 state.variables['first']['batch_stats'])  # fmt: skip


@pytest.mark.parametrize(
    ('backbone', 'stage', 'last', 'next_one'),
    [
        ('resnet18', 'stage2', 'layer2_1', 'layer3_0'),
        pytest.param(
            'efficientnet_lite0',
            'stage5',
            'blocks_10',
            'blocks_11',
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_is_frozen_stays(backbone, stage, last, next_one):
    lines = ('backbone=' + backbone, 'frozen=' + stage, 'small_stem=False')
    section = settings(*(f'method.network.{line}' for line in lines))
    section.phases.classify.optimizer = {
        'name': 'sgd',
        'lr': 0.1,
        'l2': 0.1,
        'trunk': 0.5,
    }
    phase = methods.build(section.method).phases(section.to_dict())[0]
    before = jax.jit(phase.init)(jax.random.key(0), _batch(), None)
    after, _ = jax.jit(phase.step)(before, _batch(), {}, jax.random.key(1))
    frozen = methods.build(section.method).classifier.backbone.frozen_modules
    assert last in frozen
    assert next_one not in frozen
    for kind in ('params', 'batch_stats'):
        old, new = (
            state.variables['first'][kind]['backbone']['net']
            for state in (before, after)
        )
        equal = jax.tree.map(np.array_equal, old, new)
        same = {name for name, tree in equal.items() if all(jax.tree.leaves(tree))}
        assert same == set(old) & set(frozen)

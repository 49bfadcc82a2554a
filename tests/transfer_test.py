"""Networks of one run as the features of another."""

import jax
import numpy as np
import pytest

from kpdiscovery import config, inference, methods, transfer
from kpdiscovery.training import checkpoints
from kpdiscovery.types import State, UserError


def start(wanted):
    """The first state of a run."""
    phase = methods.build(wanted.method).phases(wanted.to_dict())[0]
    size = wanted.data.size
    batch = {'image': np.zeros((1, size, size, 3), np.uint8), 'label': np.zeros(1, int)}
    return jax.jit(lambda: phase.init(jax.random.key(0), batch, None))()


def keep(wanted, state, workdir):
    """What a run that ends in this state leaves."""
    with checkpoints.Checkpoints(workdir, wanted.to_dict()) as kept:
        meta = {'number': 0, 'phase': 'train', 'step': 1, 'seconds': 0.0}
        kept.save(1, checkpoints.Snapshot(state, {}, {}), meta)
    return workdir


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
    """Workdir of an LMPNet."""
    wanted = config.load('lmpnet/critters:smoke', ['method.num_classes=3'])
    return keep(wanted, start(wanted), tmp_path_factory.mktemp('lmpnet'))


def settings(*overrides):
    return config.load('feature_alignment/critters:smoke', [
        'data.size=32', 'method.features.backbone=resnet18',
        'method.features.map=stage4', *overrides,
    ])  # fmt: skip


def test_a_classifiers_backbone_becomes_the_features(classifier, tmp_path):
    wanted = settings(f'method.features.weights={classifier}')
    transfer.settle(wanted, methods.build(wanted.method), tmp_path)
    section = wanted.method.features
    assert section.weights == str(tmp_path / 'features.weights.safetensors')
    assert (section.width, section.last_stride, section.small_stem) == (4, 1, True)
    own = start(wanted).variables['features']
    first = inference.load(classifier).variables['first']
    jax.tree.map(
        np.testing.assert_array_equal, own['params'], first['params']['backbone']
    )
    jax.tree.map(
        np.testing.assert_array_equal, own['batch_stats'],
        first['batch_stats']['backbone'],
    )  # fmt: skip


def test_files_and_other_methods_are_left_alone(tmp_path):
    for wanted in (settings('method.features.weights=some.safetensors'),
                   settings(), config.load('lmpnet/critters:smoke')):  # fmt: skip
        before = wanted.to_dict()
        transfer.settle(wanted, methods.build(wanted.method), tmp_path)
        assert wanted.to_dict() == before


def test_a_run_without_a_classifier_is_told(tmp_path):
    wanted = settings()
    keep(wanted, State(np.int32(1), {'parts': {}}, {}), tmp_path)
    again = settings(f'method.features.weights={tmp_path}')
    with pytest.raises(UserError, match='a feature_alignment run has no classifier'):
        transfer.settle(again, methods.build(again.method), tmp_path / 'other')

"""Networks of one run as the features of another."""

import jax
import numpy as np
import pytest

from kpdiscovery import config, inference, methods, transfer
from kpdiscovery.training import loop
from kpdiscovery.types import UserError
from tests.methods.weak_labels import Squares, Unlabelled, train


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
    """Workdir of an LMPNet of two steps a phase."""
    workdir = tmp_path_factory.mktemp('lmpnet')
    wanted = config.load('lmpnet/critters:smoke', ['mesh.data=1'])
    train(wanted, Squares(), workdir)
    return workdir


def settings(*overrides):
    return config.load('feature_alignment/critters:smoke', [
        'mesh.data=1', 'data.size=36', 'method.features.backbone=resnet18',
        'method.features.map=stage4', *overrides,
    ])  # fmt: skip


def test_a_classifiers_backbone_becomes_the_features(classifier, tmp_path):
    wanted = settings(f'method.features.weights={classifier}')
    transfer.settle(wanted, methods.build(wanted.method), tmp_path)
    section = wanted.method.features
    assert section.weights == str(tmp_path / 'features.weights.safetensors')
    assert (section.width, section.last_stride, section.small_stem) == (4, 1, True)
    method = methods.build(wanted.method)
    outcome = loop.train(method, wanted.to_dict(), Unlabelled(), tmp_path)
    own = outcome.variables['features']
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


def test_a_run_without_a_classifier_is_told(classifier, tmp_path):
    wanted = settings(f'method.features.weights={classifier}')
    train(wanted, Unlabelled(), tmp_path)
    again = settings(f'method.features.weights={tmp_path}')
    with pytest.raises(UserError, match='a feature_alignment run has no classifier'):
        transfer.settle(again, methods.build(again.method), tmp_path / 'other')

"""The network section: which backbones there are, and what a run hands on of one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from kpdiscovery.methods.classification import Network
from kpdiscovery.methods.feature_alignment.features import Features, classifier_of_run
from kpdiscovery.models import published, weights
from kpdiscovery.types import Run
from tests.models import torch_efficientnet

LITE0 = Network('efficientnet_lite0', width=4)
IMAGE = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)


@pytest.mark.parametrize(('last_stride', 'side'), [(2, 2), (1, 4)])
def test_a_classifier_pools_the_head(last_stride, side):
    network = dataclasses.replace(LITE0, last_stride=last_stride)
    classifier = network.classifier(3, pooling='leaky_max')
    key = jax.random.key(0)
    seen, variables = jax.eval_shape(classifier.init_with_output, key, IMAGE)
    assert seen.features.shape == (1, side, side, 80) and seen.logits.shape == (1, 3)
    assert classifier.stride == 64 // side
    assert variables['params']['classifier']['kernel'].shape == (80, 3)


def test_published_weights_are_the_trunk(tmp_path):
    content = torch_efficientnet.tensors(classes=1000)
    save_file(content, tmp_path / 'w.safetensors')
    network = dataclasses.replace(LITE0, weights=str(tmp_path / 'w.safetensors'))
    fresh = _Fresh(published.like(network.classifier(3)))
    variables = network.init(jax.random.key(0), fresh, None)
    stem = variables['params']['backbone']['net']['conv_stem']['kernel']
    want = content['_conv_stem.weight'].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(stem, want)
    assert not np.any(variables['params']['classifier']['kernel'])


@dataclasses.dataclass
class _Fresh:
    """A module whose variables begin as zeros: initialisers take seconds to compile."""

    like: dict

    def init(self, key, images):
        return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), self.like)


@pytest.mark.parametrize(
    ('weights_name', 'zero'), [('efficientnet_lite0', True), ('', False)]
)
def test_a_new_linear_layer_does_not_disturb_a_pretrained_trunk(weights_name, zero):
    model = Network('efficientnet_lite0', weights=weights_name).classifier(3)
    kernel = _small(model).init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    assert zero == (not kernel['params']['classifier']['kernel'].any())


def _small(model):
    return model.clone(backbone=Network('efficientnet_lite0', width=4).build())


def test_features_read_the_backbone_of_a_run_up_to_their_map(tmp_path):
    variables = _Fresh(published.like(LITE0.classifier(3))).init(None, None)
    method = {'network': dataclasses.asdict(LITE0)}
    tree, shape = classifier_of_run(Run('lmpnet', method, {'first': variables}))
    weights.save(tmp_path / 'own.safetensors', tree)
    path = str(tmp_path / 'own.safetensors')
    features = Features(map='stage3', weights=path, **shape)
    images = np.zeros((1, 32, 48, 3), np.float32)
    loaded = features.init(jax.random.key(0), images)
    assert 'blocks_4' in loaded['params']['net']
    assert 'blocks_5' not in loaded['params']['net']
    assert jax.eval_shape(features.extract, loaded, images).shape == (1, 4, 6, 2)


def test_maps_and_backbones_that_there_are_not():
    with pytest.raises(ValueError, match=r"map must be one of \('stem', .*'pool4'"):
        Features('efficientnet_lite0')
    with pytest.raises(ValueError, match="ResNet or efficientnet_lite0, got 'vgg16'"):
        Network('vgg16')
    with pytest.raises(ValueError, match='has no small_stem'):
        Network('efficientnet_lite0', small_stem=True)

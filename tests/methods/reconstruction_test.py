import jax
import numpy as np
import pytest

from kpdiscovery.methods import reconstruction
from kpdiscovery.models import backbones, weights
from kpdiscovery.types import UserError


def pictures(seed):
    return np.random.default_rng(seed).random((2, 4, 4, 3), np.float32)


def test_squared_error_needs_no_network():
    assert reconstruction.networks('mse', '') == {}
    got = reconstruction.loss('mse', {}, pictures(0), pictures(1))
    want = ((pictures(0) - pictures(1)) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_the_perceptual_loss_looks_through_the_network_of_the_file(
    tmp_path, monkeypatch
):
    tiny = backbones.build('vgg16', width=1, taps=('relu1_1',))
    monkeypatch.setattr(reconstruction, '_VGG', tiny)
    params = {'conv1_1': {'kernel': np.zeros((3, 3, 3, 1)), 'bias': np.zeros(1)}}
    params['conv1_1']['kernel'][1, 1, 0] = 0.229  # Normalisation divides red by it.
    params['conv1_1']['bias'] += 0.485
    weights.save(tmp_path / 'vgg.safetensors', params, weights.vgg16_table())
    frozen = reconstruction.networks('perceptual', str(tmp_path / 'vgg.safetensors'))
    assert list(frozen) == ['vgg']
    light = np.full((2, 4, 4, 3), 0.25, np.float32)
    compare = jax.jit(
        lambda *pair: reconstruction.loss('perceptual', frozen, *pair).sum()
    )
    np.testing.assert_allclose(compare(light, 2 * light), 2 * 0.25, rtol=1e-4)


def test_the_perceptual_loss_asks_for_its_weights():
    with pytest.raises(UserError, match='vgg_weights=FILE'):
        reconstruction.networks('perceptual', '')

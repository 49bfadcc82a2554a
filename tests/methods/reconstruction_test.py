import types

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from kpdiscovery.methods import reconstruction
from kpdiscovery.models import backbones, weights
from kpdiscovery.types import UserError
from tests.models import torch_efficientnet


def method(kind='perceptual', network='vgg16', file=''):
    return types.SimpleNamespace(
        reconstruction=kind, perceptual=network, perceptual_weights=str(file)
    )


def pictures(seed, side=4):
    return np.random.default_rng(seed).random((2, side, side, 3), np.float32)


def replaced(monkeypatch, name, backbone):
    """A small network in the place of the one of a name."""
    known = reconstruction.NETWORKS[name]
    monkeypatch.setitem(
        reconstruction.NETWORKS, name, known._replace(backbone=backbone)
    )


def test_squared_error_needs_no_network():
    assert reconstruction.networks(method('mse')) == {}
    assert reconstruction.weight_files(method('mse')) == ()
    got = reconstruction.loss(method('mse'), {}, pictures(0), pictures(1))
    want = ((pictures(0) - pictures(1)) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_the_perceptual_loss_looks_through_the_network_of_the_file(
    tmp_path, monkeypatch
):
    tiny = backbones.build('vgg16', width=1, taps=('relu1_1',))
    replaced(monkeypatch, 'vgg16', tiny)
    params = {'conv1_1': {'kernel': np.zeros((3, 3, 3, 1)), 'bias': np.zeros(1)}}
    params['conv1_1']['kernel'][1, 1, 0] = 0.229  # Normalisation divides red by it.
    params['conv1_1']['bias'] += 0.485
    weights.save(tmp_path / 'vgg.safetensors', params, weights.vgg16_table())
    mine = method(file=tmp_path / 'vgg.safetensors')
    frozen = reconstruction.networks(mine)
    assert list(frozen) == ['perceptual']
    light = np.full((2, 4, 4, 3), 0.25, np.float32)
    compare = jax.jit(lambda *pair: reconstruction.loss(mine, frozen, *pair).sum())
    np.testing.assert_allclose(compare(light, 2 * light), 2 * 0.25, rtol=1e-4)


def test_small_networks_are_compared_by_the_last_map_of_each_stride(
    tmp_path, monkeypatch
):
    taps = reconstruction.NETWORKS['efficientnet_lite0'].backbone.net.taps
    tiny = backbones.build('efficientnet_lite0', width=4, taps=taps)
    assert list(tiny.strides.values()) == [2, 4, 8, 16]
    replaced(monkeypatch, 'efficientnet_lite0', tiny)
    path = tmp_path / 'lite0.safetensors'
    save_file(torch_efficientnet.tensors(), path)
    mine = method(network='efficientnet_lite0', file=path)
    pair = pictures(0, 112), pictures(1, 112)
    frozen = reconstruction.networks(mine)
    got, maps = jax.jit(
        lambda *pair: (
            reconstruction.loss(mine, frozen, *pair),
            [tiny.apply(frozen['perceptual'], images) for images in pair],
        )
    )(*pair)
    gaps = [np.abs(maps[0][t] - maps[1][t]).mean((1, 2, 3)) for t in taps]
    np.testing.assert_allclose(got, np.sum(gaps, axis=0) / 5, rtol=1e-4)


@pytest.mark.parametrize('name', reconstruction.NETWORKS)
def test_without_a_file_it_is_the_one_of_the_networks_name(name):
    (file,) = reconstruction.weight_files(method(network=name))
    assert (file.field, file.path) == ('perceptual_weights', name)


def test_the_perceptual_loss_asks_for_its_weights():
    with pytest.raises(UserError, match=r'weights no\.st: there is no such file'):
        reconstruction.networks(method(file='no.st'))

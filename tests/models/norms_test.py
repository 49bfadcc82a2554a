"""Batch norm by every device's own rows, against Flax's on each share by itself."""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType

from kpdiscovery.compiled import hlo
from kpdiscovery.methods import learning
from kpdiscovery.methods.classification import Network, learn_classes
from kpdiscovery.models import backbones
from kpdiscovery.models.classifier import Classifier
from kpdiscovery.models.norms import ChipNorm, batch_norm
from kpdiscovery.models.resnet import ResNet
from kpdiscovery.models.superpoint import SuperPoint
from kpdiscovery.models.weight_map import WeightMap
from kpdiscovery.training import sharding

CHIPS = 8
OPTIONS = {'momentum': 0.7, 'epsilon': 1e-2}
PLAIN = nn.BatchNorm(use_running_average=False, **OPTIONS)


@pytest.fixture
def variables(rng):
    draw = lambda: rng.uniform(0.5, 1.5, 5)
    return {'params': {'scale': draw(), 'bias': draw()},
            'batch_stats': {'mean': draw(), 'var': draw()}}  # fmt: skip


def run(norm, variables, x, weights):
    """Output, statistics, and gradients of a weighted sum."""

    def loss(params, x):
        every = {**variables, 'params': params}
        out, fresh = norm.apply(every, x, mutable=['batch_stats'])
        return (weights * out**2).sum(), (out, fresh['batch_stats'])

    grads, aux = jax.grad(loss, (0, 1), has_aux=True)(variables['params'], x)
    return *aux, *grads


@pytest.mark.parametrize('chips', [CHIPS, 1])
def test_each_chip_by_itself(chips, variables, rng):
    x, weights = rng.normal(2, 3, (2, 16, 3, 2, 5))
    norm = batch_norm('chip', train=True, name=None, dtype=jnp.float64, **OPTIONS)
    step = jax.jit(functools.partial(run, norm))
    with jax.enable_x64(True):
        shares = [run(PLAIN, variables, *both) for both in
                  zip(np.split(x, chips), np.split(weights, chips), strict=True)]  # fmt: skip
        mesh = jax.make_mesh((chips,), ('data',), (AxisType.Auto,))
        with jax.set_mesh(mesh):
            placed = jax.device_put((x, weights), sharding.by_rows(mesh))
            got = step(variables, *placed)
        shares, got = jax.device_get((shares, got))
    close = functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-6)
    # Of output, running statistics, and the gradients of parameters and of the input.
    joined = (np.concatenate, _mean, _total, np.concatenate)
    for number, join in enumerate(joined):
        want = jax.tree.map(
            lambda *leaves, join=join: join(leaves), *[one[number] for one in shares]
        )
        jax.tree.map(close, got[number], want)


def _mean(leaves):
    return sum(leaves) / len(leaves)


def _total(leaves):
    return sum(leaves)


def test_otherwise_it_is_flaxs(variables, rng):
    x = rng.normal(size=(8, 2, 5)).astype(np.float32)
    assert type(batch_norm('all', train=True, name=None)) is nn.BatchNorm
    seen = [batch_norm(kind, train=False, name=None) for kind in ('all', 'chip')]
    first, second = (norm.apply(variables, x) for norm in seen)
    np.testing.assert_allclose(first, second, rtol=1e-5)
    like = [jax.eval_shape(norm.init, jax.random.key(0), x) for norm in seen]
    assert like[0] == like[1]
    half = batch_norm('chip', train=True, name=None, dtype=jnp.bfloat16)
    out, _ = half.apply(variables, x, mutable=['batch_stats'])
    assert out.dtype == jnp.bfloat16
    with pytest.raises(ValueError, match=r"one of \('all', 'chip'\), got 'chips'"):
        batch_norm('chips', train=True, name=None)
    with pytest.raises(ValueError, match="statistics must be .* got 'chips'"):
        Network('resnet18', statistics='chips')


LITE0 = backbones.build(
    'efficientnet_lite0', width=4, taps=('stage2',), statistics='chip'
)
RESNET = backbones.Backbone(ResNet((1, 1, 1, 1), width=4, statistics='chip'))


@pytest.mark.parametrize('net, channels', [
    (LITE0, 3), (WeightMap(RESNET, statistics='chip'), 3),
    (SuperPoint((4, 4, 4, 4), 4, 4, statistics='chip'), 1),
])  # fmt: skip
def test_networks_have_one_kind(net, channels):
    met = set()

    def look(call, args, kwargs, context):
        met.add(type(context.module))
        return call(*args, **kwargs)

    images = jax.ShapeDtypeStruct((1, 32, 32, channels), jnp.float32)
    with nn.intercept_methods(look):
        jax.eval_shape(
            functools.partial(net.init, train=True), jax.random.key(0), images
        )
    assert ChipNorm in met and nn.BatchNorm not in met


def test_a_step_adds_up_gradients_and_running_statistics_only():
    found = sums(compiled_step('chip'))
    assert any('transpose(jvp(Classifier))' in name for name in found)
    loss = 'jit(learn_classes)/jvp()/'
    assert all(name.startswith(loss) or '_follow' in name or 'transpose' in name
               for name in found), found  # fmt: skip


@pytest.mark.slow
def test_a_step_adds_up_five_times_as_often_with_statistics_of_all():
    few, many = (len(sums(compiled_step(kind))) for kind in ('chip', 'all'))
    assert 5 * few < many


def compiled_step(statistics):
    """Of a small classifier, the batch split over eight devices."""
    net = ResNet((1, 1, 1, 1), width=2, small_stem=True, statistics=statistics)
    module = Classifier(backbones.Backbone(net), 3)
    images = np.zeros((CHIPS, 16, 16, 3), np.float32)
    update = {'net': optax.sgd(0.1)}
    init = lambda key: learning.start({'net': module.init(key, images)}, update)
    step = functools.partial(learn_classes, Network('resnet18'), module, update)
    mesh = jax.make_mesh((CHIPS,), ('data',), (AxisType.Auto,))
    with jax.set_mesh(mesh):
        everywhere, rows = sharding.replicated(mesh), sharding.by_rows(mesh)
        state = jax.eval_shape(init, jax.random.key(0))
        place = lambda leaf, where: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=where
        )
        state = jax.tree.map(lambda leaf: place(leaf, everywhere), state)
        label = np.zeros(CHIPS, np.int32)
        batch = (place(images, rows), place(label, rows))
        return jax.jit(step, out_shardings=everywhere).lower(state, *batch).compile()


def sums(compiled):
    """Names of the operations whose results are added up over devices."""
    found = [op for op in hlo.operations(compiled.as_text()) if 'all-' in op.opcode]
    return [re.search(r'op_name="([^"]*)"', op.text)[1] for op in found]

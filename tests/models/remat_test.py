"""Gradient checkpointing: the same numbers, with less kept for the gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery import methods
from kpdiscovery.models import hourglass, unet

NETWORKS = {
    'unet': lambda remat: unet.UNet(2, width=4, levels=2, groups=2, remat=remat),
    'trunk': lambda remat: hourglass.Trunk(8, depth=1, groups=1, remat=remat),
    'head': lambda remat: hourglass.Head(3, 8, groups=1, remat=remat),
}
IMAGE = jax.ShapeDtypeStruct((1, 16, 16, 8), jnp.float32)


def loss(network, variables, image):
    return jnp.sum(network.apply(variables, image) ** 2)


@pytest.mark.parametrize('name', NETWORKS)
def test_less_is_kept_and_the_parameters_are_the_same(name):
    kept, parameters = [], []
    for remat in (False, True):
        network = NETWORKS[name](remat)
        shapes = jax.eval_shape(network.init, jax.random.key(0), IMAGE)
        pull = lambda v, x, net=network: jax.vjp(lambda v: loss(net, v, x), v)[1]
        left = jax.tree.leaves(jax.eval_shape(pull, shapes, IMAGE))
        kept.append(sum(leaf.size for leaf in left))
        parameters.append(shapes)
    assert parameters[0] == parameters[1]
    assert kept[1] < 0.7 * kept[0]


def test_gradients_are_the_same():
    image = jax.random.uniform(jax.random.key(0), IMAGE.shape)
    variables = NETWORKS['head'](False).init(jax.random.key(1), image)
    got, want = (
        jax.jit(jax.grad(loss, argnums=1), static_argnums=0)(
            NETWORKS['head'](remat), variables, image
        )
        for remat in (True, False)
    )
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_it_is_a_setting_of_both_methods():
    needed = {'num_keypoints': 2, 'num_prototypes': 2, 'window': 3}
    tusk = methods.build({'name': 'tusk', 'remat': True, **needed})
    assert tusk.encoder.remat and tusk.decoder.remat
    landmarks = methods.build({'name': 'self_training', 'network': {'remat': True}})
    assert landmarks.network.remat

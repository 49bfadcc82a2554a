"""How far a decoded picture is from the true one, by squares or in a network's features.

Methods that decode have three fields for it: `reconstruction`, one of `KINDS`;
`perceptual`, one of `NETWORKS`; and `perceptual_weights`, the network's file, '' being the
one of the network's name in the user's cache. What `networks` gives belongs in their
variables.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax

from kpdiscovery import losses
from kpdiscovery.losses.perceptual import Features, perceptual
from kpdiscovery.models import backbones, vgg
from kpdiscovery.types import WeightFile

KINDS = ('mse', 'perceptual')


class Network(NamedTuple):
    """Frozen maps, those of strides 2 to 16."""

    backbone: backbones.Backbone
    scale: float  # What the maps are divided by.
    side: int  # Pixels of the longer side of what it sees.

    def extract(self, variables: Any, images: jax.Array) -> Features:
        """Maps by name of pictures `[B, H, W, 3]` in [0, 1]."""
        maps: Any = self.backbone.apply(variables, images)
        return {name: value / self.scale for name, value in maps.items()}


_LITE0 = ('stage1', 'stage2', 'stage3', 'stage5')
NETWORKS: dict[str, Network] = {
    # Stages end without activation: absolute values are 3.3 to 6.7 on average, on faces
    # and animals of 40 and 128 px. Divided, the loss of two pictures of different things
    # is 4 to 6, of a picture and a blurred one 2.6 to 4.4, and all four maps matter. So
    # they are at 224 px, for four times the work.
    'efficientnet_lite0': Network(
        backbones.build('efficientnet_lite0', taps=_LITE0), scale=5.0, side=112
    ),
    'vgg16': Network(
        backbones.build('vgg16', taps=vgg.PERCEPTUAL_TAPS), scale=1.0, side=224
    ),
}


def weight_files(method: Any) -> tuple[WeightFile, ...]:
    """What a method with these fields declares."""
    if method.reconstruction == 'mse':
        return ()
    backbone = NETWORKS[method.perceptual].backbone
    check = functools.partial(backbones.load, backbone=backbone)
    return (WeightFile('perceptual_weights', _file(method), check),)


def networks(method: Any) -> dict[str, Any]:
    """Frozen variables that the loss needs, by name: none for 'mse'.

    Raises:
        UserError: as `models.backbones.load`.
    """
    if method.reconstruction == 'mse':
        return {}
    backbone = NETWORKS[method.perceptual].backbone
    return {'perceptual': backbones.load(_file(method), backbone)}


def loss(
    method: Any, variables: Any, picture: jax.Array, target: jax.Array
) -> jax.Array:
    """Error of `[B, H, W, 3]` pictures in [0, 1]: `[B]`."""
    if method.reconstruction == 'mse':
        return losses.squared_error(picture, target)
    frozen = jax.lax.stop_gradient(variables['perceptual'])
    network = NETWORKS[method.perceptual]
    extract = functools.partial(network.extract, frozen)
    return perceptual(picture, target, extract, side=network.side)


def _file(method):
    return method.perceptual_weights or method.perceptual

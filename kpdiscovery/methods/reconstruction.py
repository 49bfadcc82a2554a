"""How far a decoded picture is from the true one, by squares or in VGG-16's features.

Methods that decode have two fields for it, `reconstruction`, one of `KINDS`, and
`vgg_weights`, a file with torchvision's names. What `networks` gives belongs
in their variables.
"""

from __future__ import annotations

import functools
from typing import Any

import jax

from kpdiscovery import losses
from kpdiscovery.losses.perceptual import perceptual
from kpdiscovery.models import backbones, vgg
from kpdiscovery.types import UserError, WeightFile

KINDS = ('mse', 'perceptual')
_VGG = backbones.build('vgg16', taps=vgg.PERCEPTUAL_TAPS)


def weight_files(kind: str, vgg_weights: str) -> tuple[WeightFile, ...]:
    """What a method with these fields declares."""
    if kind == 'mse':
        return ()
    check = functools.partial(backbones.load, backbone=_VGG)
    missing = 'the perceptual loss needs VGG-16'
    return (WeightFile('vgg_weights', vgg_weights, check, missing),)


def networks(kind: str, vgg_weights: str) -> dict[str, Any]:
    """Frozen variables that the loss needs, by name: none for 'mse'.

    Raises:
        UserError: no weights named, or as `models.backbones.load`.
    """
    if kind == 'mse':
        return {}
    if not vgg_weights:
        raise UserError(
            "reconstruction='perceptual' needs VGG16 weights: "
            '--config.method.vgg_weights=vgg16-397923af.pth (torchvision key names)'
        )
    return {'vgg': backbones.load(vgg_weights, _VGG)}


def loss(kind: str, variables: Any, picture: jax.Array, target: jax.Array) -> jax.Array:
    """Error of `[B, H, W, 3]` pictures in [0, 1]: `[B]`."""
    if kind == 'mse':
        return losses.squared_error(picture, target)
    frozen = jax.lax.stop_gradient(variables['vgg'])
    extract: Any = functools.partial(_VGG.apply, frozen)
    return perceptual(picture, target, extract)

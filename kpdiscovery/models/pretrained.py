"""What network the weights in a file are of."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
from flax import traverse_util

from kpdiscovery.models import (
    backbones,
    efficientnet,
    published,
    resnet,
    resnet_weights,
    superpoint,
    weights,
    xfeat,
)
from kpdiscovery.types import UserError

_PARTS = 8  # Of a name, between dots; ours have fewer.


class Contents(NamedTuple):
    """What a file of weights holds, every tensor of the network being there."""

    name: str  # One of `backbones.NAMES`, 'superpoint' or 'xfeat'.
    parameters: int  # Statistics included.


def inspect(path: str | os.PathLike) -> Contents:
    """The network whose weights a file has, loaded to see that they fit.

    Raises:
        UserError: no file of weights, of no network that we have, or the tensor that
            is missing or of another shape.
    """
    there = {end for key in weights.shapes(path) for end in _endings(key)}
    found = [(_agreement(wanted(), there), name) for name, wanted in _TENSORS]
    score, name = max(found)
    if score <= 0:
        known = ', '.join(dict.fromkeys(name for name, _ in _TENSORS))
        raise UserError(f'weights {path}: of none of the networks {known}')
    parameters = jax.tree.leaves(_load(path, name))
    return Contents(name, sum(leaf.size for leaf in parameters))


def _load(path, name):
    if name == 'superpoint':
        return superpoint.load(path)[1]
    if name == 'xfeat':
        return xfeat.load(path)
    return backbones.load(path, backbones.build(name))


def _endings(key: str) -> Iterable[str]:
    """'a.b.c' -> 'a.b.c', 'b.c', 'c': files may put a prefix before every name."""
    parts = key.split('.')[-_PARTS:]
    return ('.'.join(parts[i:]) for i in range(len(parts)))


def _agreement(wanted: set[str], there: set[str]) -> int:
    """Tensors found less those missing: small networks are parts of larger ones."""
    return len(wanted & there) - len(wanted - there)


def _keys(table: Mapping[str, weights.Entry]) -> set[str]:
    return {entry.key for entry in table.values()}


@functools.cache
def _resnet(name: str) -> set[str]:
    model: Any = resnet.make(name, num_classes=0)
    return _keys(published.table(resnet_weights.FAMILY, published.like(model)))


def _efficientnet() -> set[str]:
    like = published.like(efficientnet.EfficientNet())
    return _keys(published.table(efficientnet.FAMILY, like))


def _own_superpoint() -> set[str]:
    like = superpoint.like(superpoint.SuperPoint())
    return set(traverse_util.flatten_dict(like, sep='/'))


_TENSORS: tuple[tuple[str, Callable[[], set[str]]], ...] = (  # Their names, by network.
    *((name, functools.partial(_resnet, name)) for name in resnet.SHAPES),
    ('efficientnet_lite0', _efficientnet),
    ('vgg16', lambda: _keys(weights.vgg16_table())),
    ('superpoint', lambda: _keys(superpoint.table())),  # The public file's.
    ('superpoint', _own_superpoint),
    ('xfeat', lambda: _keys(xfeat.table())),
)

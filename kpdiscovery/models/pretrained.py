"""Pretrained weights: where they are published, and what is in a file.

Nothing is downloaded here, and torch's own files, which are pickles, are not read: they
are converted once, in any environment that has torch and safetensors (`CONVERT`).
"""

from __future__ import annotations

import functools
import hashlib
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
)
from kpdiscovery.types import UserError

URL = 'https://download.pytorch.org/models/'
PUBLISHED = (  # Backbone, file (after the '-' its SHA-256 begins), torchvision's name.
    ('resnet18', 'resnet18-f37072fd.pth', 'IMAGENET1K_V1'),
    ('resnet34', 'resnet34-b627a593.pth', 'IMAGENET1K_V1'),
    ('resnet50', 'resnet50-0676ba61.pth', 'IMAGENET1K_V1'),
    ('resnet50', 'resnet50-11ad3fa6.pth', 'IMAGENET1K_V2'),
    ('resnet101', 'resnet101-63fe2227.pth', 'IMAGENET1K_V1'),
    ('vgg16', 'vgg16-397923af.pth', 'IMAGENET1K_V1'),
)
CONVERT = (
    'python -c "import sys, torch; from safetensors.torch import save_file; '
    "w = torch.load(sys.argv[1], map_location='cpu', weights_only=True); "
    'save_file({k: v.detach().contiguous() for k, v in w.items()}, sys.argv[2])"'
)
_BLOCK = 1 << 20  # Bytes read at a time.


class Contents(NamedTuple):
    """What a file of weights holds, every tensor of the network being there."""

    name: str  # One of `backbones.NAMES`, or 'superpoint'.
    parameters: int  # Statistics included.


def inspect(path: str | os.PathLike) -> Contents:
    """The network whose weights a safetensors file has, loaded to see that they fit.

    Raises:
        UserError: no safetensors file, of no network that we have, or the tensor that
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


def sha256(path: str | os.PathLike) -> str:
    """Hexadecimal digest of a file.

    Raises:
        UserError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, 'rb') as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise UserError(f'weights {path}: {error.strerror or error}') from None
    return digest.hexdigest()


def _load(path, name):
    if name == 'superpoint':
        return superpoint.load(path)[1]
    return backbones.load(path, backbones.build(name))


def _endings(key: str) -> Iterable[str]:
    """'a.b.c' -> 'a.b.c', 'b.c', 'c': files may put a prefix before every name."""
    parts = key.split('.')
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
)

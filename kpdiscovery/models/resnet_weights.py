"""Pretrained ResNets: torchvision's and timm's names for the parameters of `resnet`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

from kpdiscovery.models import published
from kpdiscovery.models.resnet import SHAPES, ResNet, Shape

_BLOCK = re.compile(r'layer(\d)\.(\d+)\.')


def load(path: str | os.PathLike, model: ResNet) -> dict[str, Any]:
    """Variables of `model` from a file with torchvision's or timm's names.

    As `published.load`. To keep the trunk and train a classifier of other classes, load
    with `num_classes=0` and put the result into fresh variables. A file cannot say where
    its bottlenecks halve the resolution: it must be of "v1.5".
    """
    return published.load(FAMILY, path, model, model)


def _key(modules: Sequence[str]) -> str:
    return '.'.join(modules).replace('_', '.')


def _describe(keys: Iterable[str]) -> str:
    """'' where there is no block. One missing tensor does not change the answer."""
    keys = list(keys)
    depths = [0, 0, 0, 0]
    for match in filter(None, map(_BLOCK.match, keys)):
        stage, block = int(match[1]), int(match[2])
        if 1 <= stage <= 4:
            depths[stage - 1] = max(depths[stage - 1], block + 1)
    bottleneck = any(_BLOCK.match(key) and '.conv3.' in key for key in keys)
    blocks = (
        f'{"+".join(map(str, depths))} {"bottleneck" if bottleneck else "basic"} blocks'
    )
    shape = Shape(tuple(depths), bottleneck)
    names = [name for name, known in SHAPES.items() if known == shape]
    if not any(depths):
        return ''
    return f'{names[0]} ({blocks})' if names else f'a ResNet of {blocks}'


FAMILY = published.Family('a ResNet', 'layer1.0', 'fc', _key, _describe)

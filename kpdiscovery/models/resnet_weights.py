"""Pretrained ResNets: torchvision's and timm's names for the parameters of `resnet`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util

from kpdiscovery.models import weights
from kpdiscovery.models.resnet import SHAPES, ResNet, Shape
from kpdiscovery.types import Tree, UserError

_LEAVES = {
    'kernel': 'weight',
    'scale': 'weight',
    'bias': 'bias',
    'mean': 'running_mean',
    'var': 'running_var',
}
_FIRST = re.compile(r'(.*\.)?layer1\.0\.')
_BLOCK = re.compile(r'layer(\d)\.(\d+)\.')
_Shapes = Mapping[str, tuple[int, ...]]  # A file's tensors by name.


def like(model: ResNet) -> Tree:
    """Shapes of the variables: 'params' and 'batch_stats'."""
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    return jax.eval_shape(model.init, jax.random.key(0), image)


def table(variables: Tree, *, prefix: str = '') -> dict[str, weights.Entry]:
    """torchvision's name for every leaf of `variables` (`like`), after `prefix`."""
    flat = traverse_util.flatten_dict(variables, sep='/')
    return {name: _entry(name, prefix) for name in flat}


def load(path: str | os.PathLike, model: ResNet) -> dict[str, Any]:
    """Variables of `model` from a file with torchvision's or timm's names.

    The names may share a prefix ('model.', 'backbone.'), and then what lies outside it
    is ignored; so are `num_batches_tracked`, and the classifier `fc` where the model
    has none. To keep the trunk and train a classifier of other classes, load with
    `num_classes=0` and put the result into fresh variables.

    Returns:
        {'params', 'batch_stats'}, float32, as `model.init` makes them. A file cannot
        say where its bottlenecks halve the resolution: it must be of "v1.5".

    Raises:
        UserError: as `weights.load`; also a file of another architecture or of several
            networks, and tensors that have no place in the model, by name.
    """
    shapes = weights.shapes(path)
    prefix = _prefix(path, shapes)
    variables = like(model)
    entries = table(variables, prefix=prefix)
    inside = {k: s for k, s in shapes.items() if k.startswith(prefix)}
    _check_architecture(path, [key.removeprefix(prefix) for key in inside], model)
    _check_superfluous(path, inside, entries, prefix)
    return weights.load(path, entries, variables)


def _entry(name: str, prefix: str) -> weights.Entry:
    _, *modules, leaf = name.split('/')
    key = '.'.join(modules).replace('_', '.')
    axes = None
    if leaf == 'kernel':
        axes = weights.OI if modules == ['fc'] else weights.OIHW
    return weights.Entry(f'{prefix}{key}.{_LEAVES[leaf]}', axes)


def _prefix(path, keys: Iterable[str]) -> str:
    """What precedes the names of the blocks; '' where there are none."""
    found = sorted({match[1] or '' for match in map(_FIRST.match, keys) if match})
    if len(found) > 1:
        raise UserError(
            f'weights {path}: several ResNets in it, {", ".join(map(repr, found))}; '
            'save the tensors of one of them'
        )
    return found[0] if found else ''


def _check_architecture(path, keys: list[str], model: ResNet) -> None:
    got, want = _architecture(keys), Shape(model.depths, model.bottleneck)
    if got is None:
        raise UserError(f'weights {path}: no tensors of a ResNet (layer1.0...) in it')
    if got != want:
        raise UserError(
            f'weights {path}: the file is of {_describe(got)}, wanted {_describe(want)}'
        )


def _architecture(keys: list[str]) -> Shape | None:
    """Blocks that have any tensor, so that one missing does not change the answer."""
    depths = [0, 0, 0, 0]
    for match in filter(None, map(_BLOCK.match, keys)):
        stage, block = int(match[1]), int(match[2])
        if 1 <= stage <= 4:
            depths[stage - 1] = max(depths[stage - 1], block + 1)
    third = any(_BLOCK.match(key) and '.conv3.' in key for key in keys)
    return Shape(tuple(depths), third) if any(depths) else None


def _describe(shape: Shape) -> str:
    kind = 'bottleneck' if shape.bottleneck else 'basic'
    blocks = f'{"+".join(map(str, shape.depths))} {kind} blocks'
    names = [name for name, known in SHAPES.items() if known == shape]
    return f'{names[0]} ({blocks})' if names else f'a ResNet of {blocks}'


def _check_superfluous(path, shapes: _Shapes, entries: weights.Table, prefix) -> None:
    wanted = {entry.key for entry in entries.values()}
    extra = [
        key
        for key in sorted(shapes)
        if key not in wanted
        and not key.endswith('.num_batches_tracked')
        and not key.startswith(f'{prefix}fc.')
    ]
    # Names that are missing are told first: they explain most of what is superfluous.
    if extra and wanted <= set(shapes):
        raise UserError(
            f'weights {path}: tensor {extra[0]!r} of shape {shapes[extra[0]]} has no '
            f'place in the network ({len(extra)} such); is the file of another one?'
        )

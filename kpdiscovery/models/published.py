"""Networks with batch norm that others trained: their names for our parameters."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util

from kpdiscovery.models import weights
from kpdiscovery.types import Tree, UserError

_LEAVES = {
    'kernel': 'weight',
    'scale': 'weight',
    'bias': 'bias',
    'mean': 'running_mean',
    'var': 'running_var',
}
_Shapes = Mapping[str, tuple[int, ...]]  # A file's tensors by name.


class Family(NamedTuple):
    """What networks of one kind have in common."""

    name: str  # 'a ResNet'.
    first: (
        str  # 'layer1.0', which only files of the kind have; a prefix comes before it.
    )
    classifier: str  # 'fc': left out where the model has none.
    key: Callable[[Sequence[str]], str]  # Names of our modules -> theirs.
    describe: Callable[[Iterable[str]], str]  # Tensors -> the architecture, in words.


def like(model: nn.Module) -> Tree:
    """Shapes of the variables: 'params' and 'batch_stats'."""
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    return jax.eval_shape(model.init, jax.random.key(0), image)


def table(family: Family, variables: Tree, *, prefix='') -> dict[str, weights.Entry]:
    """Their name for every leaf of `variables` (`like`), after `prefix`."""
    flat = traverse_util.flatten_dict(variables, sep='/')
    return {name: _entry(family, name, prefix) for name in flat}


def load(
    family: Family, path: str | os.PathLike, model: nn.Module, whole: nn.Module
) -> dict[str, Any]:
    """Variables of `model`, which may be a part of the `whole` that the file is of.

    The names may share a prefix ('model.', 'backbone.'), and then what lies outside it
    is ignored; so are `num_batches_tracked`, and the classifier where `whole` has none.

    Returns:
        {'params', 'batch_stats'}, float32, as `model.init` makes them.

    Raises:
        UserError: as `weights.load`; also a file of another architecture or of several
            networks, and tensors that have no place in the network, by name.
    """
    shapes = weights.shapes(path)
    prefix = _prefix(path, shapes, family)
    entries = table(family, like(whole), prefix=prefix)
    inside = {k: s for k, s in shapes.items() if k.startswith(prefix)}
    wanted = {entry.key for entry in entries.values()}
    _check_architecture(path, inside, wanted, prefix, family)
    _check_superfluous(path, inside, wanted, f'{prefix}{family.classifier}.')
    return weights.load(path, entries, like(model))


def _entry(family, name, prefix) -> weights.Entry:
    _, *modules, leaf = name.split('/')
    axes = None
    if leaf == 'kernel':
        axes = weights.OI if modules == ['fc'] else weights.OIHW
    return weights.Entry(f'{prefix}{family.key(modules)}.{_LEAVES[leaf]}', axes)


def _prefix(path, keys: Iterable[str], family) -> str:
    """What precedes the names of the blocks; '' where there are none."""
    first = re.compile(rf'(.*\.)?{re.escape(family.first)}\.')
    found = sorted({match[1] or '' for match in map(first.match, keys) if match})
    if len(found) > 1:
        raise UserError(
            f'weights {path}: several networks in it, '
            f'{", ".join(map(repr, found))}; save the tensors of one of them'
        )
    return found[0] if found else ''


def _check_architecture(path, got, wanted, prefix, family) -> None:
    got, wanted = (
        family.describe([key.removeprefix(prefix) for key in keys])
        for keys in (got, wanted)
    )
    if not got:
        raise UserError(
            f'weights {path}: no tensors of {family.name} ({family.first}...) in it'
        )
    if got != wanted:
        raise UserError(f'weights {path}: the file is of {got}, wanted {wanted}')


def _check_superfluous(path, shapes: _Shapes, wanted: set[str], classifier) -> None:
    extra = [
        key
        for key in sorted(shapes)
        if key not in wanted
        and not key.endswith('.num_batches_tracked')
        and not key.startswith(classifier)
    ]
    # Names that are missing are told first: they explain most of what is superfluous.
    if extra and wanted <= set(shapes):
        raise UserError(
            f'weights {path}: tensor {extra[0]!r} of shape {shapes[extra[0]]} has no '
            f'place in the network ({len(extra)} such); is the file of another one?'
        )

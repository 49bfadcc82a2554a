"""Parameters in files: pretrained ones of other libraries, and our own.

A table says which tensor of the file fills which parameter, so importing another
network is one more table. Safetensors and torch's files (`torch_files`) are read alike,
told apart by what is in them; safetensors are written.
"""

import contextlib
import difflib
import logging
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from kpdiscovery.models import torch_files, vgg, zoo
from kpdiscovery.types import Tree, UserError

_LONGEST, _MOST = 256, 1000  # Letters of a name, and names, for the nearest to be told.
_FLOATS = ('F16', 'BF16', 'F32', 'F64')  # As safetensors names them.


class Entry(NamedTuple):
    """Where a parameter lives in a file: the tensor's name and how its axes turn.

    Axis i of our parameter is axis `axes[i]` of the file's tensor; None: the same.
    """

    key: str
    axes: tuple[int, ...] | None = None


OIHW = (2, 3, 1, 0)  # PyTorch's convolution, to our HWIO.
OI = (1, 0)  # PyTorch's linear layer, to our IO.
Table = Mapping[str, Entry]  # {'conv1_1/kernel': Entry('features.0.weight', OIHW)}


def vgg16_table() -> dict[str, Entry]:
    """torchvision's names for `vgg.Vgg16`: `features.N` counts ReLUs and poolings."""
    table, n = {}, 0
    for name, width in vgg.layers():
        conv = name.replace('relu', 'conv')
        if width is not None:
            table[f'{conv}/kernel'] = Entry(f'features.{n}.weight', OIHW)
            table[f'{conv}/bias'] = Entry(f'features.{n}.bias')
        n += 1 if width is None else 2
    return table


def load_vgg16(path: str | os.PathLike, params_like: Tree) -> Tree:
    """`params` of `vgg.Vgg16` from torchvision's VGG-16.

    Args:
        path: the file; classifier tensors in it are ignored.
        params_like: `model.init(...)['params']`, or its `jax.eval_shape`.

    Returns:
        A tree like `params_like`, float32.

    Raises:
        UserError: as `load`.
    """
    return load(path, vgg16_table(), params_like)


def load(path: str | os.PathLike, table: Table | None, like: Tree) -> Tree:
    """Fills a tree with a file's tensors.

    Args:
        path: a safetensors file, or one of torch.
        table: {parameter's path joined by '/': Entry}; entries that `like` lacks are
            skipped. None: the file has our own names, as `save` writes them.
        like: nested dicts of arrays or of `ShapeDtypeStruct`, which give the shapes.

    Returns:
        Nested dicts of float32 arrays on the default device; files in float16,
        bfloat16 or float64 are cast. Tensors not asked for are ignored (debug log).

    Raises:
        UserError: no such file, not a whole file of weights, or a tensor is missing
            or has an unexpected shape or type.
        ValueError: `like` has a parameter without entry.
    """
    want = _flatten(like)
    entries = _entries(want, table)
    with _open(path) as file:
        keys = list(file.keys())
        _check_keys(path, keys, entries)
        for name, entry in entries.items():
            _check_tensor(path, file.get_slice(entry.key), entry, name, want[name])
        _log_unused(path, keys, entries)
        # One tensor at a time, so that the file is never in memory as a whole.
        out = {n: _ours(file.get_tensor(e.key), e) for n, e in entries.items()}
    return traverse_util.unflatten_dict(out, sep='/')


def shapes(path: str | os.PathLike) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a file's tensors.

    Raises:
        UserError: no such file, or not a whole file of weights.
    """
    with _open(path) as file:
        keys = list(file.keys())
        return {key: tuple(file.get_slice(key).get_shape()) for key in keys}


def is_ours(path: str | os.PathLike) -> bool:
    """Whether a file has our own names, as `save` writes them without a table.

    Raises:
        UserError: as `shapes`.
    """
    return any(name.startswith('params/') for name in shapes(path))


def save(
    path: str | os.PathLike,
    params: Tree,
    table: Table | None = None,
    *,
    dtype: Any = jnp.float32,
) -> None:
    """Writes a tree as safetensors; the inverse of `load` with the same table.

    The file appears whole or not at all; its folder is made. `dtype` float16 or
    bfloat16 halves the file.

    Raises:
        UserError: the file cannot be written.
        ValueError: a parameter without entry, or too large for `dtype`.
    """
    from safetensors import SafetensorError  # Here: models import without it.
    from safetensors.numpy import save_file

    flat = _flatten(params)
    tensors = {
        entry.key: _theirs(flat[name], entry, name, jnp.dtype(dtype))
        for name, entry in _entries(flat, table).items()
    }
    path = pathlib.Path(path)
    part = path.with_name(f'{path.name}.{os.getpid()}.part')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, part)
        part.replace(path)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise UserError(f'cannot write weights to {path}: {error}') from error


def _flatten(tree: Tree) -> dict[str, Any]:
    return traverse_util.flatten_dict(tree, sep='/')


def _entries(flat: Mapping[str, Any], table: Table | None) -> dict[str, Entry]:
    if table is None:
        return {name: Entry(name) for name in flat}
    without = [name for name in flat if name not in table]
    if without:
        raise ValueError(
            f'no table entry for parameter {without[0]!r} ({len(without)} such); '
            f'nearest is {_nearest(without[0], table)}'
        )
    return {name: table[name] for name in flat}


@contextlib.contextmanager
def _open(path: str | os.PathLike) -> Iterator[Any]:
    path = zoo.located(path)
    if not os.path.isfile(path):
        what = 'is a folder' if os.path.isdir(path) else 'there is no such file'
        raise UserError(
            f'weights {path}: {what}; give a .safetensors or .pth file, or one of '
            f'{", ".join(zoo.NETWORKS)}'
        )
    start = _start(path)
    safe = start[8:] == b'{'  # Eight bytes of length, then JSON.
    torch = not safe and start.startswith(torch_files.STARTS)
    with torch_files.opened(path) if torch else _safetensors(path, safe) as file:
        yield file


def _start(path: str | os.PathLike) -> bytes:
    try:
        with open(path, 'rb') as file:
            return file.read(9)
    except OSError as error:
        raise UserError(f'weights {path}: {error.strerror or error}') from None


def _safetensors(path: str | os.PathLike, safe: bool) -> Any:
    from safetensors import SafetensorError, safe_open  # Here: models import without.

    try:
        return safe_open(path, framework='np')
    except (OSError, SafetensorError) as error:
        size = os.path.getsize(path)
        what = 'not a file of weights, neither safetensors nor of torch'
        if safe:
            what = f'truncated or damaged at {size} bytes; download or copy it again'
        raise UserError(f'weights {path}: {what} ({error})') from error


def _check_keys(path, keys: Sequence[str], entries: Table) -> None:
    there = set(keys)
    missing = [(n, e.key) for n, e in entries.items() if e.key not in there]
    if not missing:
        return
    name, key = missing[0]
    raise UserError(
        f'weights {path}: no tensor {key!r} for parameter {name!r}, nearest is '
        f'{_nearest(key, keys)}; {len(missing)} of {len(entries)} tensors are missing'
    )


def _check_tensor(path, tensor, entry: Entry, name: str, like) -> None:
    wanted, got = _file_shape(like.shape, entry), tuple(tensor.get_shape())
    if wanted != got:
        raise UserError(
            f'weights {path}: tensor {entry.key!r} for parameter {name!r} must have '
            f'shape {wanted}, got {got}; is the file of another network?'
        )
    if tensor.get_dtype() not in _FLOATS:
        raise UserError(
            f'weights {path}: tensor {entry.key!r} must be one of {", ".join(_FLOATS)},'
            f' got {tensor.get_dtype()}; save it as floats'
        )


def _file_shape(shape: Sequence[int], entry: Entry) -> tuple[int, ...]:
    if entry.axes is None:
        return tuple(shape)
    if len(entry.axes) != len(shape):
        raise ValueError(f'{entry} needs {len(entry.axes)} axes, got shape {shape}')
    return tuple(shape[i] for i in np.argsort(entry.axes))


def _ours(tensor: np.ndarray, entry: Entry) -> jax.Array:
    turned = tensor if entry.axes is None else tensor.transpose(entry.axes)
    return jnp.asarray(turned.astype(np.float32, order='C'))


def _theirs(leaf, entry: Entry, name: str, dtype: np.dtype) -> np.ndarray:
    array = np.asarray(leaf)
    _file_shape(array.shape, entry)  # Its check of the number of axes.
    turned = array if entry.axes is None else array.transpose(np.argsort(entry.axes))
    with np.errstate(over='ignore'):  # Found and named below.
        out = turned.astype(dtype, order='C')  # safetensors writes memory order.
    if np.isinf(out.astype(np.float32)).sum() > np.isinf(array).sum():
        raise ValueError(f'parameter {name!r} is too large for {dtype}; use bfloat16')
    return out


def _log_unused(path, keys: Sequence[str], entries: Table) -> None:
    unused = sorted(set(keys) - {entry.key for entry in entries.values()})
    if unused:
        logging.getLogger(__name__).debug(
            'weights %s: %d tensors not used: %s', path, len(unused), ', '.join(unused)
        )


def _nearest(name: str, names) -> str:
    # To compare names takes time by their lengths, and a file may have any.
    few = [near for near in names if len(near) <= _LONGEST][:_MOST]
    matches = difflib.get_close_matches(name, few, n=1, cutoff=0.0)
    return repr(matches[0]) if matches else 'nothing'

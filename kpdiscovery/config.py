"""Configs: found by name, varied by argument, overridden from the command line."""

from __future__ import annotations

import ast
import difflib
import functools
import importlib
import importlib.util
import os
import pathlib
import pkgutil
from collections.abc import Callable, Iterable
from types import ModuleType

import ml_collections

from kpdiscovery import config_checks, methods
from kpdiscovery.configs.pods import PODS
from kpdiscovery.methods import optimizers
from kpdiscovery.types import UserError


def load(name: str, overrides: Iterable[str] = ()) -> ml_collections.ConfigDict:
    """The config of `tusk/tetrominoes:cpu` or `path/to/file.py:cpu`, with overrides.

    Args:
        overrides: settings such as 'data.batch_size=64', applied in order.

    Raises:
        UserError: no such config, variant or setting (naming the nearest), or a value of
            another type.
    """
    name, _, variant = name.partition(':')
    module = _module(name)
    try:
        config = module.get_config(variant)
    except ValueError as error:  # An unknown variant.
        raise UserError(f'config {name}: {error}') from None
    except Exception as error:  # Whatever a file of the user's may do.
        raise UserError(f'config {name}: {_told(error)}') from error
    if not isinstance(config, ml_collections.ConfigDict):
        kind = type(config).__name__
        raise UserError(
            f'config {name}: get_config gives a {kind}, wanted a ConfigDict, as '
            'kpdiscovery.configs.variants.base makes one'
        )
    with config.unlocked():
        config.run.config = name + (f':{variant}' if variant else '')
        config.method = methods.complete(config.method)
    _expand_all(config)
    override(config, overrides)
    return config


def override(config, settings: Iterable[str]) -> None:
    """Apply settings such as 'data.batch_size=64' to a config, in place.

    Raises:
        UserError: no such setting, or a value that it cannot have.
    """
    for setting in settings:
        _override(config, setting)
    config_checks.check(config)


@functools.cache
def names() -> tuple[str, ...]:
    """Every packaged config, such as 'tusk/tetrominoes'.

    Modules whose name begins with an underscore are what the configs of a method share.
    """
    package = importlib.import_module('kpdiscovery.configs')
    found = pkgutil.walk_packages(package.__path__, 'kpdiscovery.configs.')
    leaves = (info.name.split('.')[2:] for info in found if not info.ispkg)
    return tuple(sorted(
        '/'.join(parts) for parts in leaves
        if len(parts) == 2 and not parts[1].startswith('_')
    ))  # fmt: skip


def variants(name: str) -> dict[str, Callable]:
    """What may follow the colon of a config, {name: function}: its module's `VARIANTS`
    and the pods.

    Raises:
        UserError: no such config.
    """
    return {**PODS, **getattr(_module(name), 'VARIANTS', {})}


def _module(name: str) -> ModuleType:
    return _from_file(name) if name.endswith('.py') else _from_package(name)


def _from_package(name: str) -> ModuleType:
    if name not in names():
        raise UserError(f'no config {name!r}{_instead(name)}')
    return importlib.import_module('kpdiscovery.configs.' + name.replace('/', '.'))


def _instead(name: str) -> str:
    """The nearest config; those of one method where only the method is right."""
    method, _, data = name.partition('/')
    known = names()
    methods_known = sorted({other.split('/')[0] for other in known})
    if method not in methods_known:
        near = difflib.get_close_matches(method, methods_known, 1, 0.6)
        if not near:
            return nearest(name, known)
        method = near[0]
    own = [other.split('/')[1] for other in known if other.startswith(f'{method}/')]
    return nearest(data, own, f'{method}/', cutoff=0.6)


def _from_file(name: str) -> ModuleType:
    path = pathlib.Path(name)
    if not path.is_file():
        raise UserError(f'no config file {name}')
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # It ends in .py.
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f'config file {name}: {_told(error)}') from error
    if not hasattr(module, 'get_config'):
        raise UserError(f'{name} defines no get_config(arg)')
    return module


def _told(error: Exception) -> str:
    line = f', line {error.lineno}' if isinstance(error, SyntaxError) else ''
    return f'{type(error).__name__}{line}: {error}'.splitlines()[0]


def _override(config, setting: str) -> None:
    path, equals, text = setting.partition('=')
    if not equals:
        raise UserError(f'--config.{path} needs a value: --config.{path}=VALUE')
    *parents, last = path.split('.')
    section = config
    for depth, key in enumerate([*parents, last]):
        if path.startswith('data.options.') and depth == 2:
            break  # What a source takes is the source's to say.
        known = _known(section)
        if key not in known:
            prefix = ''.join(f'{parent}.' for parent in parents[:depth])
            raise UserError(f'unknown config key {path}{nearest(key, known, prefix)}')
        section = section[key] if depth < len(parents) else section
    old = section.get(last)
    value = _parse(text, old)
    if None not in (old, value) and not isinstance(value, type(old)):
        wanted = type(old).__name__
        raise UserError(f'config key {path} is of type {wanted}, got {text!r}')
    with section.unlocked(), section.ignore_type():
        section[last] = value


def _known(section) -> list[str]:
    """What may be set in a section: what it has, and any optimiser can do."""
    if not isinstance(section, ml_collections.ConfigDict):
        return []
    optimizer = {'name', 'lr'} <= set(section)
    return [*section, *(optimizers.OPTIONAL if optimizer else ())]


def _parse(text, old):
    """A Python literal, or the text itself; whole numbers serve as floats."""
    if isinstance(old, str):
        return expand(text)
    try:
        value = ast.literal_eval({'true': 'True', 'false': 'False'}.get(text, text))
        return float(value) if isinstance(old, float) and type(value) is int else value
    except (
        ValueError,
        SyntaxError,
        TypeError,
        ArithmeticError,
        MemoryError,
        RecursionError,
    ):
        return expand(text)


def expand(value):
    """A path that begins with ~, or a list of such: bash leaves it after an '='."""
    if isinstance(value, list):
        return [expand(one) for one in value]
    home = isinstance(value, str) and value.startswith('~')
    return os.path.expanduser(value) if home else value


def _expand_all(section):
    with section.unlocked():
        for key, value in section.items():
            if isinstance(value, ml_collections.ConfigDict):
                _expand_all(value)
            elif isinstance(value, str):
                section[key] = expand(value)


def nearest(
    word: str, known: Iterable[str], prefix: str = '', *, cutoff: float = 0.5
) -> str:
    """', did you mean ...?' or the list of what there is."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, 1, cutoff)
    if close:
        return f', did you mean {prefix}{close[0]}?'
    return f'; there are: {", ".join(prefix + name for name in known)}' if known else ''

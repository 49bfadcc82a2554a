"""Imports go one way, and pure code needs no more than jax and numpy."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import kpdiscovery
from kpdiscovery import losses, metrics, ops

PACKAGE = Path(kpdiscovery.__file__).parent
KERNELS = PACKAGE.parent / 'pallas_kernels'
BELOW = {  # Room -> rooms it may import, itself included.
    'types': {'types'},
    'ops': {'ops', 'types'},
    'losses': {'losses', 'ops', 'types'},
    'models': {'models', 'ops', 'paths', 'types'},
    'methods': {'methods', 'losses', 'models', 'ops', 'types'},
    'paths': {'paths', 'types'},
    'processes': {'paths', 'processes', 'types'},
    'data': {'data', 'ops', 'paths', 'processes', 'types'},
    'metrics': {'metrics', 'ops', 'types'},
    'training': {
        'training',
        'data.feeds',
        'data.identity',
        'ops',
        'paths',
        'processes',
        'types',
    },
}
HEAVY = (
    'grain',
    'tensorflow_datasets',
    'cv2',
    'matplotlib',
    'orbax',
    'tensorboardX',
    'PIL',
)


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob('*.py'))}


def imported(path):
    """Full names of our modules that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f'{path}: relative import'
            for alias in node.names:  # A name may be a module or live in one.
                inner = f'{node.module}.{alias.name}'
                yield inner if inner in FILES else node.module


def ours(path):
    return {name for name in imported(path) if name.split('.')[0] == 'kpdiscovery'}


def within(name, room):
    return f'{name}.'.startswith(f'kpdiscovery.{room}.')


@pytest.mark.parametrize('room', BELOW)
def test_imports_go_one_way(room):
    files = {name: path for name, path in FILES.items() if within(name, room)}
    assert files, f'no room {room}'
    for name, path in files.items():
        for target in ours(path):
            allowed = any(within(target, below) for below in BELOW[room])
            assert allowed, f'{name} must not import {target}'


def test_kernels_import_nothing_of_the_library():
    files = [*KERNELS.rglob('*.py')]
    assert files
    for path in files:
        theirs = {name for name in ours(path) if path.name != 'bench.py'}
        assert not theirs, f'{path} must not import {theirs}'


def test_only_ops_and_losses_call_kernels():
    for name, path in FILES.items():
        kernels = {n for n in imported(path) if n.split('.')[0] == 'pallas_kernels'}
        allowed = any(
            within(name, room) for room in ('ops', 'losses', 'bench', 'export')
        )
        assert allowed or not kernels, f'{name} must not import {kernels}'


def test_the_test_finds_imports_in_every_form(tmp_path):
    path = tmp_path / 'x.py'
    path.write_text(
        'import kpdiscovery.ops.warps\n'
        'from kpdiscovery import losses\n'
        'def f():\n    from kpdiscovery.types import Row\n'
    )
    want = {'kpdiscovery.ops.warps', 'kpdiscovery.losses', 'kpdiscovery.types'}
    assert ours(path) == want


def test_pure_rooms_need_only_jax_and_numpy():
    rooms = ('methods', 'metrics', 'ops', 'losses', 'models')
    code = ''.join(f'import kpdiscovery.{room}\n' for room in rooms)
    code += f'import sys; print([m for m in {HEAVY!r} if m in sys.modules])'
    run = [sys.executable, '-W', 'error', '-c', code]
    got = subprocess.run(run, capture_output=True, text=True, check=True)
    assert got.stdout.strip() == '[]'


def public_functions():
    """(name, function) of everything public in ops, losses and metrics."""
    for package in (ops, losses, metrics):
        names = [m.name for m in pkgutil.iter_modules(package.__path__)]
        for name in names:
            module = importlib.import_module(f'{package.__name__}.{name}')
            for key, value in vars(module).items():
                at_home = getattr(value, '__module__', None) == module.__name__
                kind = inspect.isfunction(value) or inspect.isclass(value)
                if kind and at_home and not key.startswith('_'):
                    yield f'{module.__name__}.{key}', value


def test_every_public_name_has_a_docstring():
    found = dict(public_functions())
    assert len(found) > 40
    missing = [
        name for name, value in found.items() if not (value.__doc__ or '').strip()
    ]
    assert not missing


def test_exported_names_exist():
    for package in (ops, losses, metrics):
        for name in package.__all__:
            assert hasattr(package, name)


def test_keys_come_first_and_options_are_named():
    """Key first, then arrays, then options; an array may be None by default."""
    for name, value in public_functions():
        if not inspect.isfunction(value):
            continue
        parameters = list(inspect.signature(value).parameters.values())
        named = [p.name for p in parameters]
        assert 'key' not in named[1:], name
        for p in parameters:
            array = p.default is p.empty or p.default is None
            assert array or p.kind is p.KEYWORD_ONLY, f'{name}: {p.name}'

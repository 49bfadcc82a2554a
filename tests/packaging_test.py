"""What `pip install` brings: every module, config and data file of the library."""

import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
NEEDED = (
    'kpdiscovery',
    'configs',
    'pallas_kernels',
    'setup.py',
    'pyproject.toml',
    'README.md',
    'LICENSE',
)


@pytest.mark.slow  # Ten seconds, and setuptools is fetched for the build.
def test_a_wheel_has_every_file_of_the_library(tmp_path):
    source = tmp_path / 'source'
    source.mkdir()
    for name in NEEDED:
        path, leave = ROOT / name, shutil.ignore_patterns('__pycache__')
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=leave)
        else:
            shutil.copy(path, source)
    command = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '-q', '-w', tmp_path]
    subprocess.run([*command, source], check=True, capture_output=True)
    (wheel,) = tmp_path.glob('*.whl')
    packed = {
        name for name in zipfile.ZipFile(wheel).namelist() if 'dist-info' not in name
    }
    places = ('kpdiscovery', 'configs', 'pallas_kernels')
    wanted = {path.relative_to(ROOT) for place in places
              for path in (ROOT / place).rglob('*')
              if path.is_file() and '__pycache__' not in path.parts}  # fmt: skip
    named = {f'kpdiscovery/{path}' if path.parts[0] == 'configs' else str(path)
             for path in wanted}  # fmt: skip
    assert packed == named


FRAMEWORKS = {'keras', 'kornia', 'tensorflow', 'tensorflow-cpu', 'torch', 'torchvision'}
EXTRAS = set(tomllib.loads((ROOT / 'pyproject.toml').read_text())['project'][
    'optional-dependencies']) - {'bench'}  # fmt: skip


def wanted(name, extras=frozenset()):
    """What an installed distribution asks for here, {name: its extras}."""
    found = {}
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({'extra': e}) for e in ('', *extras)):
            known = found.setdefault(canonicalize_name(requirement.name), set())
            known.update(requirement.extras)
    return found


def test_what_is_installed_for_no_extra_but_bench_is_another_framework():
    """Scores of gigabytes came along with one file of weights, if its package did."""
    todo, met = {'kpdiscovery': EXTRAS}, {}
    while todo:
        name, extras = todo.popitem()
        if (name in met and extras <= met[name]) or not has_metadata(name):
            continue
        met[name] = met.get(name, set()) | extras
        for other, needed in wanted(name, met[name]).items():
            todo[other] = todo.get(other, set()) | needed
    assert {'jax', 'tensorflow-datasets', 'matplotlib'} <= set(met)
    assert not FRAMEWORKS & set(met)


def has_metadata(name):
    try:
        return bool(metadata.distribution(name))
    except metadata.PackageNotFoundError:
        return False


@pytest.mark.slow  # A minute: pip resolves some hundred packages.
def test_what_pip_would_install_for_any_extra_but_bench_is_no_other_framework(tmp_path):
    report = tmp_path / 'report.json'
    command = (
        sys.executable, '-m', 'pip', 'install', '--dry-run', '--ignore-installed', '-q',
        '--report', report, f'{ROOT}[{",".join(sorted(EXTRAS))}]',
    )  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f'pip resolves nothing here: {done.stderr.splitlines()[-1]}')
    found = json.loads(report.read_text())['install']
    names = {canonicalize_name(package['metadata']['name']) for package in found}
    assert 'libtpu' in names and 'jax-cuda12-plugin' in names
    assert not FRAMEWORKS & names

"""What `pip install` brings: every module, config and data file of the library."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDED = (
    'kpdiscovery',
    'configs',
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
    wanted = {path.relative_to(ROOT) for place in ('kpdiscovery', 'configs')
              for path in (ROOT / place).rglob('*')
              if path.is_file() and '__pycache__' not in path.parts}  # fmt: skip
    named = {str(path) if path.parts[0] == 'kpdiscovery' else f'kpdiscovery/{path}'
             for path in wanted}  # fmt: skip
    assert packed == named

"""Runs that are killed at random moments come to the same end, bit for bit.

KPD_CHAOS_KILLS=5 adds the commands of every method, killed as often.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.commands.processes_test import METHODS

ROOT = pathlib.Path(__file__).parents[2]
KILLS = int(os.environ.get('KPD_CHAOS_KILLS', 0))


def survive(folder, name, kills):
    """Programs are compiled once for all runs: kills are to fall on training too."""
    own = {
        'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': '2',
        'JAX_COMPILATION_CACHE_DIR': str(folder / 'cache'),
        'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
    }  # fmt: skip
    command = [sys.executable, '-W', 'ignore', '-m', 'tests.training.chaos']
    got = subprocess.run(
        [*command, str(folder / 'runs'), str(kills), '0', name], cwd=ROOT, text=True,
        capture_output=True, env={**os.environ, **own},
    )  # fmt: skip
    assert got.returncode == 0, got.stderr[-3000:]
    found = json.loads(got.stdout.splitlines()[-1])
    assert found['kills'] == kills
    print(found)


def test_a_run_survives_kills(tmp_path):
    survive(tmp_path, 'toy', 2)


@pytest.mark.slow
def test_a_run_survives_many_kills(tmp_path):
    survive(tmp_path, 'toy', 30)


@pytest.mark.slow
@pytest.mark.skipif(not KILLS, reason='long: KPD_CHAOS_KILLS=5')
@pytest.mark.parametrize('name', METHODS)
def test_every_method_survives_kills(tmp_path, name):
    survive(tmp_path, name, KILLS)

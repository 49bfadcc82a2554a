"""A sweep with k-means finds the same on one device, on eight and in two processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kpdiscovery.training import sharding
from tests.training import kmeans_sweep

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def alone():
    mesh = sharding.make_mesh(1)
    return {name: kmeans_sweep.sweep(name, mesh) for name in kmeans_sweep.SOURCES}


@pytest.fixture(scope='module')
def two_processes(tmp_path_factory):
    """What two processes of two devices each have found together."""
    file = tmp_path_factory.mktemp('processes') / 'found.npz'
    with socket.socket() as free:
        free.bind(('localhost', 0))
        address = f'localhost:{free.getsockname()[1]}'
    running = [_start(address, str(number), '2', str(file)) for number in range(2)]
    try:
        said = [process.communicate(timeout=300)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], said
    return dict(np.load(file))


def _start(*arguments):
    command = [sys.executable, '-m', 'tests.training.kmeans_sweep', *arguments]
    return subprocess.Popen(command, cwd=ROOT, text=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                            env={**os.environ, 'JAX_PLATFORMS': 'cpu'})  # fmt: skip


def check_same(got, want):
    assert set(got) == set(want)
    for key, value in want.items():
        if np.issubdtype(value.dtype, np.integer):
            np.testing.assert_array_equal(got[key], value, err_msg=key)
        else:
            np.testing.assert_allclose(got[key], value, rtol=1e-5, err_msg=key)


@pytest.mark.parametrize('name', kmeans_sweep.SOURCES)
def test_eight_devices_find_what_one_finds(alone, name):
    check_same(kmeans_sweep.sweep(name, sharding.make_mesh(8)), alone[name])


@pytest.mark.parametrize('name', kmeans_sweep.SOURCES)
def test_two_processes_find_what_one_device_finds(alone, two_processes, name):
    prefix = f'{name}/'
    got = {key.removeprefix(prefix): value for key, value in two_processes.items()
           if key.startswith(prefix)}  # fmt: skip
    check_same(got, alone[name])


@pytest.mark.parametrize('name', kmeans_sweep.SOURCES)
def test_clusters_are_not_trivial(alone, name):
    found, count = alone[name], len(kmeans_sweep.SOURCES[name]())
    np.testing.assert_array_equal(found['index'], np.arange(len(found['index'])))
    assert (found['turn'] == 2).all()
    valid = found['index'] < count
    assert set(found['cluster'][valid]) == set(range(5))
    assert set(found['second'][valid]) == set(range(3))
    assert (found['cluster'][~valid] == -1).all() and (~valid).any()

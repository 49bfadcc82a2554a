"""Sweeps with k-means and runs are the same on one device, on eight, in two processes."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kpdiscovery.training import loop, sharding
from tests.training import worker
from tests.training.toy import Colors, Toy, config

ROOT = Path(__file__).parents[2]
QUICK = {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': '--xla_cpu_use_fusion_emitters=false'}


@pytest.fixture(scope='module')
def alone():
    mesh = sharding.make_mesh(1)
    return {name: worker.sweep(name, mesh) for name in worker.SOURCES}


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
    assert file.exists(), said
    return {**np.load(file), 'workdir': f'{file}.run', 'end': [(p.returncode, text) for p, text in
                                     zip(running, said, strict=True)]}  # fmt: skip


def _start(*arguments):
    command = [sys.executable, '-m', 'tests.training.worker', *arguments]
    return subprocess.Popen(command, cwd=ROOT, text=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                            env={**os.environ, **QUICK})  # fmt: skip


def check_same(got, want):
    assert set(got) == set(want)
    for key, value in want.items():
        if np.issubdtype(value.dtype, np.integer):
            np.testing.assert_array_equal(got[key], value, err_msg=key)
        else:
            np.testing.assert_allclose(got[key], value, rtol=1e-5, err_msg=key)


@pytest.mark.parametrize('name', worker.SOURCES)
def test_eight_devices_find_what_one_finds(alone, name):
    check_same(worker.sweep(name, sharding.make_mesh(8)), alone[name])


@pytest.mark.parametrize('name', worker.SOURCES)
def test_two_processes_find_what_one_device_finds(alone, two_processes, name):
    check_same(part(two_processes, name), alone[name])


def test_two_processes_stop_together_and_train_as_one(two_processes, tmp_path):
    """One of them ran out of time at once, the other had no limit."""
    check_same(part(two_processes, 'train'), worker.train(str(tmp_path)))


@pytest.mark.parametrize('devices, left', [(1, [6]), (4, [6, 9]), (8, [6, 9, 12])])
def test_other_devices_go_on_where_two_processes_stood(
    two_processes, tmp_path, devices, left
):
    """From what they have saved in the middle of the run, and at its end."""
    workdir = shutil.copytree(two_processes['workdir'], tmp_path / 'run')
    for path in (workdir / 'checkpoints').iterdir():
        if path.name.isdigit() and int(path.name) not in left:
            shutil.rmtree(path)
    settings = config(mesh={'data': devices})
    got = loop.train(Toy(), settings, Colors(), workdir).variables
    check_same({'color': np.asarray(got['color'])}, part(two_processes, 'train'))


def test_what_one_process_cannot_read_ends_both_with_one_line(two_processes):
    for code, said in two_processes['end']:
        assert code == 1  # Of a disk that may be back when a launcher tries again.
        told = [line for line in said.splitlines() if line.startswith('kpd: ')]
        assert len(told) == 1 and 'Traceback' not in said
        assert told[0].startswith('kpd: process 1: ')
        assert 'Input/output error' in told[0] and '.png' in told[0]


def part(found, name):
    pairs = ((key.split('/'), value) for key, value in found.items() if '/' in key)
    return {key: value for (owner, key), value in pairs if owner == name}


@pytest.mark.parametrize('name', worker.SOURCES)
def test_clusters_are_not_trivial(alone, name):
    found, count = alone[name], len(worker.SOURCES[name]())
    np.testing.assert_array_equal(found['index'], np.arange(len(found['index'])))
    assert (found['turn'] == 2).all()
    valid = found['index'] < count
    assert set(found['cluster'][valid]) == set(range(5))
    assert set(found['second'][valid]) == set(range(3))
    assert (found['cluster'][~valid] == -1).all() and (~valid).any()

"""launch/local.py for real: processes that find each other, fail, and are stopped."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.launch.scripts import LAUNCH, call, said

CHILD = Path(__file__).with_name('child.py')


def test_what_would_be_run():
    words = ['--processes=2', '--port=1234', '--dry-run', '--', 'kpd', 'train', 'a b']
    common = "kpd train 'a b' --coordinator=localhost:1234 --num_processes=2"
    assert said('local.py', *words) == ''.join(
        f'{common} --process_id={number}\n' for number in range(2)
    )


def test_two_processes_see_the_devices_of_both():
    words = ['--processes=2', '--devices=3', '--', sys.executable, CHILD, 'devices']
    assert sorted(said('local.py', *words).splitlines()) == [
        '[0] process 0 of 2: 3 of 6 devices',
        '[1] process 1 of 2: 3 of 6 devices',
    ]


@pytest.mark.parametrize(
    ('how', 'code', 'told'),
    [('exit', 3, 'exit code 3'), ('killed', 128 + 9, 'SIGKILL')],
)
def test_one_that_fails_ends_the_others(how, code, told):
    start = time.monotonic()
    done = call('local.py', '--processes=3', '--', sys.executable, CHILD, how)
    assert done.returncode == code, done.stderr
    assert time.monotonic() - start < 20  # Those others would sleep for a minute.
    assert '[1] I fail' in done.stdout.splitlines()
    assert f'local.py: process 1 ended ({told})' in done.stderr


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signals_are_handed_on_and_lines_still_read(number):
    command = [LAUNCH / 'local.py', '--', sys.executable, CHILD, 'stop']
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert {running.stdout.readline() for _ in range(2)} == {'[0] up\n', '[1] up\n'}
        running.send_signal(number)
        rest = set(running.stdout)
    assert rest == {f'[{i}] {number.name}, a checkpoint\n' for i in range(2)}
    assert running.returncode == 143


@pytest.mark.slow  # Most of a minute: both processes compile all of it.
def test_kpd_train_in_two_processes(tmp_path):
    train = [sys.executable, '-m', 'kpdiscovery.train', '--config=imm/critters:smoke']
    words = ['--devices=2', '--', *train, f'--workdir={tmp_path}/run']
    done = call('local.py', *words, timeout=300)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(f'trained 2 steps: kpd evaluate --workdir={tmp_path}') == 1

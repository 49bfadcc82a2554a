"""What the tests of launch/ share: scripts run as a person runs them."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / 'launch'
SLICE = ['--name=kpd-64', '--zone=us-west4-a']
TRAIN = [
    'kpd',
    'train',
    '--config=tusk/folder',
    '--data=my data',
    "--config.x=it's & $1",
]


def call(script, *words, path=None, timeout=60, **environment):
    """A script of launch/, with programs of `path` before those of the machine."""
    environment = os.environ | {key: str(value) for key, value in environment.items()}
    if path:
        environment['PATH'] = f'{path}{os.pathsep}{environment["PATH"]}'
    start = [] if os.access(LAUNCH / script, os.X_OK) else ['bash']
    return subprocess.run(
        [*start, LAUNCH / script, *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def said(script, *words, **options):
    """What a script prints where all goes well, with this checkout as ROOT."""
    done = call(script, *words, **options)
    assert (done.returncode, done.stderr) == (0, ''), done.stderr
    return done.stdout.replace(str(ROOT), 'ROOT')


def program(folder, name, text):
    """Puts a program of bash into a folder of PATH."""
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f'#!/usr/bin/env bash\n{text}')
    file.chmod(0o755)

"""Which code this is."""

from __future__ import annotations

import pathlib
import subprocess


def commit() -> str:
    """The checkout's commit, '' where the package is installed without one."""
    here = pathlib.Path(__file__).parent
    command = ['git', '-C', str(here), 'describe', '--always', '--dirty']
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ''
    return found.stdout.strip()

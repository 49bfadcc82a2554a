"""What a run says while it runs: progress, JSON lines, TensorBoard."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import tqdm
from etils import epath

from kpdiscovery import paths, processes

_LINES = 'metrics.jsonl'


class Log:
    """Writes scalars of one run; only process 0 writes.

    `metrics.jsonl` has one line a logged step: phase, step, seconds since start,
    images_per_s and every scalar. On a terminal a bar shows the rest of the phase, plain
    lines otherwise. Nothing is written before there is something to log.

    Files in a bucket cannot grow: they are kept in a folder of this machine, from which
    `send` brings them there.
    """

    def __init__(self, workdir: epath.Path):
        self._active = processes.is_first()
        self._start = time.monotonic()
        self._bar, self._workdir = None, workdir
        self._lines: Any = None
        self._here: Any = workdir  # Where files are written as they grow.

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close_bar()
        if self._lines:
            for file in (self._lines, self._board):
                with contextlib.suppress(OSError):  # Of a full disk: told already.
                    file.close()
            self.send()
            if self._here != self._workdir:
                shutil.rmtree(self._here)

    def phase(self, name: str, steps: int, done: int) -> None:
        """Start of a phase: a new bar."""
        self.close_bar()
        self._name, self._steps = name, steps
        self._last = (time.monotonic(), done)
        if self._active and sys.stderr.isatty():
            self._bar = tqdm.tqdm(total=steps, initial=done, desc=name, unit='step')

    def scalars(
        self,
        step: int,
        values: Mapping[str, float],
        *,
        batch_size: int,
        total: int,
        lap: Mapping[str, float],
    ):
        """Scalars of a step: `step` counts in the phase, `total` in the whole run.

        `lap` is the clock's.
        """
        now, (then, before) = time.monotonic(), self._last
        self._last = (now, step)
        times = {name: value for name, value in lap.items() if name != 'seconds'}
        speed = (step - before) * batch_size / max(now - then, 1e-9)
        row = {'phase': self._name, 'step': step, 'seconds': round(now - self._start, 2),
               'images_per_s': round(speed, 2), **times, **values}  # fmt: skip
        self._record(row, values, total)
        self._show(step, values, speed)

    def sweep(self, step: int, values: Mapping[str, float], *, total: int) -> None:
        """Scalars of a sweep before step `step`: the health line."""
        seconds = round(time.monotonic() - self._start, 2)
        row = {'phase': self._name, 'step': step, 'seconds': seconds, **values}
        self._record(row, values, total)
        health = ', '.join(f'{name} {value:.4g}' for name, value in values.items())
        self.say(f'{self._name} {step}/{self._steps} {health}')

    def _record(self, row, values, total):
        if not self._active:
            return
        if not self._lines:
            self._open()
        self._lines.write(json.dumps(row) + '\n')
        self._lines.flush()
        for key, value in values.items():
            self._board.add(f'{self._name}/{key}', value, total)
        self._board.flush()

    def _open(self):
        if paths.is_remote(self._workdir):
            self._here = pathlib.Path(tempfile.mkdtemp())
            if (before := self._workdir / _LINES).exists():
                (self._here / _LINES).write_bytes(before.read_bytes())
        self._lines = open(self._here / _LINES, 'a')  # noqa: SIM115
        self._board = _Board(self._here / 'tensorboard')

    def send(self) -> None:
        """To the bucket, what was logged so far; nothing where files grow in place."""
        if self._lines is None or self._here == self._workdir:
            return
        for file in filter(pathlib.Path.is_file, self._here.rglob('*')):
            there = self._workdir / file.relative_to(self._here)
            paths.write(there, file.read_bytes())

    def say(self, text: str) -> None:
        """A line for the person, without breaking the bar."""
        if self._active:
            tqdm.tqdm.write(text, file=sys.stderr)

    def close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _show(self, step, values, speed):
        loss = values.get('loss', float('nan'))
        if self._bar is not None:
            self._bar.n = step
            self._bar.set_postfix(loss=f'{loss:.4g}', images_s=f'{speed:.0f}')
            return
        left = self._steps - step
        self.say(f'{self._name} {step}/{self._steps} loss {loss:.4g} '
                 f'{speed:.1f} images/s, {left} steps left')  # fmt: skip


class _Board:
    """Scalars for TensorBoard; written at once, so that no thread fails by itself."""

    def __init__(self, folder: Any):
        from tensorboardX.event_file_writer import (
            EventsWriter,  # Only training needs it.
        )

        folder.mkdir(parents=True, exist_ok=True)
        self._events = EventsWriter(str(folder / 'events'))
        self.flush, self.close = self._events.flush, self._events.close

    def add(self, name: str, value: float, step: int) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        now = time.time()
        self._events.write_event(
            Event(wall_time=now, step=step, summary=scalar(name, value))
        )

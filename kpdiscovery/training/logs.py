"""What a run says while it runs: progress, JSON lines, TensorBoard."""

from __future__ import annotations

import json
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any

import jax
import tqdm


class Log:
    """Writes scalars of one run; only process 0 writes.

    `metrics.jsonl` has one line a logged step: phase, step, seconds since start,
    images_per_s and every scalar. On a terminal a bar shows the rest of the phase, plain
    lines otherwise. Nothing is written before there is something to log.
    """

    def __init__(self, workdir: pathlib.Path):
        self._active = jax.process_index() == 0
        self._start = time.monotonic()
        self._bar, self._workdir = None, workdir
        self._lines: Any = None

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close_bar()
        if self._lines:
            self._lines.close()
            self._board.close()

    def phase(self, name: str, steps: int, done: int) -> None:
        """Start of a phase: a new bar."""
        self.close_bar()
        self._name, self._steps = name, steps
        self._last = (time.monotonic(), done)
        if self._active and sys.stderr.isatty():
            self._bar = tqdm.tqdm(total=steps, initial=done, desc=name, unit='step')

    def scalars(
        self, step: int, values: Mapping[str, float], *, batch_size: int, total: int
    ):
        """Scalars of a step: `step` counts in the phase, `total` in the whole run."""
        now, (then, before) = time.monotonic(), self._last
        self._last = (now, step)
        speed = (step - before) * batch_size / max(now - then, 1e-9)
        row = {'phase': self._name, 'step': step, 'seconds': round(now - self._start, 2),
               'images_per_s': round(speed, 2), **values}  # fmt: skip
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
            self._board.add_scalar(f'{self._name}/{key}', value, total)

    def _open(self):
        import tensorboardX  # Predicting and calling pure functions need none of it.

        self._lines = open(self._workdir / 'metrics.jsonl', 'a')  # noqa: SIM115
        self._board = tensorboardX.SummaryWriter(str(self._workdir / 'tensorboard'))

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

"""How long steps take and what they wait for, found out without waiting for any."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

STALLED = 60.0  # Seconds without a batch, after which a person is told.
AHEAD = 3  # Steps dispatched behind the one that is computed: a stop waits for them.
SLOW = 0.5  # Share of the time spent waiting for pictures that is worth a warning.
_COMPILED = '/jax/core/compile/backend_compile_duration'


class Clock:
    """Of one run: steps are dispatched ahead, so a thread waits for each to be done.

    Not further ahead than `AHEAD`: a stop, or the end of `--max_seconds`, comes after the
    steps that are on their way, and a save after both.

    Args:
        say: tells a person a line.
    """

    def __init__(self, say: Callable[[str], None]):
        self._say, self._done = say, threading.Event()
        self._steps: queue.Queue = queue.Queue(AHEAD - 1)  # Beside the one waited for.
        self._asked: float | None = None  # Since when a batch is waited for.
        self._compiled: list[float] = []
        self._waited, self._ended = 0.0, list[float]()
        self._began = time.monotonic()

    def __enter__(self):
        jax.monitoring.register_event_duration_secs_listener(self._hear)
        self._threads = [
            threading.Thread(target=work, daemon=True)
            for work in (self._follow, self._watch)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *unused):
        self._done.set()
        self._steps.put(None)
        for thread in self._threads:
            thread.join()
        jax.monitoring.unregister_event_duration_listener(self._hear)

    def batches(self, stream: Iterator[Any]) -> Iterator[Any]:
        """The stream, timed."""
        stream = iter(stream)
        while True:
            self._asked = start = time.monotonic()
            batch = next(stream, None)
            self._asked = None
            self._waited += time.monotonic() - start
            if batch is None:
                return
            yield batch

    def stepped(self, scalars: Any) -> None:
        """A step was dispatched that gives these; waits where too many are on their way."""
        self._steps.put(scalars)

    def lap(self) -> dict[str, float]:
        """Since the last time: seconds, milliseconds a step (percentiles), the share of the time
        spent waiting for pictures; and programs compiled so far, with their seconds."""
        now, ends = time.monotonic(), np.array([self._began, *self._ended])
        took = 1000 * np.diff(ends) if len(ends) > 1 else np.zeros(1)
        half, most = np.percentile(took, (50, 90))
        found = {
            'step_ms_50': round(float(half), 2),
            'step_ms_90': round(float(most), 2),
            'seconds': round(now - self._began, 2),
            'waiting': round(self._waited / max(now - self._began, 1e-9), 3),
            'compilations': len(self._compiled),
            'compile_seconds': round(sum(self._compiled), 3),
        }
        self._began, self._waited, self._ended = now, 0.0, []
        return found

    def _hear(self, event: str, duration_secs: float, **unused: Any) -> None:
        if event == _COMPILED:
            self._compiled.append(duration_secs)

    def _follow(self):
        while (scalars := self._steps.get()) is not None:
            with contextlib.suppress(
                Exception
            ):  # The loop meets it where it reads them.
                jax.block_until_ready(scalars)
            self._ended.append(time.monotonic())

    def _watch(self):
        told = None
        while not self._done.wait(1.0):
            asked = self._asked
            if asked and asked != told and time.monotonic() - asked > STALLED:
                told = asked
                self._say(
                    f'warning: no pictures for {STALLED:.0f} s: the disk or the decoding '
                    'of pictures stands still, not the training'
                )

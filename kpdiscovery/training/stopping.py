"""When to stop before the last step: time is up, or a person or machine asks for it."""

from __future__ import annotations

import math
import os
import signal
import time

import numpy as np
from jax.experimental import multihost_utils


class Stop:
    """Why the loop should end before its last step: time, or a signal."""

    def __init__(self, max_seconds: float | None):
        self._deadline = (
            math.inf if max_seconds is None else time.monotonic() + max_seconds
        )
        self._signal = ''
        self.stepped = False  # Before the first step no time is up.

    def __enter__(self):
        numbers = (signal.SIGINT, signal.SIGTERM)
        self._old = {n: signal.signal(n, self._on_signal) for n in numbers}
        return self

    def __exit__(self, *unused):
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _on_signal(self, number, frame):
        del frame
        before, self._signal = self._signal, signal.Signals(number).name
        if number == signal.SIGINT:
            if before:  # Asked twice: at once.
                raise KeyboardInterrupt
            os.write(2, b'\nstopping after this step; Ctrl-C again ends at once\n')

    @property
    def reason(self) -> str:
        if self._signal:
            return f'stopped by {self._signal}'
        late = self.stepped and time.monotonic() >= self._deadline
        return 'time is up' if late else ''

    def agreed(self) -> str:
        """A reason if any process has one: a step waits for all, so all stop together.

        Every process must ask, at the same step.
        """
        mine = self.reason
        anyone = multihost_utils.process_allgather(np.array(bool(mine))).any()
        return (mine or 'another process stopped') if anyone else ''

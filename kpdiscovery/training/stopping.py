"""When to stop before the last step: time is up, or a person or machine asks for it."""

from __future__ import annotations

import math
import os
import signal
import time

import jax

from kpdiscovery import processes


class Stop:
    """Why the loop should end before its last step: time, or a signal.

    With several processes SIGTERM is left to jax, which tells it to all of them; a
    process whose time is up, or whose person presses Ctrl-C, sends it to itself.
    """

    def __init__(self, max_seconds: float | None):
        self._deadline = (
            math.inf if max_seconds is None else time.monotonic() + max_seconds
        )
        self._alone, self._told = jax.process_count() == 1, False
        self._signal = self.said = ''  # What `asked` has answered last.
        self.stepped = False  # Before the first step no time is up.

    def __enter__(self):
        numbers = [signal.SIGINT] + [signal.SIGTERM] * self._alone
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
            os.write(2, b'\nstopping after this step; Ctrl-C again saves nothing\n')

    @property
    def reason(self) -> str:
        """Of this process alone."""
        if self._signal:
            return f'stopped by {self._signal}'
        late = self.stepped and time.monotonic() >= self._deadline
        return 'time is up' if late else ''

    def asked(self) -> str:
        """Why to end here; a step waits for all processes, so all are asked as often."""
        self.said = mine = self.reason
        if not self._alone:
            if mine and not self._told:
                processes.stop_all()
                self._told = True
            self.said = _agreed(mine) if processes.asked_to_stop() else ''
        return self.said


def _agreed(mine: str) -> str:
    """The first reason that a process has; without any it was a signal that jax caught."""
    given = filter(None, processes.told_by_all(mine))
    return next(given, f'stopped by {signal.SIGTERM.name}')

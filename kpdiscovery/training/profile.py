"""A trace of a few steps, which TensorBoard shows."""

from __future__ import annotations

import jax
from etils import epath

FIRST, LAST = 10, 20  # Steps of this call, the compiling ones left out.


class Profile:
    """Traces steps 10 to 20 into WORKDIR/profile; nothing without a workdir."""

    def __init__(self, workdir: epath.Path | None):
        self._folder = workdir and workdir / 'profile'
        self._steps, self._on = 0, False

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._stop()

    def stepped(self) -> None:
        """A step was dispatched."""
        self._steps += 1
        if self._folder and self._steps == FIRST:
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = (
                0  # It crashes beside threads that come and go.
            )
            jax.profiler.start_trace(str(self._folder), profiler_options=options)
            self._on = True
        if self._steps == LAST:
            self._stop()

    def _stop(self):
        if self._on:
            jax.profiler.stop_trace()
            self._on = False

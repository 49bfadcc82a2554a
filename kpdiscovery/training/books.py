"""What a run tells while it goes on: scalars, warnings, and what has broken it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from kpdiscovery import paths, processes
from kpdiscovery.data import feeds
from kpdiscovery.training.checkpoints import Checkpoints, Snapshot
from kpdiscovery.training.clock import SLOW, Clock
from kpdiscovery.training.logs import Log
from kpdiscovery.training.profile import Profile
from kpdiscovery.training.stopping import Stop
from kpdiscovery.types import Phase, UserError

_LONG_ENOUGH = 10.0  # Seconds between lines of the log, to judge what steps wait for.


class Tools(NamedTuple):
    """What is open as long as a run lasts."""

    checkpoints: Checkpoints
    log: Log
    stop: Stop
    clock: Clock
    profile: Profile


class Books:
    """Of one run; scalars stay on the devices until they are looked at.

    Args:
        starts: of the phases, in steps through all of them.
    """

    def __init__(
        self,
        phases: Sequence[Phase],
        starts: Sequence[int],
        feed: feeds.Feed,
        order: feeds.Order,
        tools: Tools,
    ):
        self._phases, self._starts, self._tools = phases, starts, tools
        self._feed, self._order = feed, order
        self._recent: list[tuple[int, Any]] = []  # Of steps not looked at yet.
        self._advised: set[str] = set()  # Phases a person was warned of.

    def stepped(self, done: int, scalars: Any) -> None:
        """A step was dispatched that gives these."""
        self._recent.append((done, scalars))

    def look(self, number: int, now: Snapshot) -> dict[str, float]:
        """The last step's scalars as floats; a run that has left the numbers ends here."""
        looked_at, self._recent = jax.device_get(self._recent), []
        for done, scalars in looked_at:
            broken = [name for name, value in scalars.items() if not np.isfinite(value)]
            if broken:
                raise UserError(self._save_broken(number, now, done, broken))
        return {n: float(v) for n, v in looked_at[-1][1].items()} if looked_at else {}

    def _save_broken(self, number, now, done, broken):
        """The rows and the pictures of the step, and the state that followed; in words."""
        at = self._starts[number] + done - 1
        batch = next(iter(self._feed.stream(self._order, at, at + 1)))
        seen = {
            'step': np.int32(done),
            'index': batch['index'],
            'image': batch['image'],
        }
        seen = processes.gather(seen)
        path = self._tools.checkpoints.save_aside('not_finite', now)
        file = path.with_name('not_finite.npz')
        processes.by_first(lambda: paths.write_arrays(file, seen))
        name = self._phases[number].name
        index = seen['index']
        rows = ', '.join(map(str, index[:8])) + ', ...' * (len(index) > 8)
        return (
            f'{", ".join(broken)} is not finite at step {done} of {name}, on the pictures '
            f'{rows}: they are in {file}, the state after it in {path}; try a lower '
            'learning rate, or look at these pictures'
        )

    def write(self, number: int, done: int, now: Snapshot) -> None:
        """The last step's scalars into the log, and what a person should know of them."""
        if not (values := self.look(number, now)):
            return
        phase, total = self._phases[number], self._starts[number] + done
        lap = self._tools.clock.lap()
        size = self._feed.batch_size
        self._tools.log.scalars(done, values, batch_size=size, total=total, lap=lap)
        self._advise(phase, done, values, lap)

    def _advise(self, phase, done, values, lap):
        share = done / phase.steps
        advice = phase.advise(values, share) if phase.advise else ''
        if not advice and lap['waiting'] > SLOW and lap['seconds'] > _LONG_ENOUGH:
            advice = (
                f'{lap["waiting"]:.0%} of the time steps wait for pictures to be read: '
                'smaller files, a faster disk, or more cores'
            )
        if advice and phase.name not in self._advised:
            self._advised.add(phase.name)
            self._tools.log.say(f'warning: {advice}')

"""The one loop: every method, on one CPU, one GPU, a pod."""

from __future__ import annotations

import functools
import itertools
import math
import os
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.data import feeds, identity
from kpdiscovery.training import lengthening, limits, programs, sharding
from kpdiscovery.training.books import Books, Tools
from kpdiscovery.training.checkpoints import Checkpoints, Snapshot
from kpdiscovery.training.clock import Clock
from kpdiscovery.training.label_files import LabelFiles
from kpdiscovery.training.logs import Log
from kpdiscovery.training.profile import Profile
from kpdiscovery.training.runs import last_meta, last_of
from kpdiscovery.training.stopping import Stop
from kpdiscovery.training.sweeps import Sweeper
from kpdiscovery.types import Method, Phase, Source, UserError


class Outcome(NamedTuple):
    """How a run ended."""

    finished: bool
    step: int  # Through all phases.
    reason: str  # '' when finished, else a line for the person.
    variables: Any


def train(
    method: Method,
    config: dict,
    source: Source,
    workdir: str | os.PathLike,
    *,
    max_seconds: float | None = None,
    profile: bool = False,
) -> Outcome:
    """Train through all phases, or resume where the workdir stands.

    Args:
        config: plain dict with `seed`, `data.batch_size`, `phases`, `mesh.data` and
            `run` (`log_every`, `checkpoint_every`: steps; `keep`: checkpoints).
        profile: trace steps 10 to 20, of the first phase that has them, into
            WORKDIR/profile, which TensorBoard shows.
        max_seconds: stop cleanly after this long, compiling included, but not before
            the first step; the same call resumes. Ctrl-C and SIGTERM stop cleanly too.

    Raises:
        UserError: the workdir is another's, the config does not fit the pictures, or a
            scalar is not finite.
    """
    mesh = sharding.make_mesh(config['mesh']['data'])
    phases = phases_of(method, config)  # Mistakes are told before anything is written.
    feed = feeds.Feed(source, config['data']['batch_size'], sharding.by_rows(mesh))
    with (
        limits.told_in_one_line(workdir),
        jax.set_mesh(mesh),
        _checkpoints(method, config, workdir) as checkpoints,
        Log(checkpoints.workdir) as log,
        Stop(max_seconds) as stop,
        Clock(log.say) as clock,
        Profile(checkpoints.workdir if profile else None) as traced,
    ):
        before = functools.partial(phases_of, method)
        tools = Tools(checkpoints, log, stop, clock, traced)
        return _Run(phases, before, config, feed, tools).run()


def _checkpoints(method, config, workdir):
    free = {*method.may_change(), *lengthening.judged(config)}
    return Checkpoints(workdir, config, keep=config['run']['keep'], free=free)


def phases_of(method: Method, config: dict) -> tuple[Phase, ...]:
    """What a config's method trains, one after the other.

    Raises:
        UserError: a phase or one of its settings is missing, unknown or out of range.
    """
    try:
        return method.phases(config)
    except KeyError as error:
        raise UserError(f'config.phases: {error} is missing') from error
    except (ValueError, TypeError) as error:
        raise UserError(f'config.phases: {error}') from error


def check_pictures(
    phases: Sequence[Phase], source: Source, workdir: str | os.PathLike
) -> None:
    """Before anything is found in the pictures: whether a run goes on with its own.

    Raises:
        UserError: the workdir has labels of other pictures.
    """
    meta = last_meta(workdir) if any(phase.sweep for phase in phases) else None
    if meta and 'data' in meta:
        now = identity.of(source)
        before = {**meta['data'], 'joined': now.joined}  # Not all is joined yet.
        if changed := identity.difference(before, now):
            raise _labels_of_others(workdir, changed)


def _labels_of_others(workdir, changed):
    return UserError(
        f'{workdir} has labels of other pictures ({changed}): train on the same pictures '
        'or in a new --workdir'
    )


class _Run:
    def __init__(self, phases, before, config, feed, tools):
        self.phases, self.feed, self.tools = phases, feed, tools
        self.checkpoints, self.log, self.stop = tools[:3]
        self.before = before  # Phases of an earlier config.
        self.every = config['run']
        self.starts = list(itertools.accumulate((p.steps for p in phases), initial=0))
        self.order = feeds.of_training(feed.source, config['data'], config['seed'])
        self.first = feeds.first_batch(feed, self.order)
        mesh = feed.sharding.mesh
        self.everywhere = sharding.replicated(mesh)
        self.seed = config['seed']
        # Compiled functions are made once: what the check of shapes has traced, the
        # training does not trace again.
        self.inits = [programs.init(phase, mesh) for phase in phases]
        self.steps = [programs.step(phase, self._key(number, 1), mesh)
                      for number, phase in enumerate(phases)]  # fmt: skip
        self.shapes: dict[int, Snapshot] = {}
        self.sweepers = [p.sweep and Sweeper(p.sweep, feed) for p in phases]
        self.label_files = LabelFiles(self.checkpoints.workdir, feed)
        self.books = Books(phases, self.starts, feed, self.order, tools)
        self.start, self.spent = time.monotonic(), 0.0
        self.unswept = False  # Stopped between the last step of a phase and its sweep.
        self._check_shapes()

    def run(self) -> Outcome:
        restored = self.checkpoints.latest(self._wanted)
        number, now = 0, None
        if restored is not None:
            now, meta = restored
            number, self.spent = meta['number'], meta['seconds']
            self.unswept = meta.get('unswept', False)
        now = self._begin(0) if now is None else now
        while True:
            now, reason = self._phase(number, now)
            step = self.starts[number] + int(now.state.step)
            if reason or number + 1 == len(self.phases):
                return Outcome(not reason, step, reason, now.state.variables)
            number += 1
            now = self._begin(number, now)

    def _wanted(self, meta: dict) -> Snapshot:
        """What a checkpoint must hold; labels are of one data set."""
        before = meta.get('data', {'rows': meta.get('rows')})
        changed = identity.difference(before, self.pictures)
        if changed and any(self.sweepers):
            raise _labels_of_others(self.checkpoints.workdir, changed)
        if changed:
            self.log.say(f'warning: the pictures are not those of before ({changed})')
        number, before = meta['number'], self.before(meta['config'])
        text = functools.partial(self._program, number)
        place = (number, meta['step'])
        lengthening.check(before, self.phases, meta['config'], place, text)
        return self._abstract(meta['number'])

    @functools.cached_property
    def pictures(self) -> identity.Identity:
        return identity.of(self.feed.source)

    def _program(self, number: int, phase: Phase) -> str:
        now, key = self._abstract(number), self._key(number, 1)
        step = jax.jit(phase.step)
        return step.lower(now.state, self.first, now.labels, key).as_text()

    def _check_shapes(self) -> None:
        """Trace every phase before anything is compiled or saved."""
        try:
            for number, phase in enumerate(self.phases):
                if phase.keep_best and not phase.sweep:
                    raise ValueError(f'phase {phase.name}: keep_best needs a sweep')
                now = self._abstract(number)
                if sweeper := self.sweepers[number]:
                    sweeper.row_shapes(now.state, self.first, now.labels)
                jax.eval_shape(self.steps[number], now.state, self.first, now.labels)
        except ValueError as error:
            raise UserError(f'the config does not fit the pictures: {error}') from error

    def _begin(self, number: int, before: Snapshot | None = None) -> Snapshot:
        """First snapshot of a phase, from the last one of the phase before."""
        old = Snapshot(None, {}, {}) if before is None else before
        state = self.inits[number](self._key(number, 0), self.first, old.state)
        sweeper = self.sweepers[number]
        labels = sweeper.init(old.labels, self.first) if sweeper else old.labels
        return Snapshot(state, labels, self._no_best(number, state))

    def _abstract(self, number: int) -> Snapshot:
        """Shapes and shardings of a phase's snapshots, without computing any."""
        if number in self.shapes:
            return self.shapes[number]
        before = self._abstract(number - 1) if number else None
        now = jax.eval_shape(lambda: self._begin(number, _zeros(before)))
        place = lambda leaf, where: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=where
        )
        rows = jax.tree.map(lambda leaf: place(leaf, self.feed.sharding), now.labels)
        rest = jax.tree.map(
            lambda leaf: place(leaf, self.everywhere), now._replace(labels={})
        )
        self.shapes[number] = rest._replace(labels=rows)
        return self.shapes[number]

    def _phase(self, number: int, now: Snapshot) -> tuple[Snapshot, str]:
        phase, done = self.phases[number], int(now.state.step)
        if done == phase.steps and not self.unswept:
            return now, ''
        compiled, clock = None, self.tools.clock
        self.log.phase(phase.name, phase.steps, done)
        start, stop = self.starts[number] + done, self.starts[number + 1]
        for batch in clock.batches(self.feed.stream(self.order, start, stop)):
            reason = self.stop.asked()
            if not reason and phase.sweep and done % phase.sweep.every == 0:
                now, reason = self._sweep(number, now)
            if reason:
                return self._leave(number, now), reason
            compiled = compiled or self._compile(number, now, batch)
            state, scalars = compiled(now.state, batch, now.labels)
            now, done, self.stop.stepped = now._replace(state=state), done + 1, True
            clock.stepped(scalars)
            self.tools.profile.stepped()
            self.books.stepped(done, scalars)
            if done < phase.steps:
                self._keep_books(number, now, done)
        return self._end(number, now)

    def _compile(self, number, now, batch):
        """The step, with what it will need told before it runs."""
        start, name = time.monotonic(), self.phases[number].name
        step = self.steps[number].lower(now.state, batch, now.labels).compile()
        took = f'{name}: step compiled in {time.monotonic() - start:.1f} s'
        self.log.say('; '.join(filter(None, [took, limits.forecast(step)])))
        return step

    def _end(self, number, now):
        """The last sweep and books of a phase."""
        phase = self.phases[number]
        if phase.sweep and phase.sweep.at_end:
            now, reason = self._sweep(number, now)
            self.unswept = bool(reason)
            if reason:
                return self._leave(number, now), reason
        return self._keep_books(number, now, phase.steps), ''

    def _sweep(self, number, now):
        """The snapshot with new labels; as it was, with a reason, where it should stop."""
        done = int(now.state.step)
        key = jax.random.fold_in(self._key(number, 2), done)
        asked = self.stop.asked
        found = self.sweepers[number].run(now.state, now.labels, key, asked)
        if found is None:
            return now, self.stop.said
        return self._swept(number, done, now, found), ''

    def _swept(self, number, done, now, found):
        phase, (labels, state, scalars) = self.phases[number], found
        values = {f'sweep/{name}': float(value) for name, value in scalars.items()}
        values = {k: v for k, v in values.items() if math.isfinite(v)}  # For JSON.
        self.log.sweep(done, values, total=self.starts[number] + done)
        self.label_files.write(
            self.starts[number] + done, labels, stride=phase.sweep.stride
        )
        if phase.sweep.advise and (advice := phase.sweep.advise(scalars)):
            self.log.say(f'warning: {advice}')
        now = now._replace(labels=labels, state=state)
        if phase.keep_best and scalars[phase.keep_best] > now.best['value']:
            kept = jax.tree.map(jnp.copy, now.state.variables)  # The state is donated.
            now = now._replace(
                best={'value': scalars[phase.keep_best], 'variables': kept}
            )
        return now

    def _keep_books(self, number, now, done):
        """Log and save where due; at the end of a phase the best state replaces the last."""
        last = done == self.phases[number].steps
        save = last or done % self.every['checkpoint_every'] == 0
        due = save or done % self.every['log_every'] == 0 or done == 1
        if due:
            self.books.write(number, done, now)
        # Where no sweep had a scalar above -inf there is no best: the last is kept.
        if last and now.best and jnp.isfinite(now.best['value']):
            name = last_of(self.phases[number].name)
            self.checkpoints.save_aside(name, now)
            now = now._replace(state=now.state.replace(variables=now.best['variables']))
        if save:
            self._save(number, now)
        return now

    def _leave(self, number, now):
        self.books.look(number, now)
        self._save(number, now)
        return now

    def _save(self, number, now):
        done = int(now.state.step)
        meta = {
            'number': number,
            'phase': self.phases[number].name,
            'step': done,
            'unswept': self.unswept,
            'data': self.pictures._asdict(),
            'planned': [phase.steps for phase in self.phases],
            'seconds': round(self.spent + time.monotonic() - self.start, 1),
            'device': f'{self.feed.sharding.mesh.size} x {jax.devices()[0].device_kind}',
        }
        self.checkpoints.save(self.starts[number] + done, now, meta)
        self.log.send()

    def _no_best(self, number, state):
        if not self.phases[number].keep_best:
            return {}
        worst = jax.jit(lambda: -jnp.float32(jnp.inf), out_shardings=self.everywhere)()
        return {'value': worst, 'variables': jax.tree.map(jnp.copy, state.variables)}

    def _key(self, number, use):
        return phase_key(self.seed, number, use)


def phase_key(seed: int, number: int, use: int) -> jax.Array:
    """Key of a run's phase for its init (`use` 0), steps (1) or sweeps (2)."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), number), use)


def _zeros(shapes):
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

"""One checkpoint holds all of a run: state, labels, phase, step, config."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import pathlib
import sys
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from kpdiscovery.types import Tree, UserError

_FREE = ('data.path', 'mesh', 'run')  # May change between a run and its resumption.
_CONFIG = 'config.json'


class Snapshot(NamedTuple):
    """What the loop needs to go on as if it had never stopped."""

    state: Any  # A State, or its shapes.
    labels: Tree
    best: Tree  # {'value', 'variables'} of the best sweep, {} without `keep_best`.


class Checkpoints:
    """The checkpoints of one workdir, written by one process group at a time.

    Steps count through all phases. A checkpoint appears under its name only once it is
    whole; one damaged later is passed over for the one before it, with a warning.

    Args:
        free: settings that may be others than those the workdir was trained with.

    Raises:
        UserError: another process writes here, or the workdir holds another config.
    """

    def __init__(
        self,
        workdir: str | os.PathLike,
        config: dict,
        *,
        keep: int = 2,
        free: Iterable[str] = (),
    ):
        self.workdir = pathlib.Path(workdir).resolve()
        self._own = not self.workdir.exists()
        self.workdir.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.workdir)
        try:
            _check_config(self.workdir, config, {*_FREE, *free})
        except UserError:
            self._lock.close()
            raise
        self._config, self._damaged = config, set[int]()
        self._manager = _manager(self.workdir, keep)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        nothing = not self._manager.all_steps()
        self._manager.close()
        if nothing:
            self._tidy()
        self._lock.close()

    def _tidy(self):
        """A start that failed leaves no folder that looks like a run."""
        (self.workdir / f'.lock{jax.process_index()}').unlink(missing_ok=True)
        folders = [self.workdir / 'checkpoints', *[self.workdir] * self._own]
        with contextlib.suppress(OSError):  # One is not empty.
            for folder in folders:
                folder.rmdir()

    def save(self, step: int, snapshot: Snapshot, meta: dict) -> None:
        """Write checkpoint `step` unless it is there already, and whole."""
        if step in self._damaged:
            self._manager.delete(step)
            self._damaged.discard(step)
        if step in self._manager.all_steps():
            return
        _write_config(self.workdir, self._config)
        parts = ocp.args.Composite(
            state=ocp.args.StandardSave(snapshot._asdict()),
            meta=ocp.args.JsonSave({**meta, 'config': self._config}),
        )
        self._manager.save(step, args=parts)
        self._manager.wait_until_finished()

    def save_aside(self, name: str, snapshot: Snapshot) -> pathlib.Path:
        """Write a snapshot under a name of its own, never resumed from."""
        path = self.workdir / name
        with ocp.StandardCheckpointer() as writer:
            writer.save(path, snapshot._asdict(), force=True)
        return path

    def latest(self, wanted) -> tuple[Snapshot, dict] | None:
        """The newest checkpoint that can be read, or None in a fresh workdir.

        Args:
            wanted: function from the stored meta to the Snapshot of
                `jax.ShapeDtypeStruct` leaves, with shardings, that it must hold.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            try:
                snapshot, meta = _restore(self._manager, step, wanted)
                if meta.get('unswept'):  # One with its sweep will take its place.
                    self._damaged.add(step)
                return snapshot, meta
            except (ValueError, OSError, KeyError) as error:
                _damaged(step, self.workdir, error)
                self._damaged.add(step)
        if steps:
            raise UserError(
                f'no checkpoint of {self.workdir} can be read: use a new --workdir'
            )
        return None


def load_variables(
    workdir: str | os.PathLike, step: int | None = None
) -> tuple[Any, dict]:
    """Variables of a checkpoint, as numpy, and its meta: for predicting.

    Args:
        step: through all phases; None: the newest that can be read.
    """
    workdir = pathlib.Path(workdir).resolve()
    if not _any_step(workdir):
        raise UserError(
            f'{workdir} holds no checkpoint: train first (kpd train --workdir=...)'
        )
    with _manager(workdir, None) as manager:
        for number in _chosen(manager, workdir, step):
            try:
                parts = ocp.args.Composite(
                    state=ocp.args.StandardRestore(), meta=ocp.args.JsonRestore()
                )
                restored = manager.restore(number, args=parts)
                state = restored['state']['state']
                meta = {k: v for k, v in restored['meta'].items() if k != 'config'}
                return jax.device_get(state['variables']), meta
            except (ValueError, OSError, KeyError) as error:
                _damaged(number, workdir, error)
    raise UserError(
        f'no checkpoint of {workdir} can be read: train again in a new --workdir'
    )


def last_meta(workdir: str | os.PathLike) -> dict | None:
    """What the newest checkpoint says of itself; None if there is none to be read."""
    workdir = pathlib.Path(workdir).resolve()
    if not _any_step(workdir):
        return None
    with _manager(workdir, None) as manager:
        try:
            return _meta(manager, manager.latest_step())
        except (ValueError, OSError, KeyError):
            return None  # Damaged: told when it is resumed from.


def unfinished(meta: dict) -> str:
    """Where a run stands that has not come to its end, in words; '' if it has."""
    planned = meta.get('planned')  # Not known of old checkpoints.
    if not planned or (meta['number'], meta['step']) >= (len(planned) - 1, planned[-1]):
        return ''
    number, of = meta['number'], len(planned)
    phase = f'phase {meta["phase"]}' + f' ({number + 1} of {of})' * (of > 1)
    return f'stopped at step {meta["step"]} of {planned[number]} of {phase}'


def load_epochs(workdir: str | os.PathLike) -> Iterator[tuple[int, Any]]:
    """Step through all phases and variables, as training left them at every checkpoint
    kept of the last phase.

    At the end of a phase that keeps its best state these are the last ones, where
    `load_variables` has the best.
    """
    workdir = pathlib.Path(workdir).resolve()
    phase = load_variables(workdir)[1]['phase']
    with _manager(workdir, None) as manager:
        steps = sorted(manager.all_steps())
    aside = workdir / last_of(phase)
    for step in steps:
        variables, meta = load_variables(workdir, step)
        if step == steps[-1] and aside.is_dir():
            with ocp.StandardCheckpointer() as reader:
                variables = jax.device_get(reader.restore(aside)['state']['variables'])
        if meta['phase'] == phase:
            yield step, variables


def last_of(phase: str) -> str:
    """Name of the state a phase ended with, where a better one has replaced it."""
    return f'last_{phase}'


def _chosen(manager, workdir, step):
    kept = sorted(manager.all_steps(), reverse=True)
    if step is None:
        return kept
    if step not in kept:
        steps = ', '.join(map(str, sorted(kept)))
        raise UserError(f'{workdir} keeps no checkpoint of step {step}, only {steps}')
    return [step]


def load_config(workdir: str | os.PathLike) -> dict:
    """The config a workdir was trained with."""
    path = pathlib.Path(workdir) / _CONFIG
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f'{workdir} is not a workdir: it has no {_CONFIG}') from None
    except json.JSONDecodeError as error:
        raise UserError(f'{path} is not readable: {error}') from None


def _any_step(workdir):
    return any(path.name.isdigit() for path in workdir.glob('checkpoints/*'))


def _meta(manager, step):
    only = ocp.args.Composite(meta=ocp.args.JsonRestore())
    return manager.restore(step, args=only)['meta']


def _restore(manager, step, wanted):
    meta = _meta(manager, step)
    target = ocp.args.StandardRestore(wanted(meta)._asdict())
    restored = manager.restore(step, args=ocp.args.Composite(state=target))
    return Snapshot(**restored['state']), meta


def _manager(workdir, keep):
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep, enable_async_checkpointing=False, create=True
    )
    return ocp.CheckpointManager(workdir / 'checkpoints', options=options)


def _lock(workdir):
    """Held until the process ends, however it ends; one a process of a multi-host run."""
    handle = open(workdir / f'.lock{jax.process_index()}', 'w')  # noqa: SIM115
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        raise UserError(
            f'{workdir} is being written by another process: stop it or use a new --workdir'
        ) from None
    return handle


def _check_config(workdir, config, free):
    path = workdir / _CONFIG
    if path.exists():
        new = json.loads(json.dumps(config))
        changed = _difference(load_config(workdir), new, free)
        if changed:
            raise UserError(
                f'{workdir} was trained with another config ({changed}): '
                'use a new --workdir, or the old config'
            )


def _write_config(workdir, config):
    """Beside the checkpoints too, where people look and no checkpoint must be opened."""
    if jax.process_index() == 0:
        (workdir / _CONFIG).write_text(json.dumps(config, indent=1, sort_keys=True))


def _difference(old, new, free: Collection[str], prefix=''):
    """First setting that differs, as 'a.b is 1, was 2'; '' where none does."""
    if prefix[:-1] in free:
        return ''
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return '' if old == new else f'{prefix[:-1]} is {new!r}, was {old!r}'
    # The method first: its other settings only differ because it does.
    keys = sorted({*old, *new}, key=lambda key: (key != 'method', key != 'name', key))
    found = (
        _difference(old.get(key), new.get(key), free, f'{prefix}{key}.') for key in keys
    )
    return next((text for text in found if text), '')


def _damaged(step, workdir, error) -> None:
    """Says so; threads that still read it will find nobody to tell, which is no news."""
    line = _first_line(error)
    logging.warning('checkpoint %d of %s cannot be read, trying the one before: %s', step,
                    workdir, line)  # fmt: skip
    tell = sys.excepthook
    sys.excepthook = lambda kind, error, trace: (
        None if 'Event loop is closed' in str(error) else tell(kind, error, trace)
    )


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]

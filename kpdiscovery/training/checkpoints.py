"""One checkpoint holds all of a run: state, labels, phase, step, config.

WORKDIR/checkpoints/STEP has the state, WORKDIR/tables/STEP the labels as they were when
they were first saved: a checkpoint names its own, so that what no sweep has changed is
not written again.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import logging
import os
import secrets
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp
from etils import epath

from kpdiscovery import paths, processes
from kpdiscovery.training import runs
from kpdiscovery.types import Tree, UserError

_FREE = ('data.path', 'mesh', 'run')  # May change between a run and its resumption.


class Snapshot(NamedTuple):
    """What the loop needs to go on as if it had never stopped."""

    state: Any  # A State, or its shapes.
    labels: Tree
    best: Tree  # {'value', 'variables'} of the best sweep, {} without `keep_best`.


class Checkpoints:
    """The checkpoints of one workdir, written by one process group at a time.

    Steps count through all phases. A checkpoint appears under its name only once it is
    whole, which it becomes while training goes on; one damaged later is passed over for
    the one before it, with a warning.

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
        self.workdir = paths.folder(workdir)
        self._own = not self.workdir.exists()
        self.workdir.mkdir(parents=True, exist_ok=True)
        _check_shared(self.workdir)
        self._lock = contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            undo.callback(self._lock.close)
            self._lock.enter_context(_lock(self.workdir))
            _check_config(self.workdir, config, {*_FREE, *free})
            undo.pop_all()
        self._config, self._unfit, self._told = config, set[int](), False
        self._tables = _Tables(self.workdir)
        self._manager = runs.manager(self.workdir, keep)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        with self._lock:
            nothing = not self._manager.all_steps()
            self._manager.close()
            if nothing:
                self._tidy()

    def _tidy(self):
        """A start that failed leaves no folder that looks like a run."""
        (self.workdir / _lock_name()).unlink(missing_ok=True)
        folders = [self.workdir / 'checkpoints', *[self.workdir] * self._own]
        with contextlib.suppress(OSError):  # One is not empty.
            for folder in folders:
                folder.rmdir()

    def save(self, step: int, snapshot: Snapshot, meta: dict) -> None:
        """Begin to write checkpoint `step` unless it is there already, and whole.

        Later ones, which could not be read, go: with them there this one would be thrown away.
        """
        for old in sorted(one for one in self._unfit if one >= step):
            self._manager.delete(old)
            processes.by_first(functools.partial(runs.unmark, self.workdir, old))
            self._unfit.discard(old)
        if step in self._manager.all_steps():
            return
        if not self._told:
            self._write_config()
        table = self._tables.save(step, snapshot.labels, self._manager)
        meta = {**meta, 'config': self._config, 'format': runs.FORMAT, 'tables': table}
        parts = ocp.args.Composite(
            state=ocp.args.StandardSave(snapshot._replace(labels={})._asdict()),
            meta=ocp.args.JsonSave(meta),
        )
        self._manager.save(step, args=parts)

    def save_aside(self, name: str, snapshot: Snapshot) -> epath.Path:
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

        Raises:
            UserError: none can be read.
        OSError: several processes cannot read the newest.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            if runs.is_marked(self.workdir, step):
                self._unfit.add(step)
                continue
            try:
                return self._restore(step, wanted)
            except runs.UNREADABLE as error:
                self._pass_over(step, error)
        if steps:
            raise UserError(
                f'no checkpoint of {self.workdir} can be read: use a new --workdir'
            )
        return None

    def _restore(self, step, wanted):
        meta = runs.meta_of(self._manager, step)
        runs.check_format(meta, self.workdir)
        target = wanted(meta)
        state = ocp.args.StandardRestore(target._replace(labels={})._asdict())
        restored = self._manager.restore(step, args=ocp.args.Composite(state=state))
        labels = self._tables.restore(meta['tables'], target.labels)
        if meta.get('unswept'):  # One with its sweep will take its place.
            self._unfit.add(step)
        return Snapshot(**{**restored['state'], 'labels': labels}), meta

    def _pass_over(self, step, error):
        """Alone for the one before; several processes would not all choose the same."""
        runs.damaged(step, self.workdir, error)
        self._unfit.add(step)
        if jax.process_count() > 1:
            runs.mark(self.workdir, step)
            raise OSError(  # No mistake in the command: launchers try again.
                f'checkpoint {step} of {self.workdir} cannot be read: the same command '
                'goes on from the one before it'
            )

    def _write_config(self):
        """Beside the checkpoints too, where people look and none must be opened."""
        text = json.dumps(self._config, indent=1, sort_keys=True)
        write = lambda: paths.write(self.workdir / runs.CONFIG, text.encode())
        processes.by_first(write)
        self._told = True


class _Tables:
    """Label tables of a workdir, each under the step at which it was new."""

    def __init__(self, workdir: epath.Path):
        self._folder = workdir / 'tables'
        self._last: Tree = {}
        self._number: int | None = None  # Under which these stand.
        self._of: dict[int, int | None] = {}  # Which a checkpoint has.

    def save(self, step: int, labels: Tree, manager: Any) -> int | None:
        """Step under which the labels stand; whole before this returns."""
        known = {n: self._named_by(manager, n) for n in manager.all_steps()}
        if not labels:
            self._number = None
        elif not _same(labels, self._last):
            with ocp.StandardCheckpointer() as writer:
                writer.save(self._folder / str(step), labels, force=True)
            self._number = step
        self._last, self._of = labels, {**known, step: self._number}
        processes.by_first(self._drop_others)
        return self._number

    def restore(self, number: int | None, wanted: Tree) -> Tree:
        """Labels like those wanted."""
        labels = {}
        if number is not None:
            with ocp.StandardCheckpointer() as reader:
                labels = reader.restore(self._folder / str(number), wanted)
        self._last, self._number = labels, number
        return labels

    def _named_by(self, manager, step):
        if step not in self._of:
            try:
                self._of[step] = runs.meta_of(manager, step).get('tables')
            except runs.UNREADABLE:
                self._of[step] = None
        return self._of[step]

    def _drop_others(self):
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.name.isdigit() and int(path.name) not in self._of.values():
                    path.rmtree()


def _same(new: Tree, old: Tree) -> bool:
    new, old = jax.tree.leaves(new), jax.tree.leaves(old)
    return len(new) == len(old) and all(map(lambda a, b: a is b, new, old))


def _lock_name() -> str:
    return f'.lock{jax.process_index()}'


def _check_shared(workdir: paths.Path) -> None:
    """Whether all processes write into one folder; each would wait for the others' parts.

    Raises:
        UserError: one does not see what process 0 has written there.
    """
    if jax.process_count() == 1:
        return

    def mark() -> str:
        name = f'.shared_{secrets.token_hex(4)}'
        paths.write(workdir / name, b'')
        return name

    name = processes.told_by_first(mark)
    sees = processes.told_by_all((workdir / name).exists())
    processes.by_first((workdir / name).unlink)
    if not all(sees):
        raise UserError(
            f'process {sees.index(False)} does not see what process 0 wrote in {workdir}: '
            '--workdir must be on a disk that all hosts share, or gs://BUCKET/RUN'
        )


@contextlib.contextmanager
def _lock(workdir):
    """Held until the process ends, however it ends; one a process of a multi-host run."""
    if paths.is_remote(workdir):  # Buckets have no locks.
        yield
        return
    with open(workdir / _lock_name(), 'w') as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f'{workdir} is being written by another process: stop it or use a new '
                '--workdir'
            ) from None
        except OSError as error:
            logging.warning(
                '%s has no locks (%s): see to it that one run alone writes there',
                workdir, error.strerror,
            )  # fmt: skip
        yield


def _check_config(workdir, config, free):
    if (workdir / runs.CONFIG).exists():
        new = json.loads(json.dumps(config))
        changed = _difference(runs.load_config(workdir), new, free)
        if changed:
            raise UserError(
                f'{workdir} was trained with another config ({changed}): '
                'use a new --workdir, or the old config'
            )


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

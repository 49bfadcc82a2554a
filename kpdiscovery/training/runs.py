"""What a workdir holds of a run, for everyone but the loop that goes on with it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from kpdiscovery import paths
from kpdiscovery.types import UserError

FORMAT = 3  # 1 had the labels beside the state, 2 labels of mirrored landmarks.
CONFIG = 'config.json'
UNREADABLE = (  # What a checkpoint that is damaged may raise.
    ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError,
)  # fmt: skip
_META = {  # What each checkpoint says of itself, and what old ones do not say yet.
    'phase': str, 'number': int, 'step': int, 'seconds': float,
}  # fmt: skip
_MORE = {
    'planned': list, 'data': dict, 'config': dict, 'format': int, 'device': str,
}  # fmt: skip


def load_variables(
    workdir: str | os.PathLike, step: int | None = None
) -> tuple[Any, dict]:
    """Variables of a checkpoint, as numpy, and its meta: for predicting.

    Nothing else of it is read, whatever devices have written it.

    Args:
        step: through all phases; None: the newest that can be read.
    """
    where = paths.folder(workdir)
    if not _any_step(where):
        raise UserError(
            f'{where} holds no checkpoint: train first (kpd train --workdir=...)'
        )
    with manager(where, None) as kept:
        for number in _chosen(kept, where, step):
            try:
                meta = meta_of(kept, number)
                variables = _variables(where / 'checkpoints' / str(number) / 'state')
                return variables, {k: v for k, v in meta.items() if k != 'config'}
            except UNREADABLE as error:
                damaged(number, where, error)
    raise UserError(
        f'no checkpoint of {where} can be read: train again in a new --workdir'
    )


def last_meta(workdir: str | os.PathLike) -> dict | None:
    """What the newest checkpoint says of itself; None if there is none to be read."""
    where = paths.folder(workdir)
    if not _any_step(where):
        return None
    with manager(where, None) as kept:
        try:
            return meta_of(kept, kept.latest_step())
        except UNREADABLE:
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
    where = paths.folder(workdir)
    phase = load_variables(where)[1]['phase']
    with manager(where, None) as kept:
        steps = sorted(kept.all_steps())
    aside = where / last_of(phase)
    for step in steps:
        variables, meta = load_variables(where, step)
        if step == steps[-1] and aside.is_dir():
            variables = _variables(aside)
        if meta['phase'] == phase:
            yield step, variables


def last_of(phase: str) -> str:
    """Name of the state a phase ended with, where a better one has replaced it."""
    return f'last_{phase}'


def load_config(workdir: str | os.PathLike) -> dict:
    """The config a workdir was trained with."""
    path = paths.folder(workdir) / CONFIG
    try:
        return paths.read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f'{workdir} is not a workdir: it has no {CONFIG}') from None
    except (OSError, ValueError) as error:
        raise UserError(f'{path} is not readable: {error}') from None


def manager(workdir: epath.Path, keep: int | None) -> Any:
    """Orbax's, that writes while training goes on."""
    options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
    return _Manager(workdir / 'checkpoints', options=options)


class _Manager(ocp.CheckpointManager):
    """Orbax's, which would itself ask jax whether to stop, by the number of the step: the
    answers to `processes.asked_to_stop`, which counts calls, would get lost."""

    def reached_preemption(self, step: int) -> bool:
        del step
        return False


def meta_of(kept: Any, step: int) -> dict:
    """What a checkpoint says of itself; one of `UNREADABLE` if that is damaged."""
    only = ocp.args.Composite(meta=ocp.args.JsonRestore())
    try:
        meta = kept.restore(step, args=only)['meta']
    except RecursionError:
        raise ValueError('nested too deeply') from None
    for name, kind in {**_META, **_MORE}.items():
        if (name in meta or name in _META) and not isinstance(meta.get(name), kind):
            raise ValueError(f'{name} is {meta.get(name)!r}')
    planned = meta.get('planned', [])
    if planned and not (
        meta['number'] in range(len(planned)) and {*map(type, planned)} == {int}
    ):
        raise ValueError(f'planned is {planned!r}')
    return meta


def check_format(meta: dict, workdir: str | os.PathLike) -> None:
    """Whether a run can go on from a checkpoint.

    Raises:
        UserError: another version of the library has written it.
    """
    found = meta.get('format', 1)
    if found != FORMAT:
        age = 'an older' if found < FORMAT else 'a newer'
        raise UserError(
            f'{workdir} was written by {age} kpdiscovery (checkpoints of format {found}, '
            f'this version goes on from format {FORMAT}): go on with that version, or '
            'train anew in another --workdir'
        )


def damaged(step: int, workdir: str | os.PathLike, error: Exception) -> None:
    """Says so; threads that still read it will find nobody to tell, which is no news."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    logging.warning('checkpoint %d of %s cannot be read, trying the one before: %s', step,
                    workdir, line)  # fmt: skip
    tell = sys.excepthook
    sys.excepthook = lambda kind, error, trace: (
        None if 'Event loop is closed' in str(error) else tell(kind, error, trace)
    )


def mark(workdir: epath.Path, step: int) -> None:
    """A checkpoint that every process passes over from now on."""
    (workdir / f'.damaged_{step}').touch()


def is_marked(workdir: epath.Path, step: int) -> bool:
    return (workdir / f'.damaged_{step}').exists()


def unmark(workdir: epath.Path, step: int) -> None:
    (workdir / f'.damaged_{step}').unlink(missing_ok=True)


def _variables(path):
    """Of a state that was saved, the variables alone."""
    with ocp.PyTreeCheckpointer() as reader:
        whole = reader.metadata(path).item_metadata.tree
        wanted = {'state': {'variables': whole['state']['variables']}}
        kind = lambda leaf: ocp.RestoreArgs(restore_type=np.ndarray)
        how = ocp.args.PyTreeRestore(
            item=wanted, restore_args=jax.tree.map(kind, wanted), partial_restore=True
        )
        return reader.restore(path, args=how)['state']['variables']


def _chosen(manager, workdir, step):
    kept = sorted(manager.all_steps(), reverse=True)
    if step is None:
        return kept
    if step not in kept:
        steps = ', '.join(map(str, sorted(kept)))
        raise UserError(f'{workdir} keeps no checkpoint of step {step}, only {steps}')
    return [step]


def _any_step(workdir):
    return any(path.name.isdigit() for path in (workdir / 'checkpoints').glob('*'))

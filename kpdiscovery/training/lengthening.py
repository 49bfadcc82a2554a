"""Other numbers of steps than a run began with: where it can go on, and why not elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from kpdiscovery.types import Phase, UserError

_MEND = 'take the old number of steps, or a new --workdir'


def judged(config: Mapping[str, Any]) -> set[str]:
    """Settings that `check` looks at, where all others must be as they were."""
    return {f'phases.{name}.steps' for name in config.get('phases', {})}


def check(
    old: Sequence[Phase],
    new: Sequence[Phase],
    config: Mapping[str, Any],
    place: tuple[int, int],
    text: Callable[[Phase], str],
) -> None:
    """Phases to come may have any number of steps, the one begun more or fewer if its
    step is the same program for both: if no learning rate falls towards the last one.

    Args:
        old, new: the phases as they were planned and as they are now.
        config: of the run so far, to name what a schedule is.
        place: of the checkpoint: number of its phase, and steps done in it.
        text: the program of a phase's step, with all its numbers.

    Raises:
        UserError: the run cannot be continued so; says why.
    """
    number, done = place
    for before, after in zip(old[:number], new[:number], strict=True):
        if before.steps != after.steps:
            raise UserError(
                f'phase {before.name} is over after {before.steps} steps and '
                f'{old[number].name} began where it ended: {_MEND}'
            )
    before, after = old[number], new[number]
    if before.steps == after.steps:
        return
    if reason := _against(before, after, config, done, text):
        raise UserError(
            f'phase {before.name} cannot have {after.steps} steps in place of '
            f'{before.steps}: {reason}; {_MEND}'
        )


def _against(before, after, config, done, text) -> str:
    if after.steps <= done:
        return f'{done} are done'
    if done == before.steps and before.keep_best:
        return 'it ended, and its best state has replaced the last'
    if text(before) == text(after):
        return ''
    decays = sorted(set(_decays(config.get('phases', {}).get(before.name, {}))))
    what = (
        ' and '.join(f'decay={name}' for name in decays) or 'a schedule of the method'
    )
    return f'{what} is planned to the last step'


def _decays(section: Any) -> Iterator[str]:
    if isinstance(section, Mapping):
        yield from [section['decay']] if 'decay' in section else []
        for value in section.values():
            yield from _decays(value)

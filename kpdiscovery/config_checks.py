"""What the settings that every config shares may be, in one table.

Fields of `method` are checked by their method, options of a source by the source, an
optimiser's keywords where it is built (`loop.phases_of`).
"""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kpdiscovery.data.box_crops import is_box
from kpdiscovery.data.official import RELEASES
from kpdiscovery.data.resize import HOW, is_known
from kpdiscovery.data.sources import SOURCES
from kpdiscovery.metrics import LANDMARK_SETS
from kpdiscovery.types import UserError

_LARGEST = sys.float_info.max


class Check(NamedTuple):
    """A rule in words, and whether a value keeps to it."""

    wanted: str
    fits: Callable[[Any], bool]


def _whole(least: int, also: str = '') -> Check:
    fits = lambda value: type(value) is int and least <= value < 2**31
    return Check(f'a whole number, at least {least}{also}', fits)


def _number(least: float, *, above: bool = False) -> Check:
    number = lambda value: type(value) in (int, float) and abs(value) <= _LARGEST
    fits = lambda value: number(value) and (value > least if above else value >= least)
    return Check(f'a number {"above" if above else "from"} {least}', fits)


def _one_of(names: Sequence[str]) -> Check:
    return Check(f'one of {", ".join(map(repr, names))}', lambda value: value in names)


def _steps(value: Any) -> bool:
    return isinstance(value, Sequence) and all(_whole(1).fits(step) for step in value)


CHECKS: dict[str, Check] = {  # By the names of settings; '*' stands for any.
    'seed': _whole(0),
    'mesh.data': Check(
        '-1 (all devices) or a whole number, at least 1',
        lambda value: type(value) is int and (value == -1 or value >= 1),
    ),
    'run.log_every': _whole(1),
    'run.checkpoint_every': _whole(1),
    'run.keep': _whole(1),
    'evaluation.fit': _whole(0),
    'evaluation.test': _whole(1),
    'evaluation.batch_size': _whole(1),
    'data.source': _one_of(sorted(SOURCES)),
    'data.size': _whole(1, ' (pixels a side)'),
    'data.batch_size': _whole(1),
    'data.per_class': _whole(0, ' (0: rows are shuffled)'),
    'data.resize': Check(
        f"one of {', '.join(map(repr, HOW))}, 'crop:0.7' (of a side that stays), "
        "'box:0.1' (the box of the object, a tenth of it around), or 'moving:0.1' (of "
        'what moves before a fixed camera)',
        lambda value: isinstance(value, str) and (is_known(value) or is_box(value)),
    ),
    'data.release': _one_of(['', *RELEASES]),
    'data.landmarks': _one_of(['', *LANDMARK_SETS]),
    'data.rows': _whole(0, ' (0: all)'),
    'data.num_detected': _whole(1),
    'data.keypoints_size': _whole(0, ' (pixels a side; 0: as the detector wants)'),
    'data.temporal_gap': _whole(0, ' (0: no pairs)'),
    'data.options.length': _whole(1),
    'phases.*.steps': _whole(1),
    'phases.*.round': _whole(1),
    'phases.*.rounds': _whole(1),
    'phases.*.epoch': _whole(1),
    'phases.*.pools_every': _whole(1),
    'phases.*.lr': _number(0),
    'phases.*.lr_min': _number(0),
    'phases.*.trunk': _number(0),
    'phases.*.l2': _number(0),
    'phases.*.share': _number(0),
    'phases.*.clip': _number(0, above=True),
    'phases.*.warmup': _whole(0),
    'phases.*.accumulate': _whole(1),
    'phases.*.cycle': _whole(1),
    'phases.*.stairs': _whole(1),
    'phases.*.drops': Check('whole numbers of steps, at least 1 each', _steps),
}


def check(config: Any) -> None:
    """Looks at every setting that the table names.

    Raises:
        UserError: the first that is not what it must be.
    """
    for path, value in _leaves(config):
        for pattern, rule in CHECKS.items():
            if fnmatch.fnmatchcase(path, pattern) and not rule.fits(value):
                raise UserError(
                    f'config key {path} must be {rule.wanted}, got {value!r}'
                )


def _leaves(config, prefix='') -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping) or hasattr(value, 'items'):
            yield from _leaves(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value

"""Which start a config has: pretrained where the networks for it are on this machine.

A config has the choice if both `pretrained` and `scratch` are among its `VARIANTS`; with
`pretrained` alone it is as it is named. `config.load` takes a config by its name always;
`kpd train` and `kpd doctor` ask here first.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from kpdiscovery import config, landmark_runs, methods, paths
from kpdiscovery.configs import variants
from kpdiscovery.models import zoo
from kpdiscovery.training import runs

PRETRAINED, SCRATCH = 'pretrained', 'scratch'  # Variants; the second declines.


class Start(NamedTuple):
    """What was chosen for a config."""

    name: str  # Of the config, with the variant that it amounts to.
    line: str = ''  # For the person; '' where there was nothing to choose.
    absent: Sequence[str] = ()  # Networks for want of which it is from scratch.


def chosen(
    name: str,
    overrides: Iterable[str] = (),
    workdir: str | os.PathLike | None = None,
) -> Start:
    """The start that a config will have.

    Nothing changes where the config has no choice or is named with one, or where a
    setting of the user's is one that the start would set. A workdir that was begun keeps
    its start.

    Raises:
        UserError: no such config.
    """
    base, _, variant = name.partition(':')
    starts = {PRETRAINED, SCRATCH}
    if not starts <= set(config.variants(base)) or starts & set(variant.split(',')):
        return Start(name)
    started, declined = (_with(base, variant, start) for start in (PRETRAINED, SCRATCH))
    if by_hand := _set_by_hand(name, started, overrides):
        return Start(name, f'no pretrained start: {by_hand[0]} is set by hand')
    before = _before(workdir)
    if before in (name, started):
        kind = 'from scratch' if before == name else 'pretrained'
        return Start(before, f'{workdir} was begun {kind} and stays so')
    needed = networks(config.load(started))
    absent = [network for network in needed if not zoo.present(network)]
    if absent:
        get = f'kpd weights {" ".join(absent)}'
        return Start(name, f'no pretrained start: {get} makes one possible', absent)
    line = f'pretrained start: {", ".join(needed)}; without: --config={declined}'
    return Start(started, line)


def networks(settings: Any) -> Sequence[str]:
    """The published networks that a config names."""
    files = [*methods.build(settings.method).weight_files()]
    detector = settings.data.get('keypoints', '').removesuffix('+sift')
    if detector == landmark_runs.CONSTELLATION:
        inner = landmark_runs.config_of(settings)
        files += methods.build(inner.method).weight_files()
    named = [detector, *(file.path for file in files)]
    return [name for name in dict.fromkeys(named) if name in zoo.NETWORKS]


def _with(base: str, variant: str, start: str) -> str:
    """The config's name with one more variant, which sizes and pods come after."""
    given = [name for name in variant.split(',') if name]
    others = [name for name in given if name not in variants.LAST]
    return f'{base}:{",".join([*others, start, *given[len(others) :]])}'


def _set_by_hand(plain: str, started: str, overrides: Iterable[str]) -> list[str]:
    """Settings among the overrides in which the two configs differ."""
    first, second = (variants.leaves(config.load(name)) for name in (plain, started))
    named = [setting.partition('=')[0] for setting in overrides]
    path = lambda name: tuple(name.split('.'))
    return [name for name in named if first.get(path(name)) != second.get(path(name))]


def _before(workdir: str | os.PathLike | None) -> str:
    """The config that a workdir was begun with; '' of a fresh one."""
    if workdir is None or not (paths.folder(workdir) / runs.CONFIG).is_file():
        return ''
    return runs.load_config(workdir)['run'].get('config', '')

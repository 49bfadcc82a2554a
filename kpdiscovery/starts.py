"""Which start a config has: pretrained where the networks for it are on this machine.

A config has the choice if both `pretrained` and `scratch` are among its `VARIANTS`; with
`pretrained` alone it is as it is named. `config.load` takes a config by its name always;
`kpd train` and `kpd doctor` ask here first.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from kpdiscovery import config, methods
from kpdiscovery.configs.variants import SIZES
from kpdiscovery.models import zoo
from kpdiscovery.training import checkpoints

PRETRAINED, SCRATCH = 'pretrained', 'scratch'  # Variants; the second declines.


def chosen(
    name: str,
    overrides: Iterable[str] = (),
    workdir: str | os.PathLike | None = None,
) -> tuple[str, str]:
    """The config's name with the start that it will have, and a line that says which.

    Nothing changes, and the line is '', where the config has no choice or is named with
    one, or where a setting of the user's is one that the start would set. A workdir that
    was begun keeps its start.

    Raises:
        UserError: no such config.
    """
    base, _, variant = name.partition(':')
    starts = {PRETRAINED, SCRATCH}
    if not starts <= set(config.variants(base)) or starts & set(variant.split(',')):
        return name, ''
    started = f'{base}:{",".join(_before_sizes(variant))}'
    if _set_by_hand(name, started, overrides):
        return name, ''
    needed = networks(config.load(started))
    before = _before(workdir)
    if before in (name, started):
        return before, ''
    absent = [network for network in needed if not zoo.present(network)]
    if absent:
        return (
            name,
            f'start from scratch; for a better one: kpd weights {" ".join(absent)}',
        )
    return started, f'pretrained start: {", ".join(needed)}; `:{SCRATCH}` declines'


def networks(settings: Any) -> Sequence[str]:
    """The published networks that a config names."""
    files = methods.build(settings.method).weight_files()
    detector = settings.data.get('keypoints', '').removesuffix('+sift')
    named = [detector, *(file.path for file in files)]
    return [name for name in dict.fromkeys(named) if name in zoo.NETWORKS]


def _before_sizes(variant: str) -> list[str]:
    given = [name for name in variant.split(',') if name]
    others = [name for name in given if name not in SIZES]
    return [*others, PRETRAINED, *given[len(others) :]]


def _set_by_hand(plain: str, started: str, overrides: Iterable[str]) -> bool:
    """Whether an override is of a setting in which the two configs differ."""
    first, second = (_leaves(config.load(name).to_dict()) for name in (plain, started))
    differ = {key for key in {*first, *second} if first.get(key) != second.get(key)}
    return bool(differ & {setting.partition('=')[0] for setting in overrides})


def _leaves(tree: dict, prefix: str = '') -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        inner = isinstance(value, dict)
        path = f'{prefix}{name}'
        found |= _leaves(value, f'{path}.') if inner else {path: value}
    return found


def _before(workdir: str | os.PathLike | None) -> str:
    """The config that a workdir was begun with; '' of a fresh one."""
    if workdir is None or not (pathlib.Path(workdir) / 'config.json').is_file():
        return ''
    return checkpoints.load_config(workdir)['run'].get('config', '')

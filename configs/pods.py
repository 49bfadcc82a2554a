"""Configs on pods: batch, learning rates and steps for so many TPU v5e chips.

Our own rule, which nobody has run (docs/pods.md). The global batch is a multiple of the
chips that grows with them up to eight times the config's: `global_batch`. Batches f times
as large are taken in 1/f of the steps, so that as many pictures are seen; learning rates
grow with the pictures of an *update*: as their square root where the optimiser divides by
the size of gradients, in proportion for SGD. Gradients that were accumulated need less of
it, so updates grow by less than f, or not at all.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

CHIPS = {'v5e_8': 8, 'v5e_64': 64, 'v5e_256': 256}
_LIKE = 8  # Chips that the config's own batch is meant for.
_MOST = 8  # The growth of the batch ends here, but for the multiple of the chips.
_SWEEPS = ('round', 'epoch', 'pools_every')  # Steps between two sweeps of a phase.


def pod(c, *, chips: int) -> None:
    """The config on `chips` chips: numbers of steps and of updates, rates, batch."""
    before = c.data.batch_size
    c.data.batch_size = global_batch(before, chips)
    more = Fraction(c.data.batch_size, before)
    c.phases = {
        name: _phase(section, more) for name, section in c.phases.to_dict().items()
    }
    for name in ('log_every', 'checkpoint_every'):
        c.run[name] = fewer(c.run[name], more)
    if 'merge_start' in c.method:  # Of self-training, in steps.
        c.method.merge_start = fewer(c.method.merge_start, more)


def global_batch(batch: int, chips: int) -> int:
    """The least multiple of `chips` from batch * min(chips / 8, 8) on."""
    wanted = batch * min(Fraction(chips, _LIKE), _MOST)
    return chips * math.ceil(wanted / chips)


def fewer(steps: int, more: Fraction) -> int:
    """As many pictures in batches `more` times as large; none stays none."""
    return max(round(steps / more), min(steps, 1))


def _phase(section: Mapping[str, Any], more: Fraction) -> dict[str, Any]:
    """A phase whose steps stay a whole number of sweeps where they were one."""
    if 'steps' not in section:
        return dict(section)  # Of passes over all pictures, however many at a time.
    found = {**section, 'steps': fewer(section['steps'], more)}
    for name in _SWEEPS:
        if name in section:
            found[name] = fewer(section[name], more)
            times, rest = divmod(section['steps'], section[name])
            found['steps'] = found['steps'] if rest else times * found[name]
    if 'optimizer' in section:
        found['optimizer'] = _optimizer(section['optimizer'], more)
    return found


def _optimizer(section: Mapping[str, Any], more: Fraction) -> dict[str, Any]:
    """One optimiser, or several by group."""
    if 'name' not in section:
        return {group: _optimizer(one, more) for group, one in section.items()}
    found, before = dict(section), section.get('accumulate', 1)
    if before > 1:
        found['accumulate'] = math.ceil(before / more)
    grown = more * found.get('accumulate', 1) / before  # Of an update's pictures.
    rate = float(grown) if section['name'] == 'sgd' else math.sqrt(grown)
    shorter = functools.partial(fewer, more=grown)
    change = {
        'lr': lambda lr: lr * rate,
        'lr_min': lambda lr: lr * rate,
        'share': lambda share: share * float(grown),
        'warmup': shorter,
        'drops': lambda drops: tuple(map(shorter, drops)),
        # Whole stairs, or the last one of a cycle would be another.
        'cycle': lambda cycle: section['stairs'] * shorter(cycle // section['stairs']),
    }
    return found | {name: change[name](found[name]) for name in change if name in found}


PODS = {name: functools.partial(pod, chips=chips) for name, chips in CHIPS.items()}

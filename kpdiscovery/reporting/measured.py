"""What the figures of metrics.json are of, beside what a workdir holds by now."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

_OF_FIGURES = ('data', 'method', 'evaluation')  # Sections that figures depend on.


def text(value: Any) -> str:
    """JSON, in which what is no finite number is null: other readers know no NaN."""
    return json.dumps(_plain(value), indent=1, allow_nan=False)


def apart(result: Mapping[str, Any], config: Any, meta: Mapping[str, Any]) -> str:
    """How a run differs from what was measured, in a few words; '' if in nothing.

    Args:
        result: of metrics.json; what it does not say, as old ones, is taken for the same.
        config: of the run, a dictionary or ConfigDict; None: not looked at.
        meta: of its checkpoint; {} none.
    """
    place = [(one.get('phase'), one.get('step')) for one in (result, meta)]
    found = []
    if place[0] != place[1] and None not in (*place[0], *place[1]):
        then, here = (f'step {step} of phase {phase}' for phase, step in place)
        found.append(f'at {then} (the run is at {here})')
    now = json.loads(text(_dict(config)))
    if names := _changed(result.get('config'), now):
        found.append('with other ' + ', '.join(names))
    return ' and '.join(found)


def _changed(before: Any, now: Any) -> list[str]:
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return []
    pick = lambda config: {
        name: value for section in _OF_FIGURES if isinstance(before.get(section), dict)
        for name, value in _leaves(config.get(section), section)
    }  # fmt: skip
    old, new = pick(before), pick(now)
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield path, value
        return
    for name, inner in value.items():
        yield from _leaves(inner, f'{path}.{name}')


def _dict(config: Any) -> Any:
    return config.to_dict() if hasattr(config, 'to_dict') else config


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

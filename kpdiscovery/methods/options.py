"""What fields of a method may be."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

_MAY_BE_ZERO = {  # Beside the fields that are 0 by default: none of it, or no limit.
    'background_pairs', 'blur', 'border', 'distill_after', 'half', 'holdout', 'margin',
    'merge_start', 'min_points', 'min_population', 'minimum', 'prototype_steps', 'radius',
}  # fmt: skip


def check_choices(method: Any, **allowed: Sequence[str]) -> None:
    """Raises ValueError where a field is none of the values allowed for it."""
    for name, values in allowed.items():
        if getattr(method, name) not in values:
            raise ValueError(
                f'{name} must be one of {tuple(values)}, got {getattr(method, name)!r}'
            )


def check_counts(kind: Any, options: Mapping[str, Any]) -> None:
    """Raises ValueError where a whole number among a dataclass's options is too small.

    Whole numbers are counts and sizes: at least 1, or 0 where that has a meaning.
    """
    for field in dataclasses.fields(kind):
        if not str(field.type).startswith(('int', 'tuple[int')):
            continue
        least = 0 if field.default == 0 or field.name in _MAY_BE_ZERO else 1
        value = options.get(field.name, least)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int) and number < least:
                raise ValueError(f'{field.name} must be at least {least}, got {value}')

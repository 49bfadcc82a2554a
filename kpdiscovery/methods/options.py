"""What fields of a method may be."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any


def check_choices(method: Any, **allowed: Sequence[str]) -> None:
    """Raises ValueError where a field is none of the values allowed for it."""
    for name, values in allowed.items():
        if getattr(method, name) not in values:
            raise ValueError(
                f'{name} must be one of {tuple(values)}, got {getattr(method, name)!r}'
            )


def check_numbers(kind: Any, options: Mapping[str, Any]) -> None:
    """Raises ValueError where a number among a dataclass's options is out of range.

    Whole numbers are counts and sizes: at least 1, or 0 where that is the default or the
    class names the field in `may_be_zero`. Others are lengths, shares and weights: at
    least 0.
    """
    zero = getattr(kind, 'may_be_zero', ())
    for field in dataclasses.fields(kind):
        whole = str(field.type).startswith(('int', 'tuple[int'))
        if not whole and not str(field.type).startswith('float'):
            continue  # Intervals may begin below 0.
        least = int(whole and field.default != 0 and field.name not in zero)
        value = options.get(field.name)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, (int, float)) and not number >= least:
                raise ValueError(f'{field.name} must be at least {least}, got {value}')


def check_sections(kind: Any, options: Mapping[str, Any]) -> None:
    """Raises ValueError where a section that a method needs is None."""
    for field in dataclasses.fields(kind):
        if options.get(field.name, '') is None and 'None' not in str(field.type):
            raise ValueError(f'{field.name} cannot be None')

"""What fields of a method may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def check_choices(method: Any, **allowed: Sequence[str]) -> None:
    """Raises ValueError where a field is none of the values allowed for it."""
    for name, values in allowed.items():
        if getattr(method, name) not in values:
            raise ValueError(
                f'{name} must be one of {tuple(values)}, got {getattr(method, name)!r}'
            )

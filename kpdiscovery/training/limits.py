"""What a run needs of the machine, told before it runs or in one line when it lacks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import jax

from kpdiscovery import paths
from kpdiscovery.types import UserError

_LESS = 'take a smaller data.batch_size, smaller pictures (data.size), or more devices'


def needed(compiled: Any) -> dict[str, int]:
    """Bytes a device: what goes in and stays, what comes out, what is needed meanwhile."""
    found = compiled.memory_analysis()
    if found is None:  # Not every backend can say.
        return {}
    return {
        'arguments': found.argument_size_in_bytes,
        'results': found.output_size_in_bytes - found.alias_size_in_bytes,
        'temporary': found.temp_size_in_bytes,
    }


def forecast(compiled: Any) -> str:
    """In words, beside what the device has; '' where nothing is known."""
    parts = needed(compiled)
    if not parts:
        return ''
    listed = ', '.join(f'{name} {_size(size)}' for name, size in parts.items())
    stats = jax.local_devices()[0].memory_stats() or {}
    limit = stats.get('bytes_limit')
    of = f' of {_size(limit)}' if limit else ''
    return f'it needs {_size(sum(parts.values()))}{of} a device ({listed})'


def _size(count: int) -> str:
    return f'{count / 1e9:.1f} GB' if count >= 1e9 else f'{count / 1e6:.0f} MB'


@contextlib.contextmanager
def told_in_one_line(workdir: str | os.PathLike) -> Iterator[None]:
    """Errors of the machine within it become a person's, with the mend.

    Raises:
        UserError: a program does not fit into a device, or the workdir's disk is full or
            may not be written.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if 'RESOURCE_EXHAUSTED' not in str(error):
            raise
        raise UserError(_too_large(error)) from None
    except (OSError, ValueError) as error:
        if (line := paths.trouble(error)) is None:
            raise
        raise UserError(
            f'{workdir} cannot be written ({line}): the same command goes on from the '
            'last checkpoint once this is mended'
        ) from None


def _too_large(error: Exception) -> str:
    line = str(error).splitlines()[0].removeprefix('RESOURCE_EXHAUSTED: ')
    return f"it does not fit into the device's memory ({line[:160]}): {_LESS}"

"""What a compiled step needs of a device, told before it runs."""

from __future__ import annotations

from typing import Any

import jax

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


def is_full(error: Exception) -> bool:
    """Whether a program failed for want of the device's memory."""
    return 'RESOURCE_EXHAUSTED' in str(error)


def too_large(error: Exception) -> str:
    """In one line, with the mend."""
    line = str(error).splitlines()[0].removeprefix('RESOURCE_EXHAUSTED: ')
    return f"it does not fit into the device's memory ({line[:160]}): {_LESS}"

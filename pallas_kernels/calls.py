"""What all kernels share: the choice of an implementation, and types of their results."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.experimental.pallas import tpu as pltpu

IMPLEMENTATIONS = ('auto', 'reference', 'mosaic_tpu', 'interpret')


_PLAIN = contextvars.ContextVar('plain', default=False)


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """What is traced inside has no kernels: programs for platforms not known yet."""
    token = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(token)


def dispatch(
    implementation: str,
    reference: Callable[..., Any],
    kernel: Callable[..., Any],
    *args: jax.Array,
) -> Any:
    """One of the two on arrays, which must give results of the same shapes and types.

    Args:
        implementation: 'auto' takes the kernel where the program is compiled for TPUs,
            not where it is traced on one; 'interpret' runs the kernel anywhere, slowly,
            in memory that starts as NaN and refuses reads out of bounds.
        kernel: takes `interpret` beside the arrays.

    Raises:
        ValueError: `implementation` is not one of `IMPLEMENTATIONS`.
    """
    if implementation == 'auto' and _PLAIN.get():
        return reference(*args)
    if implementation == 'auto':
        return jax.lax.platform_dependent(*args, tpu=kernel, default=reference)
    if implementation == 'reference':
        return reference(*args)
    if implementation == 'mosaic_tpu':
        return kernel(*args)
    if implementation == 'interpret':
        return kernel(*args, interpret=pltpu.InterpretParams())
    raise ValueError(
        f'implementation must be one of {IMPLEMENTATIONS}, got {implementation!r}'
    )


def shape_like(x: jax.Array, shape: tuple[int, ...], dtype: Any) -> Any:
    """The type of a result that varies over devices as `x` does under `jax.shard_map`."""
    kind = jax.typeof(x).manual_axis_type
    return jax.ShapeDtypeStruct(shape, dtype, manual_axis_type=kind)

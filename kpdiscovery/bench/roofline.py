"""The least time that work can take on this device, from two ceilings measured here.

Bytes: adding 1 to a large array reads and writes it once. Flops: a large matrix product of
float32, at the precision that counts as exact on the device.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from kpdiscovery.bench import timing

_REPEATS = 5


def milliseconds(bytes: float, flops: float, clock: str = 'wall') -> float:
    """Of work that moves so many bytes and does so many flops, both at full speed."""
    per_byte, per_flop = _costs(clock)
    return max(bytes * per_byte, flops * per_flop)


@functools.cache
def _costs(clock):
    """Milliseconds a byte and a flop."""
    small = jax.default_backend() == 'cpu'
    long = jnp.ones(2**25 if small else 2**28)
    square = jnp.ones((1536 if small else 8192,) * 2)
    functions = {
        'bytes': functools.partial(jax.jit(lambda x: x + 1), long),
        'flops': functools.partial(
            jax.jit(lambda x: jnp.matmul(x, x, precision='highest')), square
        ),
    }
    median = timing.median_ms(functions, _REPEATS, clock)
    per_byte = median['bytes'] / (2 * long.nbytes)
    return per_byte, median['flops'] / (2 * square.shape[0] ** 3)

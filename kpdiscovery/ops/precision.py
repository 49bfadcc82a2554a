"""The one rule of precision: reductions and coordinates are float32 or wider."""

import jax
import jax.numpy as jnp


def full(x: jax.Array) -> jax.Array:
    """`x` as float32, or as it is where it is wider (float64 in parity tests)."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))

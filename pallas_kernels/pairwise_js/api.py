"""Divergences by the implementation that fits the platform; there is no gradient."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from pallas_kernels import calls
from pallas_kernels.pairwise_js import mosaic_tpu, reference


def pairwise_js(
    p: jax.Array,
    q: jax.Array,
    own_p: jax.Array,
    own_q: jax.Array,
    *,
    implementation: str = 'auto',
) -> jax.Array:
    """Divergences of all pairs, summed over cells: see `reference.pairwise_js`.

    Args:
        p, q, own_p, own_q: float32 or bfloat16; computed in float32.
        implementation: as `calls.dispatch`.

    Raises:
        ValueError: shapes that do not fit, or no such implementation.
    """
    shapes = [x.shape for x in (p, q, own_p, own_q)]
    if p.ndim != 3 or q.shape[1:] != p.shape[1:] or [
        p.shape[:2], q.shape[:2]
    ] != shapes[2:]:  # fmt: skip
        raise ValueError(f'wanted [A, P, C], [B, P, C], [A, P], [B, P], got {shapes}')
    return calls.dispatch(
        implementation, reference.pairwise_js, mosaic_tpu.pairwise_js,
        *(x.astype(jnp.float32) for x in (p, q, own_p, own_q)),
    )  # fmt: skip

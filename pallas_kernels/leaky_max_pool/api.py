"""Pooling with its gradient, by the implementation that fits the platform."""

from __future__ import annotations

import functools

import jax

from pallas_kernels import calls
from pallas_kernels.leaky_max_pool import mosaic_tpu, reference


def leaky_max_pool(
    cells: jax.Array,
    *,
    of_largest: float,
    of_sum: float,
    implementation: str = 'auto',
) -> jax.Array:
    """`of_largest * max + of_sum * sum` over the cells of every map.

    Maximum pooling is (1, 0), the leaky one (1 + epsilon, -epsilon). The gradient of the
    maximum goes to the first of equal cells.

    Args:
        cells: `[B, H, W, C]`, float.
        implementation: as `calls.dispatch`.

    Returns:
        `[B, C]` float32, or as wide as the cells.

    Raises:
        ValueError: `cells` has no cells or not four axes, or no such implementation.
    """
    if cells.ndim != 4 or not cells.shape[1] * cells.shape[2]:
        raise ValueError(f'cells must be [B, H >= 1, W >= 1, C], got {cells.shape}')
    if not cells.size:
        implementation = 'reference'  # There are no blocks of nothing.
    return _pool(implementation, float(of_largest), float(of_sum), cells)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _pool(implementation, of_largest, of_sum, cells):
    return _forward(implementation, of_largest, of_sum, cells)[0]


def _forward(implementation, of_largest, of_sum, cells):
    weights = {'of_largest': of_largest, 'of_sum': of_sum}
    plain = functools.partial(reference.forward, **weights)
    kernel = functools.partial(mosaic_tpu.forward, **weights)
    return calls.dispatch(implementation, plain, kernel, cells)


def _keep(implementation, of_largest, of_sum, cells):
    value, first = _forward(implementation, of_largest, of_sum, cells)
    return value, (first, cells[:0])  # Of the cells only their number and type.


def _backward(implementation, of_largest, of_sum, kept, grads):
    first, cells = kept
    options = {'size': cells.shape[1:3], 'of_largest': of_largest,
               'of_sum': of_sum, 'dtype': cells.dtype}  # fmt: skip
    plain = functools.partial(reference.backward, **options)
    kernel = functools.partial(mosaic_tpu.backward, **options)
    return (calls.dispatch(implementation, plain, kernel, first, grads),)


_pool.defvjp(_keep, _backward)

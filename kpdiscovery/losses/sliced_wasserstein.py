"""Distance between two clouds of vectors by sorting random projections."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kpdiscovery.ops import parallel


def sliced_wasserstein(x: jax.Array, y: jax.Array, directions: jax.Array) -> jax.Array:
    """Squared sliced 2-Wasserstein distance of two clouds of the same size.

    mean over directions and ranks of (sort(x d) - sort(y d))^2: one scalar, since it
    compares whole sets. In one dimension sorting is the optimal transport. Under `jit`
    with a mesh every device sorts its share of the directions.

    Args:
        x, y: `[N, D]`; gradients reach both. Of samples that project to one value the
            first has the lower rank.
        directions: `[P, D]` unit vectors (`random_directions`).

    Raises:
        ValueError: clouds of different shape.

    Source: [jin2022], section 3.3, eq. 6; [kolouri2019]. The released code sums over
    ranks instead; multiply by N for its scale.
    """
    if x.shape != y.shape:
        raise ValueError(
            f'x and y must have one shape [N, D], got {x.shape} and {y.shape}'
        )
    along = parallel.spread_rows(directions)  # Rows of zeros that it adds cost nothing.
    project = lambda cloud: _sorted(jnp.einsum('nd,pd->pn', cloud, along))
    squares = (project(x) - project(y)) ** 2
    return squares.sum() / (len(directions) * len(x))


def random_directions(key: jax.Array, count: int, dim: int) -> jax.Array:
    """`[count, dim]` directions, uniform on the unit sphere."""
    raw = jax.random.normal(key, (count, dim))
    return raw / jnp.linalg.norm(raw, axis=-1, keepdims=True)


@jax.custom_vjp
def _sorted(values: jax.Array) -> jax.Array:
    """`[P, N]` in ascending order along N.

    The gradient of `jnp.sort` is a scatter of single numbers, which a TPU does one by
    one; here it is sorted back into place.
    """
    return _values(jax.lax.sort(_keys(values), is_stable=False), values.dtype)


def _forward(values):
    """Sorted values, and the place in `values` of each."""
    place = jax.lax.broadcasted_iota(jnp.int32, values.shape, 1)
    elsewhere = _by_two_keys if values.dtype.itemsize > 4 else _by_one_key
    keys, source = jax.lax.platform_dependent(
        _keys(values), place, tpu=_by_two_keys, default=elsewhere
    )
    return _values(keys, values.dtype), source


def _by_two_keys(keys, place):
    # Places are keys too: equal values keep their order, as in `jnp.sort`.
    return tuple(jax.lax.sort((keys, place), num_keys=2, is_stable=False))


def _by_one_key(keys, place):
    """Both in one number, which XLA sorts four times as fast on a CPU."""
    with jax.enable_x64(True):
        both = (keys.astype(jnp.int64) << 32) | place.astype(jnp.int64)
        both = jax.lax.sort(both, is_stable=False)
        low = jnp.bitwise_and(both, 0xFFFFFFFF)
        return (both >> 32).astype(keys.dtype), low.astype(jnp.int32)


def _backward(source, gradient):
    return (
        jax.lax.platform_dependent(
            source, gradient, tpu=_back_by_sorting, default=_back_by_writing
        ),
    )


_sorted.defvjp(_forward, _backward)


def _back_by_sorting(source, gradient):
    return jax.lax.sort((source, gradient), num_keys=1, is_stable=False)[1]


def _back_by_writing(source, gradient):
    row = jnp.arange(len(source))[:, None]
    return jnp.zeros_like(gradient).at[row, source].set(gradient, unique_indices=True)


def _keys(values):
    """Integers in the order of floats: XLA sorts them five times as fast on a CPU."""
    bits = jax.lax.bitcast_convert_type(values, f'int{values.dtype.itemsize * 8}')
    return jnp.where(bits < 0, bits ^ jnp.iinfo(bits.dtype).max, bits)


def _values(keys, dtype):
    bits = jnp.where(keys < 0, keys ^ jnp.iinfo(keys.dtype).max, keys)
    return jax.lax.bitcast_convert_type(bits, dtype)

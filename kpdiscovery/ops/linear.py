"""Small dense linear systems, one per example."""

import jax
import jax.numpy as jnp


def solve(a: jax.Array, b: jax.Array) -> jax.Array:
    """x with a x = b, for `[..., n, n]` and `[..., n, m]`, by elimination with pivots.

    Plain array operations, unlike a library's factorisation, which a compiler for
    several devices gathers on each of them. For systems of tens of unknowns; singular
    ones give results that are not finite.
    """
    n = a.shape[-1]
    rows = jnp.arange(n).reshape((1,) * (a.ndim - 2) + (n, 1))

    def eliminate(column, system):
        below = jnp.where(rows >= column, jnp.abs(_column(system, column)), -1.0)
        pivot = jnp.argmax(below, axis=-2, keepdims=True)
        system = _swap(system, column, pivot, rows)
        first = jax.lax.dynamic_slice_in_dim(system, column, 1, axis=system.ndim - 2)
        first = first / _column(first, column)
        rest = system - _column(system, column) * first
        return jnp.where(rows == column, first, rest)

    system = jnp.concatenate([a, b], axis=-1)
    return jax.lax.fori_loop(0, n, eliminate, system)[..., n:]


def _column(system, column):
    return jax.lax.dynamic_slice_in_dim(system, column, 1, axis=system.ndim - 1)


def _swap(system, i, j, rows):
    """Rows `i` (one for all) and `j` `[..., 1, 1]` exchanged."""
    there = jnp.sum(jnp.where(rows == j, system, 0), axis=-2, keepdims=True)
    here = jax.lax.dynamic_slice_in_dim(system, i, 1, axis=system.ndim - 2)
    system = jnp.where(rows == j, here, system)
    return jnp.where(rows == i, there, system)

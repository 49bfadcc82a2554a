"""The label table: features of every picture, and the pictures most like it."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from kpdiscovery.methods.feature_alignment import parts
from kpdiscovery.methods.feature_alignment.features import of_batch
from kpdiscovery.ops import divergences, parallel, reductions
from kpdiscovery.types import Batch, State, Sweep, SweepResult, Tree

_STORED = jnp.bfloat16  # Of unit vectors: half the memory of a data set.


def dictionary_sweep(method, steps: int) -> Sweep:
    """Features of all pictures into the table, then the parts that they are made of."""
    return Sweep(
        steps,
        functools.partial(_blank, method),
        functools.partial(_describe, method),
        functools.partial(_learn, method),
    )


def pool_sweep(method, every: int) -> Sweep:
    """Pools of similar pictures, by the part maps as they are now."""
    return Sweep(
        every,
        functools.partial(_with_pools, method),
        lambda state, batch, labels: labels,
        functools.partial(_pool, method),
    )


def _blank(method, rows: int, labels: Tree, batch: Batch) -> Tree:
    del labels
    h, w, d = method.feature_shape(batch)
    return {
        'features': jnp.zeros((rows, h, w, d), _STORED),
        'valid': jnp.zeros((rows, h, w), bool),
    }


def _describe(method, state: State, batch: Batch, labels: Tree) -> Tree:
    del labels
    features, valid = of_batch(method.features, state.variables, batch)
    return {'features': features.astype(_STORED), 'valid': valid}


def _learn(method, rows: Any, state: State, key: jax.Array) -> SweepResult:
    table = {name: rows[name] for name in ('features', 'valid')}

    def fit(rows, key, axis_name):
        return {}, parts.learn_dictionary(method, rows, key, axis_name=axis_name)

    _, (directions, scalars) = parallel.over_rows(fit, rows, key)
    variables = {
        **state.variables,
        'parts': {'directions': directions},
        'dictionary': {'directions': directions},
    }
    return SweepResult(table, dataclasses.replace(state, variables=variables), scalars)


def _with_pools(method, rows: int, labels: Tree, batch: Batch) -> Tree:
    del batch
    k = method.neighbours
    return {
        **labels,
        'neighbours': jnp.full((rows, k), -1, jnp.int32),
        'divergences': jnp.full((rows, k), jnp.inf),
    }


def _pool(method, rows: Any, state: State, key: jax.Array) -> SweepResult:
    del key
    found = functools.partial(_nearest, method)
    table, scalars = parallel.over_rows(
        found, rows, state.variables['parts']['directions']
    )
    kept = {name: rows[name] for name in ('features', 'valid')}
    return SweepResult({**kept, **table}, state, scalars)


def _nearest(method, rows, directions, *, axis_name):
    """The pictures of least Jensen-Shannon divergence to each."""
    n, h, w, d = rows['features'].shape
    features = rows['features'].reshape(n, h * w, d)
    cells, valid = rows['valid'].reshape(n, h * w), rows['row_valid']
    look = lambda features, cells: parts.part_maps(
        directions, features, cells, kappa=method.kappa
    )
    options = {
        'valid': valid, 'cell_valid': cells, 'pool': method.pool,
        'block': method.block or None, 'axis_name': axis_name,
    }  # fmt: skip
    if divergences.in_pool(method.pool, n, axis_name):  # All maps may be too many.
        found = divergences.similar_in_pool(
            look, features, method.neighbours, **options
        )
    else:
        maps = look(features, cells)
        found = divergences.most_similar(maps, method.neighbours, **options)
    mean = functools.partial(reductions.mean_where, axis_name=axis_name)
    there = found.indices >= 0
    scalars = {
        'divergence': mean(found.distances, there),
        'neighbours': mean(there.sum(axis=1), valid),
    }
    return {'neighbours': found.indices, 'divergences': found.distances}, scalars

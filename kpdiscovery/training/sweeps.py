"""A pass over the whole data set on the mesh: describe every row, then label them all.

The table of N rows is split into one contiguous block a device. Batch j of a sweep holds
the j-th piece of every block, so that each device writes and reads only rows it owns.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from kpdiscovery.data.feeds import Feed
from kpdiscovery.training import sharding
from kpdiscovery.types import State, Sweep, SweepResult, Tree


class Sweeper:
    """Runs one phase's sweep over one feed; compiled once."""

    def __init__(self, sweep: Sweep, feed: Feed):
        self.sweep, self.feed = sweep, feed
        mesh = feed.sharding.mesh
        self.piece = feed.batch_size // mesh.size
        seen = -(-len(feed.source) // sweep.stride)
        self.pieces = -(-seen // feed.batch_size)
        self.block = self.piece * self.pieces
        self.rows = self.block * mesh.size  # N_padded.
        rows: Any = feed.sharding
        everywhere: Any = sharding.replicated(mesh)
        start = functools.partial(sweep.init, self.rows)
        # (labels of the phase before, batch) -> table `[N_padded, ...]` of the first step.
        self.init = jax.jit(start, out_shardings=rows)
        self._described = jax.jit(self._extract)  # Traced once, for shapes and rows.
        self.visit = jax.jit(self._visit_piece, donate_argnums=0, out_shardings=rows)
        placed = SweepResult(rows, everywhere, everywhere)
        self.reduce = jax.jit(sweep.reduce, donate_argnums=1, out_shardings=placed)

    def run(
        self,
        state: State,
        labels: Tree,
        key: jax.Array,
        asked: Callable[[], object] = bool,
    ) -> Any:
        """New labels, the state with what was found, and the health line.

        Args:
            asked: whether to stop; then None is returned, and the state and the labels
                are as they were.
        """
        table = None
        for piece, batch in enumerate(self.feed.stream(self._order, 0, self.pieces)):
            if asked():
                return None
            table = self._empty(state, batch, labels) if table is None else table
            table = self.visit(table, state, batch, labels, piece)
        return self.reduce(table, state, key)

    def row_shapes(self, state: State, batch: Any, labels: Tree) -> Any:
        """Shapes of what a batch is described by; traces, computes nothing."""
        return jax.eval_shape(self._described, state, batch, labels, 0)

    def table(self, state: State, batch: Any, labels: Tree) -> Any:
        """Shapes of what `visit` fills and `reduce` sees."""
        rows = lambda leaf: jax.ShapeDtypeStruct(
            (self.rows, *leaf.shape[1:]), leaf.dtype
        )
        return jax.tree.map(rows, self.row_shapes(state, batch, labels))

    def _order(self, piece: int) -> np.ndarray:
        starts = np.arange(self.feed.sharding.mesh.size)[:, None] * self.block
        rows = starts + piece * self.piece + np.arange(self.piece)
        return (rows.ravel() * self.sweep.stride).astype(np.int32)

    def _extract(self, state, batch, labels, piece):
        take = lambda block: jax.lax.dynamic_slice_in_dim(
            block, piece * self.piece, self.piece
        )
        old = self._per_device(lambda tree: jax.tree.map(take, tree))(labels)
        rows = dict(self.sweep.extract(state, batch, old))
        return {**rows, 'row_valid': batch['index'] < len(self.feed.source)}

    def _visit_piece(self, table, state, batch, labels, piece):
        fresh = self._described(state, batch, labels, piece)
        put = lambda block, new: jax.lax.dynamic_update_slice_in_dim(
            block, new, piece * self.piece, axis=0
        )
        return self._per_device(functools.partial(jax.tree.map, put))(table, fresh)

    def _empty(self, state, batch, labels) -> Any:
        shapes = self.table(state, batch, labels)
        zeros = lambda leaf: jnp.zeros(leaf.shape, leaf.dtype)
        return jax.jit(
            lambda: jax.tree.map(zeros, shapes), out_shardings=self.feed.sharding
        )()

    def _per_device(self, function):
        """Every argument and result split by rows, touched only where it lies."""
        spec = PartitionSpec(sharding.AXIS)
        return jax.shard_map(function, in_specs=spec, out_specs=spec)

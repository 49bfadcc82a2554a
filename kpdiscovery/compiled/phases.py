"""The programs of a whole run, for chips that need not be here: nothing is computed."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding

from kpdiscovery.training import loop, programs, sharding
from kpdiscovery.training.sweeps import Sweeper
from kpdiscovery.types import Phase, Tree, UserError


class Program(NamedTuple):
    """A compiled function of training, and what it is called with."""

    mesh: Mesh
    phase: str
    part: str  # 'init', 'step', 'labels', 'visit' or 'reduce'.
    function: Any  # As `jax.jit` gives it.
    arguments: tuple[Any, ...]  # Shapes on the mesh.
    donated: int  # Bytes a chip of the argument whose memory is used again.
    beside: int  # Bytes a chip that are kept meanwhile and are no argument.


class _Feed(NamedTuple):
    """What a `Sweeper` reads of a feed."""

    source: Sequence[int]  # Of so many rows.
    batch_size: int
    sharding: NamedSharding


def programs_of(
    phases: Sequence[Phase],
    mesh: Mesh,
    fields: Mapping[str, Any],
    *,
    batch_size: int,
    rows: int,
    seed: int = 0,
) -> list[Program]:
    """All that `training.loop` would compile, in the order in which it would.

    Args:
        fields: shapes of one row of the pictures, without `index`.
        rows: of the training split.

    Raises:
        UserError: the batch does not divide among the chips, or the config does not
            fit the pictures.
    """
    if batch_size % mesh.size:
        near = mesh.size * math.ceil(batch_size / mesh.size)
        raise UserError(
            f'data.batch_size must be a multiple of the {mesh.size} chips, got '
            f'{batch_size}: --config.data.batch_size={near}'
        )
    feed = _Feed(range(rows), batch_size, sharding.by_rows(mesh))
    one = {**fields, 'index': jax.ShapeDtypeStruct((), jnp.int32)}
    many = lambda leaf: jax.ShapeDtypeStruct((batch_size, *leaf.shape), leaf.dtype)
    batch = jax.tree.map(many, one)
    keys = [loop.phase_key(seed, number, 1) for number in range(len(phases))]
    run = _Run(mesh, feed, _place(batch, feed.sharding))
    try:
        with jax.set_mesh(mesh):  # Where nothing can be computed, keys neither.
            return [program for phase, key in zip(phases, keys, strict=True)
                    for program in run.phase(phase, key)]  # fmt: skip
    except ValueError as error:
        raise UserError(f'the config does not fit the pictures: {error}') from error


class _Run:
    """Where a run stands: shapes of the state and of the table of labels."""

    def __init__(self, mesh, feed, batch):
        self.mesh, self.feed, self.batch = mesh, feed, batch
        self.everywhere = sharding.replicated(mesh)
        self.key = _place(jax.eval_shape(lambda: jax.random.key(0)), self.everywhere)
        self.state, self.labels, self.best = None, {}, 0

    def phase(self, phase: Phase, key: jax.Array) -> Iterator[Program]:
        make = functools.partial(Program, self.mesh, phase.name)
        init = programs.init(phase, self.mesh)
        asked = self.key, self.batch, self.state
        yield make('init', init, asked, 0, self._bytes(self.labels) + self.best)
        self.state = _place(jax.eval_shape(init, *asked), self.everywhere)
        self.best = self._bytes(self.state.variables) if phase.keep_best else 0
        if phase.sweep:
            yield from self._sweep(make, Sweeper(phase.sweep, self.feed))
        step = programs.step(phase, key, self.mesh)
        asked = self.state, self.batch, self.labels
        yield make('step', step, asked, self._bytes(self.state), self.best)

    def _sweep(self, make, sweeper) -> Iterator[Program]:
        beside = self._bytes(self.state) + self.best
        asked: tuple[Any, ...] = self.labels, self.batch
        yield make('labels', sweeper.init, asked, 0, beside)
        rows, state = self.feed.sharding, self.state
        self.labels = labels = _place(jax.eval_shape(sweeper.init, *asked), rows)
        table = _place(sweeper.table(state, self.batch, labels), rows)
        asked = table, state, self.batch, labels, 0
        yield make('visit', sweeper.visit, asked, self._bytes(table), self.best)
        asked = table, state, self.key
        beside = self._bytes(labels) + self.best
        yield make('reduce', sweeper.reduce, asked, self._bytes(state), beside)
        found = jax.eval_shape(sweeper.reduce, *asked)
        self.labels = _place(found.labels, rows)
        self.state = _place(found.state, self.everywhere)

    def _bytes(self, tree: Tree) -> int:
        """Of a chip, without the padding of its tiles."""
        leaves = jax.tree.leaves(tree)
        held = (leaf.sharding.shard_shape(leaf.shape) for leaf in leaves)
        return sum(math.prod(shape) * _itemsize(leaf)
                   for leaf, shape in zip(leaves, held, strict=True))  # fmt: skip


def _itemsize(leaf) -> int:
    return 8 if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf.dtype.itemsize


def _place(tree: Tree, where: NamedSharding) -> Tree:
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), tree
    )

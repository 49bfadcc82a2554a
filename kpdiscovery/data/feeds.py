"""From a source to batches on the device mesh; the order of rows is a pure function."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from kpdiscovery import processes
from kpdiscovery.data.joined import Joined, drawn
from kpdiscovery.types import Batch, Source, UserError

_AHEAD = 1 << 31  # Bytes of pictures read ahead at most.

Order = Callable[[int], np.ndarray]  # Batch number -> rows of the source, `[B]`.


def shuffled(length: int, batch_size: int, seed: int) -> Order:
    """Endless epochs, each a new permutation; no row is dropped between two of them.

    The data position of a run is its step, so nothing else needs to be saved.
    """

    @functools.lru_cache(maxsize=4)
    def permutation(epoch: int) -> np.ndarray:
        return np.random.default_rng((seed, epoch)).permutation(length)

    def indices(step: int) -> np.ndarray:
        at = step * batch_size + np.arange(batch_size)
        rows = [permutation(epoch)[at[at // length == epoch] % length]
                for epoch in np.unique(at // length)]  # fmt: skip
        return np.concatenate(rows).astype(np.int32)

    return indices


def by_class(labels: np.ndarray, batch_size: int, per_class: int, seed: int) -> Order:
    """Endless epochs in groups of `per_class` rows of one class, for losses that compare
    rows of a class.

    A class whose rows do not fill its last group gives some of them twice an epoch. Like
    `shuffled` a pure function of the batch's number.

    Args:
        labels: `[N]` classes of the rows.
        batch_size: rows, a multiple of `per_class`.
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    per_epoch = sum(-(-len(rows) // per_class) for rows in members)

    @functools.lru_cache(maxsize=4)
    def groups(epoch: int) -> np.ndarray:
        rng = np.random.default_rng((seed, epoch))
        rows = [_filled(rng.permutation(rows), per_class) for rows in members]
        return rng.permutation(np.concatenate(rows).reshape(-1, per_class))

    def indices(step: int) -> np.ndarray:
        count = batch_size // per_class
        at = step * count + np.arange(count)
        rows = [groups(epoch)[at[at // per_epoch == epoch] % per_epoch]
                for epoch in np.unique(at // per_epoch)]  # fmt: skip
        return np.concatenate(rows).reshape(-1).astype(np.int32)

    return indices


def _filled(rows, multiple):
    """As many times around as fill the last group."""
    return np.resize(rows, -(-len(rows) // multiple) * multiple)


def of_training(source: Source, data: Mapping[str, Any], seed: int) -> Order:
    """What a config's `data` asks for: shuffled, or `per_class` rows of a class together.

    Raises:
        UserError: the classes of the rows are not known, or batches are no multiple.
    """
    batch_size, per_class = data['batch_size'], data.get('per_class', 0)
    if not per_class:
        return shuffled(len(source), batch_size, seed)
    labels = getattr(source, 'labels', None)
    if labels is None:
        raise UserError(
            'data.per_class: the classes of the rows are not known; set it to 0'
        )
    if batch_size % per_class:
        raise UserError(
            f'data.batch_size must be a multiple of data.per_class={per_class}, got '
            f'{batch_size}'
        )
    return by_class(np.asarray(labels), batch_size, per_class, seed)


def sequential(batch_size: int) -> Order:
    """Rows 0, 1, 2, ...; numbers past the end name padding."""
    return lambda number: np.arange(
        number * batch_size, (number + 1) * batch_size, dtype=np.int32
    )


class Feed:
    """Batches of a source, sharded by rows over a mesh.

    Args:
        source: `Generated` sources, alone or `Joined`, are drawn on the device, all
            others read through grain, each process reading only its own rows.
        batch_size: rows of all devices together.
        sharding: of the leading axis of every field.
    """

    def __init__(
        self, source: Source, batch_size: int, sharding: jax.sharding.NamedSharding
    ):
        devices = sharding.mesh.size
        if batch_size % devices:
            near = devices * -(-batch_size // devices)
            raise UserError(
                f'data.batch_size must be a multiple of the {devices} devices, got '
                f'{batch_size}: --config.data.batch_size={near}, or a variant for pods'
            )
        if not len(source):
            raise UserError('the source has no rows')
        self.source, self.batch_size, self.sharding = source, batch_size, sharding
        self._slots = self._own_slots()
        self._generated = drawn(source)
        if self._generated:
            everywhere = jax.sharding.NamedSharding(
                sharding.mesh, jax.sharding.PartitionSpec()
            )
            tables = (self._generated.tables, self._generated.key)
            self._tables, self._key = processes.replicate(tables, everywhere)

    def stream(self, order: Order, start: int, stop: int) -> Iterator[Batch]:
        """Batches `start` .. `stop - 1` of an order; `index` keeps padding's numbers."""
        if self._generated:
            return (self._draw(order(number)) for number in range(start, stop))
        return self._read(order, start, stop)

    def _draw(self, index: np.ndarray) -> Batch:
        assert self._generated is not None  # `stream` asked.
        index = index[self._slots]
        own = index % len(self.source)
        batch = self._generated.draw_rows(self._tables, self._key, self._place(own))
        joined = self.source.extra(own) if isinstance(self.source, Joined) else {}
        more = self._place({**joined, 'index': index})
        return jax.device_put({**batch, **more}, self.sharding)

    def _read(self, order, start, stop):
        import grain  # Only disk sources need it.

        rows = _Rows(self.source, order, self._slots, start, stop)
        threads = len(os.sched_getaffinity(0))
        ahead = max(threads, min(2 * len(self._slots), _AHEAD // self._row_bytes))
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead)
        ready = grain.MapDataset.source(rows).to_iter_dataset(options)
        yield from map(self._place, ready.batch(len(self._slots)))

    def _place(self, rows):
        """Rows of this process's slots as parts of a batch; asks no other process."""
        place = functools.partial(jax.make_array_from_process_local_data, self.sharding)
        return jax.tree.map(place, rows)

    @functools.cached_property
    def _row_bytes(self) -> int:
        return sum(leaf.nbytes for leaf in jax.tree.leaves(dict(self.source[0])))

    def _own_slots(self) -> np.ndarray:
        """Places in a batch that this process's devices hold, ascending.

        Not always one stretch: a mesh may order a pod's devices by its links.
        """
        held = self.sharding.addressable_devices_indices_map((self.batch_size,))
        every = np.arange(self.batch_size)
        return np.unique(np.concatenate([every[index] for index in held.values()]))


class _Rows:
    """Random access for grain: position in the run -> row, on this process."""

    def __init__(self, source, order, slots, start, stop):
        self._source, self._slots = source, slots
        self._order = functools.lru_cache(maxsize=8)(order)  # Asked for every row.
        self._start, self._stop = start, stop

    def __len__(self):
        return (self._stop - self._start) * len(self._slots)

    def __getitem__(self, position):
        number, slot = divmod(int(position), len(self._slots))
        index = self._order(self._start + number)[self._slots[slot]]
        row = dict(self._source[int(index) % len(self._source)])
        if (
            np.issubdtype(row['image'].dtype, np.floating)
            and not np.isfinite(row['image']).all()
        ):
            raise UserError(
                f'image {index} of the source has values that are not finite'
            )
        return {**row, 'index': np.int32(index)}


def first_batch(feed: Feed, order: Order) -> Batch:
    """Batch 0, from which phases take their shapes."""
    return next(iter(feed.stream(order, 0, 1)))

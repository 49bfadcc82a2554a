"""The first rows of the pseudo-labels after every sweep, kept for the report.

WORKDIR/labels/STEP.npz holds every field of the table, STEP counting through all
phases (of two sweeps at one step the later is kept); images.npz beside it holds the
pictures of these rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath

from kpdiscovery import paths, processes
from kpdiscovery.data import feeds
from kpdiscovery.training import sharding

ROWS = 8
_PICTURES = 'images.npz'


class LabelFiles:
    """Writes below one workdir; every process takes part, only process 0 writes."""

    def __init__(self, workdir: epath.Path, feed: feeds.Feed):
        self._folder, self._feed, self._pictures = workdir / 'labels', feed, False
        first = lambda table, count: jax.tree.map(
            lambda leaf: _known_to_numpy(leaf[:count]), table
        )
        everywhere = sharding.replicated(feed.sharding.mesh)
        self._first = jax.jit(first, out_shardings=everywhere, static_argnums=1)

    def write(self, step: int, labels: Mapping[str, Any], *, stride: int = 1) -> None:
        """Rows of the table, `[N_padded, ...]` a field, and their pictures once a run.

        Row i of the table is row `stride * i` of the data set.
        """
        count = min(ROWS, -(-len(self._feed.source) // stride))
        if not self._pictures:
            first = feeds.sequential(self._feed.batch_size)
            order = lambda step: stride * first(step)
            batch = next(iter(self._feed.stream(order, 0, 1)))
            self._save(_PICTURES, {'image': batch['image']}, count)
            self._pictures = True
        self._save(f'{step}.npz', labels, count)

    def _save(self, name, table, count):
        rows = jax.device_get(self._first(dict(table), count))
        if processes.is_first():
            paths.write_arrays(self._folder / name, rows)


def _known_to_numpy(leaf):
    """bfloat16 as float32: files would hold bytes of no type."""
    return leaf.astype(jnp.float32) if leaf.dtype == jnp.bfloat16 else leaf

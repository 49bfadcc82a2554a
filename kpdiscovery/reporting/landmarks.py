"""What only the report of self-training landmarks has."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np

from kpdiscovery import inference
from kpdiscovery.methods.self_training import SelfTraining, network
from kpdiscovery.ops import coordinates, heatmaps, vectors
from kpdiscovery.ops import images as image_ops
from kpdiscovery.reporting import errors, figures, rounds
from kpdiscovery.reporting.page import Figure, Row, Section
from kpdiscovery.reporting.seen import Run, Seen

_POINTS = 600  # In a scatter plot.
_KINDS = {
    'descriptor': 'descriptors',
    'trunk': 'trunk features (this stage has no descriptors)',
}


def sections(seen: Seen, run: Run) -> list[Section]:
    """Errors, features and rounds."""
    return [
        errors.curves(seen, run.fit),
        features(seen),
        rounds.section(run.workdir, stride=network.STRIDE),
    ]


def features(seen: Seen) -> Section:
    """What the network reads at the landmarks, before training and after."""
    valid = seen.keypoints.valid[: _count(seen)]
    if not valid.any():
        return Section('Features', 'features', 'No landmark was found.')
    kind = 'descriptor' if 'descriptor' in seen.trained.variables else 'trunk'
    both = {'before training': _untrained(seen), 'after': seen.trained.variables}
    row = Row([_scatter(seen, variables, kind, valid, when)
               for when, variables in both.items()])  # fmt: skip
    note = (
        f'The {_KINDS[kind]} of the untrained and the trained network at the same '
        f'{valid.sum()} landmarks of {len(valid)} pictures, coloured by landmark.'
    )
    return Section('Features', 'features', note, rows=[row])


def read_features(seen: Seen, variables: Any, kind: str, count: int) -> np.ndarray:
    """`[count, K, D]` unit vectors at the landmarks of the first pictures.

    Args:
        kind: 'trunk', or the name of the head whose maps are read.
    """
    read = _reader(seen.trained.method, kind)
    nets = {name: variables[name] for name in {'trunk', kind}}
    return np.asarray(read(nets, seen.images[:count], seen.keypoints.xy[:count]))


@functools.lru_cache(maxsize=2)
def _reader(method: SelfTraining, kind: str):
    @jax.jit
    def read(nets, images, xy):
        maps = network.features(method.network, nets, image_ops.as_float(images))
        if kind != 'trunk':
            maps = network.head(method.network, nets, kind, maps)
        cells = coordinates.pixel_to_cell(xy, network.STRIDE)
        return vectors.normalize(heatmaps.sample_bilinear(maps, cells))

    return read


def _count(seen):
    """Pictures that have enough landmarks together, a batch at most."""
    enough = -(-_POINTS // max(1, seen.keypoints.label.shape[1]))
    most = seen.trained.config.evaluation.batch_size
    return min(enough, most, len(seen.images))


def _untrained(seen):
    source: Any = [{'image': seen.images[0]}]  # Only its shape is read.
    return inference.untrained(seen.trained.config, source).variables


def _scatter(seen, variables, kind, valid, when):
    found = read_features(seen, variables, kind, len(valid))[valid]
    flat, how = figures.embed(found)
    labels = seen.keypoints.label[: len(valid)][valid]
    uri = figures.scatter(flat, labels, np.zeros((0, 2)))
    return Figure(uri, f'{when} ({how})', 500)

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
from kpdiscovery.reporting import drawing, errors, figures, rounds
from kpdiscovery.reporting.page import Figure, Row, Section, picture
from kpdiscovery.reporting.patches import patch
from kpdiscovery.reporting.seen import Run, Seen

_ROWS, _PATCHES = 40, 12
_SHARE = 4  # Patches have this part of the picture's longer side.
_POINTS = 600  # In a scatter plot.
_KINDS = {
    'descriptor': 'descriptors',
    'trunk': 'trunk features (this stage has no descriptors)',
}


def sections(seen: Seen, run: Run) -> list[Section]:
    """Patches, errors, the worst pictures, features and rounds."""
    measured = errors.measure(seen, run)
    return [
        patches(seen),
        errors.curves(seen, *measured),
        errors.worst(seen, *measured),
        features(seen),
        rounds.section(run.workdir, stride=network.STRIDE),
    ]


def patches(seen: Seen) -> Section:
    """A row a landmark: what is around it, from the surest to the least sure."""
    label, valid = seen.keypoints.label, seen.keypoints.valid
    mine = valid & (label >= 0)
    counts = np.bincount(label[mine], minlength=seen.found.num_labels)
    shown = np.argsort(-counts, kind='stable')[:_ROWS]
    rows = [_patch_row(seen, number) for number in sorted(shown) if counts[number]]
    note = (
        f'{(counts > 0).sum()} of {len(counts)} landmarks are in these '
        f'{len(seen.images)} pictures. Patches around each, evenly chosen from the '
        'highest score (left) to the lowest.'
    )
    return Section('Landmarks', 'landmarks', note, rows=rows)


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


def _patch_row(seen, number):
    points = seen.keypoints
    places = np.argwhere(points.valid & (points.label == number))
    score = points.score[tuple(places.T)]
    order = np.argsort(-score, kind='stable')
    side = max(3, round(max(seen.images.shape[1:3]) / _SHARE))
    chosen = places[rounds.spread(list(order), _PATCHES)]
    figures = [picture(patch(seen.images[i], points.xy[i, k], side), width=72)
               for i, k in chosen]  # fmt: skip
    note = f'{len(places)} pictures, score {score.max():.2f} to {score.min():.2f}'
    return Row(figures, f'Landmark {number}', note, drawing.css(number))


def _scatter(seen, variables, kind, valid, when):
    found = read_features(seen, variables, kind, len(valid))[valid]
    flat, how = figures.embed(found)
    labels = seen.keypoints.label[: len(valid)][valid]
    uri = figures.scatter(flat, labels, np.zeros((0, 2)))
    return Figure(uri, f'{when} ({how})', 500)

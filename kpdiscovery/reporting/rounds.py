"""Pseudo-labels after every sweep, of the same training pictures."""

from __future__ import annotations

import os

import numpy as np

from kpdiscovery.ops import coordinates
from kpdiscovery.reporting import logs
from kpdiscovery.reporting.page import Figure, Row, Section, picture
from kpdiscovery.reporting.seen import overlay
from kpdiscovery.types import Keypoints

_SHOWN, _PICTURES = 12, 6
_WIDTH = 150


def section(workdir: str | os.PathLike, *, stride: float) -> Section:
    """A row a sweep, a column a picture.

    Args:
        stride: pixels a cell; the tables' `xy` are cells.
    """
    tables, images = logs.read_labels(workdir)
    if images is None or not tables:
        note = 'This workdir holds no labels/: its training kept none.'
        return Section('Rounds', 'rounds', note)
    steps = spread(list(tables), _SHOWN)
    rows = [Row(_pictures(images, tables[step], stride), f'{step} steps')
            for step in steps]  # fmt: skip
    note = (
        f'Pseudo-labels of the same training pictures after {len(rows)} of '
        f'{len(tables)} sweeps. Colours are landmarks, or the clusters of points that '
        'are no landmark; from one sweep to the next their numbers may change. Grey '
        'points have no label.'
    )
    return Section('Rounds', 'rounds', note, rows=rows)


def spread(values: list, count: int) -> list:
    """At most `count` of them, first and last included, evenly spaced."""
    if len(values) <= count:
        return values
    return [
        values[i] for i in np.linspace(0, len(values) - 1, count).round().astype(int)
    ]


def points_of(table: dict[str, np.ndarray], *, stride: float) -> Keypoints:
    """A table's points in pixels, labelled by landmark, else by cluster."""
    label = table.get('label', np.full(table['score'].shape, -1))
    landmark = table.get('landmark', label)
    xy = coordinates.cell_to_pixel(table['xy'], stride)
    named = np.where(landmark >= 0, landmark, label)
    return Keypoints(np.asarray(xy), table['score'], named, table['score'] > 0)


def _pictures(images, table, stride) -> list[Figure]:
    points = points_of(table, stride=stride)
    count = min(_PICTURES, len(images), len(points.label))
    return [picture(_drawn(images[i], points, i), width=_WIDTH) for i in range(count)]


def _drawn(image, points, index):
    one = Keypoints(*(leaf[index] for leaf in vars(points).values()))
    return overlay(image, one)

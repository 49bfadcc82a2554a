"""Pictures for methods that learn from classes: a coloured square a class, anywhere."""

import numpy as np

from kpdiscovery import preparation
from kpdiscovery.training import loop

COLORS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
SQUARE = 10


class Squares:
    """Row i is of class i % 3; `label` gives other classes, None none at all."""

    truth = ('boxes', 'boxes_valid', 'keypoints', 'label', 'mask', 'visible')

    def __init__(self, length=24, size=36, label=()):
        rng = np.random.default_rng(0)
        self.corners = rng.integers(0, size - SQUARE, (length, 2))
        self.size = size
        self.labels = np.arange(length) % 3
        self.labels[: len(label)] = label

    def __len__(self):
        return len(self.corners)

    def __getitem__(self, index):
        x, y = self.corners[index]
        mask = np.zeros((self.size, self.size), bool)
        mask[y : y + SQUARE, x : x + SQUARE] = True
        image = np.where(mask[..., None], COLORS[index % 3], np.uint8(120))
        edges = np.array([x, y, x + SQUARE, y + SQUARE], np.float32) - 0.5
        return {'image': image, 'index': np.int32(index), 'mask': mask,
                'label': np.int32(self.labels[index]), 'boxes': edges[None],
                'boxes_valid': np.ones(1, bool), 'visible': np.ones(1, bool),
                'keypoints': (edges[:2] + SQUARE / 2)[None]}  # fmt: skip


class Unlabelled(Squares):
    truth = ()

    def __getitem__(self, index):
        row = super().__getitem__(index)
        return {name: row[name] for name in ('image', 'index')}


def train(settings, source, workdir, **options):
    """As `kpd train` does it."""
    method, source = preparation.prepare(settings, workdir, source)
    return loop.train(method, settings.to_dict(), source, workdir, **options)

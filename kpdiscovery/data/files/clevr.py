"""CLEVR of TensorFlow Datasets: scenes of few enough objects, split as TUSK has them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kpdiscovery.data.files.tfds_source import TfdsSource

_ROWS = {'train': (0, 60_000), 'validation': (59_000, 60_000), 'test': (60_000, 70_000)}


@dataclasses.dataclass(frozen=True)
class ClevrScenes:
    """A `keep` for clevr: scenes numbered first..stop-1 of few enough objects.

    The paper's CLEVR6 is `ClevrScenes(6, 0, 60_000)` for training and
    `ClevrScenes(6, 60_000, 70_000)` for testing, both of TFDS's split 'train', whose
    order is shuffled: hence the numbers in the file names.
    """

    objects: int = 10
    first: int = 0
    stop: int = 70_000

    def __call__(self, example: Mapping[str, Any]) -> bool:
        name = example['file_name']
        name = name.decode() if isinstance(name, bytes) else str(name)
        number = int(name.rsplit('_', 1)[-1].split('.')[0])
        few = len(example['objects']['shape']) <= self.objects
        return few and self.first <= number < self.stop


def clevr(
    *, split: str, size: tuple[int, int], resize: str, objects: int
) -> TfdsSource:
    """Scenes of at most so many objects among the first 70,000, those numbered from 60,000 on
    for testing ([jin2022]; the last 10,000 that are left of them is another reading, that
    of `multi_object`). The validation scenes are training scenes too."""
    keep = ClevrScenes(objects, *_ROWS[split])
    return TfdsSource(
        'clevr', split='train', size=size, resize=resize, keep=keep, method='nearest'
    )

"""What a report looks at: pictures, and what the model says of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import jax
import numpy as np

from kpdiscovery import inference
from kpdiscovery.data.subset import Subset
from kpdiscovery.reporting import drawing
from kpdiscovery.types import Keypoints, Source, Split

SHARP = 384  # Pixels of an overlay, twice what is shown: its rings stay smooth.
MANY = 12  # Keypoints of a picture above which rings are small, without numbers.
_LABELS = 32  # Labels above which only the MANY surest keypoints are drawn.


class Seen(NamedTuple):
    """Pictures of one split and what the model says of them."""

    trained: inference.Trained
    split: str  # Its name, and whose it is if not the config's.
    images: np.ndarray  # uint8 [N, H, W, 3]
    names: tuple[str, ...]
    found: Split

    @property
    def keypoints(self) -> Keypoints:
        return self.found.prediction.keypoints


class Run(NamedTuple):
    """Where there is more than was looked at."""

    workdir: str | os.PathLike
    training: Callable[[], Source]  # The split; UserError where there is none.
    fit: Split | None = None  # Training pictures that regressors are fitted on.


def look(
    trained: inference.Trained,
    source: Source,
    split: str,
    *,
    count: int,
    start: int = 0,
    keep: Collection[str] = inference.HEAVY,
) -> Seen:
    """Predictions of `count` pictures of a source, or as many as there are.

    Args:
        start: the first of them.
        keep: of what takes memory, that which is kept.
    """
    rows = np.arange(start, min(start + count, len(source)))
    part = Subset(source, rows) if start else source
    size = trained.config.evaluation.batch_size
    found = inference.predict_rows(trained, part, count, batch_size=size, keep=keep)
    images = np.stack([drawing.as_uint8(part[i]['image']) for i in range(len(rows))])
    names = getattr(part, 'files', None) or [f'{split} {row}' for row in rows]
    return Seen(trained, split, images, tuple(names[: len(rows)]), found)


def row_of(tree: Any, index: int | np.ndarray) -> Any:
    """One picture's share of stacked predictions."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def overlay(image: np.ndarray, keypoints: Keypoints, **options: Any) -> np.ndarray:
    """One picture with its keypoints, large enough for smooth rings."""
    scale = drawing.zoom(image.shape, SHARP)
    if len(keypoints.label) > MANY:
        options = {'radius': max(image.shape[:2]) * scale / 40, **options}
    return drawing.draw_keypoints(image, keypoints, scale=scale, **options)


def crowded(seen: Seen) -> bool:
    """Whether there are too many kinds of keypoints to draw each."""
    return seen.found.num_labels > _LABELS


def shown(seen: Seen, index: int) -> Keypoints:
    """The keypoints of one picture, of a crowd the surest."""
    one = row_of(seen.keypoints, index)
    if not crowded(seen):
        return one
    order = np.argsort(-np.where(one.valid, one.score, -np.inf), kind='stable')
    return row_of(one, order[:MANY])


def beside_truth(seen: Seen, index: int, *, numbered: bool = False) -> np.ndarray:
    """One picture with its keypoints, and crosses at the annotated points if any."""
    image, truth, points = seen.images[index], seen.found.truth, shown(seen, index)
    few = numbered and len(points.label) <= MANY
    drawn = overlay(image, points, numbers=points.label if few else None)
    if not annotated(seen):
        return drawn
    xy, visible = truth['keypoints'][index], truth['visible'][index]
    scale = drawing.zoom(image.shape, SHARP)
    return drawing.draw_crosses(drawn, xy[visible], scale=scale)


def annotated(seen: Seen) -> bool:
    """Whether the pictures have annotated points."""
    return {'keypoints', 'visible'} <= set(seen.found.truth)

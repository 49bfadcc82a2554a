"""Generic keypoints by name, for methods that start from them (`data.keypoints`)."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import jax

from kpdiscovery.data import classical, detections
from kpdiscovery.data.joined import Joined
from kpdiscovery.types import Source, UserError

DETECTORS: dict[str, detections.Detector] = {
    'sift': classical.sift,
    'orb': classical.orb,
}


def prepare(source: Source, data: Any, workdir: str | os.PathLike) -> Source | Joined:
    """The training split with the points that a config's `data` section asks for.

    `data.keypoints` is '' (none: the source as it is), a name in DETECTORS or the path
    of an .npz file (`detections.load`). They are found once: WORKDIR/keypoints.npz
    keeps them for the run that resumes.

    Raises:
        UserError: no such detector, or a file that does not fit the source.
    """
    name, num = data.get('keypoints', ''), data.get('num_detected', 64)
    if not name:
        return source
    size = source[0]['image'].shape[:2]
    kept, label = pathlib.Path(workdir) / 'keypoints.npz', f'{name} {num}'
    read = lambda path: detections.load(path, rows=len(source), size=size)
    if kept.is_file() and detections.detector_of(kept) == label:
        return detections.join(source, read(kept))
    if str(name).endswith('.npz'):
        found = read(name)
    else:
        found = detections.detect(source, detector(name), num=num)
    if jax.process_index() == 0:
        kept.parent.mkdir(parents=True, exist_ok=True)
        detections.save(kept, found, detector=label)
    return detections.join(source, found)


def detector(name: str) -> detections.Detector:
    """The function of pictures behind a name."""
    if name not in DETECTORS:
        raise UserError(
            f'data.keypoints must be one of {sorted(DETECTORS)} or a FILE.npz, got {name!r}'
        )
    return DETECTORS[name]

"""Overlays of the frames of a video as a video again, through OpenCV (extra `vision`)."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from kpdiscovery.types import UserError


def write(out: pathlib.Path, names: Sequence[str], fps: float) -> list[pathlib.Path]:
    """FOLDER.mp4 of ``overlays/FOLDER/*.jpg`` for each folder of pictures, in their order.

    All frames have the size of a folder's first.

    Args:
        out: of `kpd predict`.
        names: of the pictures, below the directory that all share.
        fps: pictures a second.

    Raises:
        UserError: no OpenCV, or it cannot write there.
    """
    try:
        import cv2
    except ImportError:
        raise UserError(
            "videos are written with OpenCV: pip install 'kpdiscovery[vision]'"
        ) from None
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.rpartition('/')[0], []).append(name)
    made = []
    for folder, mine in groups.items():
        path = out / f'{folder.replace("/", "_") or "overlays"}.mp4'
        _write(cv2, path, [out / 'overlays' / f'{name}.jpg' for name in mine], fps)
        made.append(path)
    return made


def _write(cv2: Any, path, pictures, fps):
    with Image.open(pictures[0]) as first:  # Sides are even: what the format can.
        size = first.width // 2 * 2, first.height // 2 * 2
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), fps, size)
    if not writer.isOpened():
        raise UserError(f'{path}: OpenCV cannot write a video of {size[0]} x {size[1]}')
    try:
        for picture in pictures:
            with Image.open(picture) as image:
                frame = np.asarray(image.convert('RGB').resize(size))
            writer.write(np.ascontiguousarray(frame[..., ::-1]))
    finally:
        writer.release()

"""Overlays of the frames of a video as a video again, through OpenCV (extra `vision`)."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from kpdiscovery.reporting import drawing, tracks
from kpdiscovery.reporting.annotations import Found
from kpdiscovery.types import UserError

_SHARE = 1 / 160  # Of the longer side: radius of the largest dot of a trail.


def write(
    out: pathlib.Path,
    found: Sequence[Found],
    fps: float,
    *,
    trail: int = 0,
    kind: str = 'overlays',
) -> list[pathlib.Path]:
    """films/KIND/FOLDER.mp4 of ``KIND/FOLDER/*.jpg`` for each folder of pictures, in time.

    All frames have the size of a folder's first. Of pictures in no folder it is KIND.mp4.

    Args:
        out: of `kpd predict`.
        found: in the pictures, named below the directory that all share.
        fps: pictures a second.
        trail: dots, in the colour of the label, where keypoints were in so many frames
            before; the older the smaller.
        kind: 'overlays' or 'wanted'.

    Raises:
        UserError: no OpenCV, or it cannot write there.
    """
    cv2, made = opencv(), []
    for folder, places in tracks.by_folder(found).items():
        name = f'{kind}/{folder}' if folder else kind
        made.append(out / 'films' / f'{name}.mp4')
        made[-1].parent.mkdir(parents=True, exist_ok=True)
        mine = itertools.groupby((found[i] for i in places), lambda one: one.file)
        frames = [tuple(objects) for _, objects in mine]
        _write(cv2, made[-1], out / kind, frames, fps, trail)
    return made


def opencv() -> Any:
    """The library, or how it is had.

    Raises:
        UserError: it is not there.
    """
    try:
        import cv2
    except ImportError:
        raise UserError(
            "videos are written with OpenCV: pip install 'kpdiscovery[vision]'"
        ) from None
    return cv2


def _write(cv2: Any, path, folder, frames, fps, trail):
    pictures = [folder / f'{objects[0].file}.jpg' for objects in frames]
    with Image.open(pictures[0]) as first:  # Sides are even: what the format can.
        size = first.width // 2 * 2, first.height // 2 * 2
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), fps, size)
    if not writer.isOpened():
        raise UserError(f'{path}: OpenCV cannot write a video of {size[0]} x {size[1]}')
    try:
        for place, picture in enumerate(pictures):
            with Image.open(picture) as image:
                frame = image.convert('RGB').resize(size)
            _dot(frame, frames[max(0, place - trail) : place], trail)
            writer.write(np.ascontiguousarray(np.asarray(frame)[..., ::-1]))
    finally:
        writer.release()


def _dot(frame: Image.Image, before: Sequence[Sequence[Found]], trail: int) -> None:
    """Draws where the keypoints of the frames before were, the latest of them last."""
    pen, largest = ImageDraw.Draw(frame), max(2.0, max(frame.size) * _SHARE)
    aged = zip(range(len(before), 0, -1), before, strict=True)
    for age, one in ((age, one) for age, objects in aged for one in objects):
        radius = largest * (1 - 0.6 * (age - 1) / trail)
        scale = np.divide(frame.size, one.size[::-1])
        points = one.keypoints
        kept = np.asarray(points.valid) & np.isfinite(points.xy).all(-1)
        places = (np.asarray(points.xy)[kept] + 0.5) * scale - 0.5
        colors = drawing.colors(np.asarray(points.label)[kept])
        for (x, y), color in zip(places.tolist(), colors.tolist(), strict=True):
            box = (x - radius, y - radius, x + radius, y + radius)
            pen.ellipse(box, fill=tuple(color))

"""Frames of video files as pictures in a folder, through OpenCV (extra `vision`)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kpdiscovery.types import UserError

_log = logging.getLogger(__name__)
SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.m4v', '.webm', '.mpg', '.mpeg')
_QUALITY = 95  # Of JPEG.
Keep = Callable[[int], bool]


def is_video(path: str | os.PathLike) -> bool:
    """Whether a file is one by its name."""
    return os.fspath(path).lower().endswith(SUFFIXES)


def frames(path: str | os.PathLike, keep: Keep) -> Iterator[tuple[int, np.ndarray]]:
    """Numbers, from 0, and uint8 `[H, W, 3]` RGB of the frames that `keep` wants.

    Raises:
        UserError: see `numbers`.
    """
    for number, retrieve in _grabbed(path):
        if keep(number):
            there, frame = retrieve()
            if there:
                yield number, np.ascontiguousarray(frame[..., ::-1])


def numbers(path: str | os.PathLike) -> Iterator[int]:
    """The numbers of all frames, which are not decoded to pixels.

    Raises:
        UserError: no OpenCV, no such file, or none that it can read.
    """
    return (number for number, _ in _grabbed(path))


def _grabbed(path) -> Iterator[tuple[int, Callable[[], Any]]]:
    """Frames in turn, since seeking is inexact in many files."""
    try:
        import cv2
    except ImportError:
        raise UserError(
            "videos are read with OpenCV: pip install 'kpdiscovery[vision]'"
        ) from None
    if not os.path.isfile(path):
        raise UserError(f'{path}: no such file')
    capture: Any = cv2.VideoCapture(os.fspath(path))
    number = 0
    try:
        while capture.grab():
            yield number, capture.retrieve
            number += 1
    finally:
        capture.release()
    if not number:
        raise UserError(f'{path}: cannot be read as a video')


def save(path: Path, image: np.ndarray) -> None:
    """A picture `[H, W, 3]` uint8 as JPEG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    Image.fromarray(image).save(part, format='JPEG', quality=_QUALITY, subsampling=0)
    os.replace(part, path)


def cut(
    video: str | os.PathLike,
    numbers: Sequence[int],
    paths: Sequence[Path],
    *,
    grounds: Iterator[np.ndarray] | None = None,
) -> int:
    """Writes frames of a video as pictures, except those that are there already.

    Args:
        numbers: rising, from 0.
        paths: where each goes.
        grounds: where the object is, bool `[H, W]`, in each of them; the rest of the
            picture becomes white.

    Returns:
        How many were written.

    Raises:
        UserError: the video cannot be read, or is shorter.
    """
    if all(path.is_file() for path in paths):
        return 0
    wanted = dict(zip(numbers, paths, strict=True))
    count = 0
    for number, image in frames(video, wanted.__contains__):
        mask = None if grounds is None else next(grounds)
        save(wanted[number], image if mask is None else _on_white(video, image, mask))
        count += 1
    if count < len(wanted):
        raise UserError(
            f'{video}: {count} of the {len(wanted)} wanted frames are in it'
        )
    return count


def _on_white(video, image, mask):
    if mask.shape != image.shape[:2]:
        got, wanted = (f'{s[1]} x {s[0]}' for s in (mask.shape, image.shape))
        raise UserError(f'{video}: frames have {wanted} pixels, silhouettes {got}')
    return np.where(mask[..., None], image, np.uint8(255))

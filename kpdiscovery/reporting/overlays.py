"""Pictures of any size with what was found drawn on them, as large as a screen."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import jax
import numpy as np

from kpdiscovery.data import resize
from kpdiscovery.data.files import reading
from kpdiscovery.reporting import drawing
from kpdiscovery.reporting.annotations import Found

LARGEST = {'screen': 1600, 'full': 65_000}  # Pixels of a side: more no JPEG holds.
_READABLE = 256  # Pixels, longer side at least.


def canvas(size: tuple[int, int], most: int | None) -> tuple[int, int]:
    """(H, W) shrunk until neither side is longer than `most`; None: as it is."""
    factor = min(1, (most or max(size)) / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def on_canvas(frame: resize.Frame, size: tuple[int, int]) -> resize.Frame:
    """From pixels of an (H, W) canvas, in place of the original's, to the fitted."""
    factor = np.array(size[::-1]) / frame.original
    offset = (0.5 / factor - 0.5) * frame.scale + frame.offset
    return resize.Frame(frame.scale / factor, offset, np.array(size[::-1], float))


def read(path: str | os.PathLike, size: tuple[int, int], **options: Any) -> np.ndarray:
    """A picture at (H, W), decoded no larger than it must be.

    Args:
        options: of `reading.read_picture`.
    """
    image = reading.read_image(path, least=min(size), **options)
    return np.asarray(image.resize(size[::-1], reducing_gap=3.0))


def draw(image: np.ndarray, *objects: Found) -> np.ndarray:
    """A picture on its canvas, as the instances are, with all that was found in it."""
    shrunk = np.divide(image.shape[1::-1], objects[0].size[::-1])
    moved = lambda xy: (np.asarray(xy) + 0.5) * shrunk - 0.5
    for one in objects:
        if one.instances is not None:
            image = _tint(image, one)
    masks = [one.mask for one in objects if one.mask is not None]
    if masks:
        mask = resize.fit_labels(np.max(masks, axis=0), image.shape[:2], 'stretch')
        image = drawing.shine(image, mask)
    scale = drawing.zoom(image.shape, _READABLE)
    keypoints = jax.tree.map(
        lambda *leaves: np.concatenate(leaves), *(one.keypoints for one in objects)
    )
    keypoints = dataclasses.replace(keypoints, xy=moved(keypoints.xy))
    image = drawing.draw_keypoints(image, keypoints, scale=scale)
    boxes = [one.boxes for one in objects if one.boxes is not None]
    if not boxes:
        return image
    corners = moved(np.concatenate(boxes).reshape(-1, 2)).reshape(-1, 4)
    return drawing.draw_boxes(image, corners, scale=scale)


def _tint(image, one):
    valid = np.append(one.keypoints.valid, False)
    owner = np.where(valid[one.instances], one.instances, -1)
    opacity = 0.3 if one.certainty is None else 0.5 * one.certainty
    return drawing.draw_instances(image, owner, one.keypoints.label, opacity=opacity)

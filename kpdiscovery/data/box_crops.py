"""Pictures cut to the box of their object, `data.resize='box:0.1'`, or of what moves.

A square (or the shape of the canvas) about the box, with a margin on either side in parts of
its longer side. Its edges are whole pixels of the original, so that it is the same in every
size; beyond the picture there are black bars.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from kpdiscovery.data import resize

_NAMES = _BOX, _MOVING = 'box', 'moving'
_VAST = 16  # Times a picture's area.


def is_box(how: str) -> bool:
    """Whether a way to fit pictures is 'box' or 'moving', perhaps with ':MARGIN'."""
    return margin_of(how) is not None


def is_moving(how: str) -> bool:
    """Whether the boxes are those of what moves, see `files.moving`."""
    return is_box(how) and how.partition(':')[0] == _MOVING


def margin_of(how: str) -> float | None:
    """Free space on either side, in parts of the box's longer side; None of other ways."""
    name, colon, margin = how.partition(':')
    if name not in _NAMES:
        return None
    try:
        found = float(margin) if colon else 0.0
    except ValueError:
        return None
    return found if 0 <= found < np.inf else None


def region(
    boxes: np.ndarray, valid: np.ndarray, size: tuple[int, int], margin: float
) -> tuple[int, int, int, int] | None:
    """Edges (x0, y0, x1, y1) of the part to keep, whole original pixels, y1 exclusive.

    Args:
        boxes: `[N, 4]` (x0, y0, x1, y1) as batches have them, edges at halves.
        valid: `[N]` bool; the first of these that has an area is the object.
        size: (H, W) of the canvas, whose shape the region has to half a pixel.

    Returns:
        None if there is no box.
    """
    valid = valid & (boxes[:, 2:] > boxes[:, :2]).all(axis=-1)
    if not valid.any():
        return None
    box = boxes[valid.argmax()].astype(np.float64) + 0.5  # Pixel edges.
    wide, high = (box[2:] - box[:2]) + 2 * margin * (box[2:] - box[:2]).max()
    shape = np.array(size[::-1]) / max(size)
    sides = np.maximum(np.round(max(wide / shape[0], high / shape[1]) * shape), 1)
    corner = np.round((box[:2] + box[2:] - sides) / 2)
    x0, y0, x1, y1 = np.concatenate([corner, corner + sides]).astype(int).tolist()
    return x0, y0, x1, y1


def fit_region(
    image: Image.Image,
    edges: tuple[int, int, int, int],
    size: tuple[int, int],
    *,
    method: str,
    original: tuple[int, int],
) -> tuple[np.ndarray, resize.Frame]:
    """The region of a picture in (H, W), as `resize.fit_image` gives it.

    Args:
        image: RGB, perhaps shrunk from `original`.
        edges: of `region`.
        original: (H0, W0).
    """
    sides = np.array([edges[2] - edges[0], edges[3] - edges[1]], np.float64)
    scale = np.array(size[::-1]) / sides
    corner = np.array(edges[:2], np.float64)
    whole = np.array(original[::-1], np.float64)
    frame = resize.Frame(scale, (0.5 - corner) * scale - 0.5, whole)
    shrunk = np.tile(np.array(image.size) / whole, 2)
    if sides.prod() > _VAST * whole.prod():  # Most of it is black: not made in full.
        wide, high = np.maximum(np.round(whole * scale), 1).astype(int).tolist()
        left, top = np.round(-corner * scale).astype(int).tolist()
        canvas = Image.new('RGB', size[::-1])
        canvas.paste(image.resize((wide, high), resize.METHODS[method]), (left, top))
        return np.array(canvas), frame
    kept = image.crop(tuple(np.round(np.array(edges) * shrunk).astype(int).tolist()))
    fitted = kept.resize(size[::-1], resize.METHODS[method], reducing_gap=3.0)
    return np.array(fitted), frame

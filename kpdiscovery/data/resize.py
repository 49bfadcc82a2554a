"""Fitting pictures of any shape into (H, W), and the way back to original pixels.

Frames are the library's: (x right, y down), integers at pixel centres, resizing maps
edges to edges. This runs in the threads that read files, one picture at a time, so it
is numpy and Pillow; `ops.coordinates` has the same changes of frame for the device.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from PIL import Image

HOW = ('stretch', 'crop', 'pad')
_SHARED = 'crop:'  # Followed by the share of the square that stays.
METHODS = {
    'nearest': Image.Resampling.NEAREST,
    'bilinear': Image.Resampling.BILINEAR,
    'bicubic': Image.Resampling.BICUBIC,
}


class Frame(NamedTuple):
    """fitted = original * scale + offset; leaves `[..., 2]` float64 (x, y)."""

    scale: np.ndarray  # Fitted pixels an original pixel.
    offset: np.ndarray  # Fitted pixels.
    original: np.ndarray  # (W0, H0) in original pixels.

    @property
    def vector(self) -> np.ndarray:
        """`[..., 6]` float32 (sx, sy, ox, oy, W0, H0): the 'frame' field of a row."""
        return np.concatenate(self, axis=-1, dtype=np.float32)

    @classmethod
    def from_vector(cls, vector: Any) -> Frame:
        """Inverse of `vector`; give it `rows[:, None]` to map points `[B, K, 2]`."""
        vector = np.asarray(vector, np.float64)
        return cls(vector[..., :2], vector[..., 2:4], vector[..., 4:])


def as_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """(H, W) from one side of a square or from both; ValueError unless positive."""
    both = (size, size) if isinstance(size, int) else tuple(size)
    if len(both) != 2 or min(both) < 1:
        raise ValueError(f'size must be a side or (H, W), at least 1, got {size}')
    return int(both[0]), int(both[1])


def fit_frame(original: tuple[int, int], size: tuple[int, int], how: str) -> Frame:
    """The frame that fits an (H0, W0) picture into (H, W).

    Args:
        original: (H0, W0) pixels.
        size: (H, W) pixels.
        how: 'stretch' ignores the aspect; 'crop' keeps the centre of the longer axis, and
            'crop:0.7' seven tenths of either side of that; 'pad' keeps everything and
            centres it between bars.

    Raises:
        ValueError: unknown `how`.
    """
    if not is_known(how):
        raise ValueError(f'resize must be one of {", ".join(HOW)}, got {how!r}')
    source = np.array(original[::-1], np.float64)
    target = np.array(size[::-1], np.float64)
    scale = target / source
    if how.startswith('crop'):
        scale = np.full(2, scale.max() / _share(how))
    elif how == 'pad':  # Whole pixels, so that no pixel is half picture and half bar.
        scale = np.clip(np.round(source * scale.min()), 1, target) / source
    bars = (target - source * scale) / 2
    edge = np.round(2 * bars) // 2 if how == 'pad' else bars  # Whole pixels again.
    return Frame(scale, edge + 0.5 * scale - 0.5, source)


def is_known(how: str) -> bool:
    """Whether `fit_frame` knows it."""
    try:
        return how in HOW or (how.startswith(_SHARED) and 0 < _share(how) <= 1)
    except ValueError:
        return False


def _share(how):
    return float(how.removeprefix(_SHARED)) if how.startswith(_SHARED) else 1.0


def to_fitted(frame: Frame, points: Any) -> np.ndarray:
    """Original points `[..., 2]` or boxes `[..., 4]` in the fitted frame, float32."""
    points = np.asarray(points)
    scale, offset = _per_axis(frame, points)
    return (points * scale + offset).astype(np.float32)


def to_original(frame: Frame, points: Any) -> np.ndarray:
    """Inverse of `to_fitted`: points or boxes in pixels of the original, float32."""
    points = np.asarray(points)
    scale, offset = _per_axis(frame, points)
    return ((points - offset) / scale).astype(np.float32)


def inside(frame: Frame, xy: Any, size: tuple[int, int]) -> np.ndarray:
    """Which original points `[..., 2]` lie in the picture and in its fitted part."""
    xy = np.asarray(xy)
    within = _between(xy, frame.original) & _between(
        to_fitted(frame, xy), np.array(size[::-1])
    )
    return within.all(axis=-1)


def pixels_valid(frame: Frame, size: tuple[int, int]) -> np.ndarray:
    """`[H, W]` bool: False on the bars, where there is no picture."""
    x, y = _original_grid(frame, size)
    width, height = frame.original
    return _between(y, height)[:, None] & _between(x, width)[None]


def fit_image(
    image: Any,
    size: tuple[int, int],
    how: str,
    *,
    method: str = 'bilinear',
    original: tuple[int, int] | None = None,
) -> tuple[np.ndarray, Frame]:
    """Fits a picture into (H, W), antialiased when it shrinks.

    Args:
        image: Pillow RGB picture, or uint8 `[H0, W0]`, `[H0, W0, 1]` or `[H0, W0, 3]`.
        size: (H, W).
        how: see `fit_frame`; the bars of 'pad' are black.
        method: 'bilinear', 'bicubic' or 'nearest' (pixel art; not antialiased).
        original: (H0, W0) whose pixels the frame counts, if the image was shrunk before.

    Returns:
        uint8 `[H, W, 3]` and the `Frame` of the mapping.

    Raises:
        ValueError: unknown `how` or `method`, or an array of another kind.
    """
    if method not in METHODS:
        raise ValueError(f'method must be one of {", ".join(METHODS)}, got {method!r}')
    picture = _picture(image)
    frame = fit_frame(original or (picture.height, picture.width), size, how)
    (x0, y0), (x1, y1) = _destination(frame, size)
    shrunk = np.array(picture.size) / frame.original
    box = tuple((_source_box(frame, size) * np.tile(shrunk, 2)).tolist())
    small = picture.resize((x1 - x0, y1 - y0), METHODS[method], box, reducing_gap=3.0)
    fitted = np.zeros((*size, 3), np.uint8)
    fitted[y0:y1, x0:x1] = np.asarray(small)
    return fitted, frame


def fit_labels(
    labels: np.ndarray, size: tuple[int, int], how: str, *, fill: Any = 0
) -> np.ndarray:
    """Mask or numbers `[H0, W0]` to `[H, W]` by nearest pixel, `fill` on the bars."""
    return take_labels(labels, fit_frame(labels.shape[:2], size, how), size, fill=fill)


def take_labels(
    labels: np.ndarray, frame: Frame, size: tuple[int, int], *, fill: Any = 0
) -> np.ndarray:
    """Mask or numbers `[H0, W0]` as `frame` fits their picture, `fill` beside it."""
    x, y = _original_grid(frame, size)
    columns = np.clip(np.floor(x + 0.5), 0, labels.shape[1] - 1).astype(int)
    rows = np.clip(np.floor(y + 0.5), 0, labels.shape[0] - 1).astype(int)
    nearest = labels[rows[:, None], columns[None]]
    return np.where(pixels_valid(frame, size), nearest, fill).astype(labels.dtype)


def _per_axis(frame, points):
    """Scale and offset repeated for boxes, whose last axis holds two points."""
    repeat = points.shape[-1] // 2
    leaves = (frame.scale, frame.offset)
    return [np.concatenate([leaf] * repeat, axis=-1) for leaf in leaves]


def _between(position, extent):
    return (position >= -0.5) & (position <= extent - 0.5)


def _original_grid(frame, size):
    """Original x `[W]` and y `[H]` of the fitted pixel centres, float64."""
    grids = np.arange(size[1]), np.arange(size[0])
    x, y = (
        (g - o) / s for g, s, o in zip(grids, frame.scale, frame.offset, strict=True)
    )
    return x, y


def _picture(image):
    if isinstance(image, Image.Image):
        return image.convert('RGB')
    image = np.asarray(image)
    grey = image.ndim == 2 or image.shape[2:] == (1,)
    if image.dtype != np.uint8 or not (grey or image.shape[2:] == (3,)):
        raise ValueError(
            f'image must be uint8 [H, W, 1 or 3], got {image.dtype} {image.shape}'
        )
    squeezed = image.reshape(image.shape[:2]) if grey else image
    return Image.fromarray(np.ascontiguousarray(squeezed)).convert('RGB')


def _destination(frame, size):
    """Corners (x, y), exclusive, of the picture in the fitted canvas, whole pixels."""
    edges = np.array([[-0.5, -0.5], frame.original - 0.5])
    corners = np.round(to_fitted(frame, edges) + 0.5).astype(int)
    return np.clip(corners, 0, size[::-1]).tolist()


def _source_box(frame, size):
    """Edges (x0, y0, x1, y1) of the original that stay: Pillow's frame, corner at 0."""
    canvas = np.array([[-0.5, -0.5], [size[1] - 0.5, size[0] - 0.5]])
    edges = (canvas - frame.offset) / frame.scale + 0.5
    return np.clip(edges, 0, frame.original).ravel()

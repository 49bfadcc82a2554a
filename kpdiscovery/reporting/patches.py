"""Squares cut out of pictures around points."""

from __future__ import annotations

import numpy as np


def patch(image: np.ndarray, xy: np.ndarray, side: int) -> np.ndarray:
    """A square of `side` pixels around a point, grey where it leaves the picture."""
    half = side // 2 + 1
    padded = np.pad(image, [(side, side), (side, side), (0, 0)], constant_values=128)
    x, y = np.clip(np.round(xy).astype(int), 0, np.array(image.shape[1::-1]) - 1)
    top, left = (int(value) + side - half + 1 for value in (y, x))
    return padded[top : top + side, left : left + side]

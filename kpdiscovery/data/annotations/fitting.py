"""Annotations in original pixels as batch fields of pictures fitted into (H, W)."""

from __future__ import annotations

import numpy as np

from kpdiscovery.data import resize
from kpdiscovery.types import Row


def fit_keypoints(xy, visible, frame: resize.Frame, size: tuple[int, int]) -> Row:
    """Original points `[..., 2]` as `keypoints` (-1 unless finite) and `visible`.

    A point that a crop cuts off, or that lies outside its picture, is not visible.
    """
    finite = np.isfinite(xy).all(axis=-1)
    fitted = np.where(finite[..., None], resize.to_fitted(frame, xy), np.float32(-1))
    seen = np.asarray(visible, bool) & finite & resize.inside(frame, xy, size)
    return {'keypoints': fitted, 'visible': seen}


def fit_boxes(boxes, valid, frame: resize.Frame, size: tuple[int, int]) -> Row:
    """Original boxes `[N, 4]` as `boxes`, cut at fitted edges, and `boxes_valid`."""
    edge = np.tile(np.array(size[::-1], np.float32) - 0.5, 2)
    fitted = np.clip(resize.to_fitted(frame, boxes), np.float32(-0.5), edge)
    left = (fitted[:, 2:] - fitted[:, :2] > 1e-3).all(axis=-1)  # Pixels.
    valid = np.asarray(valid, bool) & left
    return {
        'boxes': np.where(valid[:, None], fitted, np.float32(-1)),
        'boxes_valid': valid,
    }


def fit_parts(boxes, label, frame: resize.Frame, size: tuple[int, int]) -> Row:
    """`fit_boxes` of parts, as `part_boxes` `[N, 4]` and `part_label` `[N]` int32."""
    fitted = fit_boxes(boxes, label >= 0, frame, size)
    return {
        'part_boxes': fitted['boxes'],
        'part_label': np.where(fitted['boxes_valid'], label, np.int32(-1)),
    }

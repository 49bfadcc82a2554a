"""Keypoints as a vector for a linear regressor: one slot for each label and rank.

Features are in the unit square: the left upper corner of the picture is (0, 0), the
right lower one (1, 1), so pixel (x, y) is ((x + .5) / W, (y + .5) / H).
"""

from __future__ import annotations

import numpy as np

from kpdiscovery.types import Array, Keypoints


def to_unit_square(xy: Array, size: tuple[float, float]) -> Array:
    """Pixels `[..., 2]` of an (H, W) picture to [0, 1], edges to 0 and 1; float64."""
    return (np.asarray(xy, np.float64) + 0.5) / np.array(size[::-1], np.float64)


def from_unit_square(xy: Array, size: tuple[float, float]) -> Array:
    """The way back from `to_unit_square`, to pixels; float64."""
    return np.asarray(xy, np.float64) * np.array(size[::-1], np.float64) - 0.5


def slot_features(
    keypoints: Keypoints, num_labels: int, size: tuple[int, int], *, order: str = 'x'
) -> Array:
    """Keypoints as one vector a picture, a slot for each (label, rank within label).

    Args:
        keypoints: leaves `[N, K]` (`xy` `[N, K, 2]`); only valid ones with a label >= 0
            are used.
        num_labels: M, labels are 0..M-1.
        size: (H, W) of the pictures.
        order: ranks keypoints of one label by 'x' from left to right (then y; the
            paper), or by 'score' from high to low (what the released code amounts to).

    Returns:
        `[N, M * K * 2]` float64, (x, y) in the unit square in slot label * K + rank;
        zeros in the slots without a keypoint.

    Raises:
        ValueError: unknown `order`, or a label not below `num_labels`.

    Source: [jin2022], section 4.3.
    """
    xy, label = np.asarray(keypoints.xy, np.float64), np.asarray(keypoints.label)
    used = np.asarray(keypoints.valid, bool) & (label >= 0)
    if label.max(initial=-1, where=used) >= num_labels:
        raise ValueError(f'labels must be below {num_labels}, got {label[used].max()}')
    slot = _slots(xy, keypoints.score, np.where(used, label, num_labels), order)
    n, k = label.shape
    features = np.zeros((n, num_labels * k, 2))
    features[np.nonzero(used)[0], slot[used]] = to_unit_square(xy[used], size)
    return features.reshape(n, -1)


def _slots(xy: Array, score: Array, label: Array, order: str) -> Array:
    """Slot of every keypoint, `[N, K]`; those of the largest label are not slots."""
    if order not in ('x', 'score'):
        raise ValueError(f"order must be 'x' or 'score', got {order!r}")
    x, y = xy[..., 0], xy[..., 1]
    return label * label.shape[1] + rank_in_label(
        label, *((y, x) if order == 'x' else (-np.asarray(score),))
    )


def rank_in_label(label: Array, *keys: Array) -> Array:
    """Place of every keypoint among those of its label in its picture, `[N, K]` from 0.

    Args:
        label: `[N, K]` int.
        keys: `[N, K]` each, lowest first; the last decides, the others break its ties,
            and then the order in the picture.
    """
    sequence = np.lexsort((*keys, label), axis=-1)
    placed = np.take_along_axis(label, sequence, 1)
    place = np.broadcast_to(np.arange(label.shape[1]), label.shape)
    first = np.diff(placed, axis=1, prepend=-1) != 0
    start = np.maximum.accumulate(np.where(first, place, 0), axis=1)
    rank = np.empty(label.shape, np.int64)
    np.put_along_axis(rank, sequence, place - start, 1)
    return rank

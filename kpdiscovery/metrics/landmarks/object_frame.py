"""Whether keypoints follow the object, or keep a place in the picture."""

from __future__ import annotations

import numpy as np

from kpdiscovery.metrics.landmarks.labelled import side
from kpdiscovery.types import Array, Split, Unmeasurable

_LEAST = 3  # Annotated points that tell an affine map.
_FLAT = 0.05  # Of the largest extent of the points: thinner, a map is not told.
_THIN = (
    0.25  # Of the mean points' area: a picture that shrinks them more tells nothing.
)
_ROUNDS = 5
_AROUND = 0.1  # Of the longer side of the annotated points, where the object may be.


def object_frame(fit: Split, test: Split) -> dict[str, float]:
    """How much keypoints of one label move in the picture, and on the object; `fit` is
    not used.

    The frame of the object is that of the mean annotated points: an affine map lays them
    on each picture's, and its inverse brings keypoints back. (A map fitted the other way,
    onto the mean, shrinks whatever is not affine, random points too.) A label's spread is
    the root of the mean squared distance to its mean place; the mean over keypoints counts
    labels by how often they occur. Points that follow the object move less on it than in
    the picture.

    Returns:
        `label_spread` and `label_spread_object` in % of the picture's side; `on_object`,
        the share of keypoints in the box of the annotated points and a tenth around, and
        `on_object_chance`, that of random pixels, in %.

    Raises:
        Unmeasurable: no picture has three visible points that are not on a line, or no label
            occurs twice.

    Source: own definition.
    """
    xy, visible = _annotated(test)
    keypoints = test.prediction.keypoints
    valid = np.asarray(keypoints.valid, bool) & (np.asarray(keypoints.label) >= 0)
    maps, told = _maps_to_mean(xy, visible)
    if not told.any():
        raise Unmeasurable('no picture has three visible points that tell its frame')
    at, label = np.asarray(keypoints.xy, np.float64), np.asarray(keypoints.label)
    moved = _through(maps, at)
    counts = valid & told[:, None]
    percent = 100 / side(test)
    spreads = [_spread(places[counts], label[counts]) for places in (at, moved)]
    inside, chance = _on_object(
        at[counts], np.nonzero(counts)[0], xy, visible, test.size
    )
    return {
        'label_spread': percent * spreads[0],
        'label_spread_object': percent * spreads[1],
        'on_object': 100 * inside,
        'on_object_chance': 100 * chance,
    }


def _annotated(split: Split) -> tuple[Array, Array]:
    xy = np.asarray(split.truth['keypoints'], np.float64)
    visible = np.asarray(split.truth['visible'], bool)
    if xy.ndim != 3:
        raise Unmeasurable('needs one object a picture')
    visible = visible & np.isfinite(xy).all(axis=-1)
    return np.where(visible[..., None], xy, 0), visible


def _maps_to_mean(xy: Array, visible: Array) -> tuple[Array, Array]:
    """Affine maps `[N, 3, 2]` from pictures to the mean points, and which are told.

    Points that are hidden in some pictures would be averaged over other places than the
    rest: after the first mean all are averaged where the maps take them. The mean of the
    maps from it to the pictures is kept the identity, so that it is as large as they are.
    """
    mean = _mean(xy, visible)
    for _ in range(_ROUNDS):
        forth, told = _maps_from(mean, xy, visible)
        if not told.any():
            break
        seen = visible & told[:, None]
        moved = _mean(_through(_inverse(forth, told), xy), seen)
        mean = np.where(seen.any(axis=0)[:, None], moved, mean)
        mean = _with_one(mean) @ forth[told].mean(axis=0)
    forth, told = _maps_from(mean, xy, visible)
    return _inverse(forth, told), told


def _mean(xy, visible):
    total = np.where(visible[..., None], xy, 0).sum(axis=0)
    return total / np.maximum(visible.sum(axis=0), 1)[:, None]


def _maps_from(mean, xy, visible):
    """Affine maps from the mean to the pictures, and which of them are told."""
    maps, told = np.zeros((len(xy), 3, 2)), np.zeros(len(xy), bool)
    for row, seen in enumerate(visible):
        if seen.sum() < _LEAST or _flat(xy[row, seen]) or _flat(mean[seen]):
            continue
        maps[row] = np.linalg.lstsq(_with_one(mean[seen]), xy[row, seen], rcond=None)[0]
        told[row] = abs(np.linalg.det(maps[row, :2])) > _THIN
    return maps, told


def _flat(points) -> bool:
    extent = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(extent[1] <= _FLAT * extent[0])


def _inverse(maps, told):
    turn = np.where(told[:, None, None], maps[:, :2], np.eye(2))
    back = np.linalg.inv(turn)
    return np.concatenate([back, -maps[:, 2:] @ back], axis=1) * told[:, None, None]


def _through(maps, xy):
    return np.einsum('nki,nij->nkj', _with_one(xy), maps)


def _with_one(xy: Array) -> Array:
    return np.concatenate([xy, np.ones((*xy.shape[:-1], 1))], axis=-1)


def _spread(xy: Array, label: Array) -> float:
    """Pixels; of labels that occur twice."""
    numbers, index, count = np.unique(label, return_inverse=True, return_counts=True)
    mean = np.zeros((len(numbers), 2))
    np.add.at(mean, index, xy)
    mean /= count[:, None]
    squares = np.bincount(index, ((xy - mean[index]) ** 2).sum(axis=-1), len(numbers))
    often = count >= 2
    if not often.any():
        raise Unmeasurable('no label occurs twice')
    return float(np.average(np.sqrt(squares / count)[often], weights=count[often]))


def _on_object(at, row, xy, visible, size) -> tuple[float, float]:
    """Share of the points `[n, 2]` of pictures `row` on their object, and its area's."""
    far = np.where(visible[..., None], xy, np.nan)
    with np.errstate(invalid='ignore'):
        low, high = (f(far[row], axis=1) for f in (np.nanmin, np.nanmax))
    around = _AROUND * (high - low).max(axis=-1, keepdims=True)
    low, high = low - around, high + around
    inside = ((at >= low) & (at <= high)).all(axis=-1).mean()
    edge = np.array(size[::-1]) - 0.5
    sides = np.clip(high, -0.5, edge) - np.clip(low, -0.5, edge)
    return float(inside), float(sides.prod(axis=-1).mean() / np.prod(size))

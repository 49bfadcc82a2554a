"""Found points that lie at any annotated one: greedy PCK, and what chance would get."""

from __future__ import annotations

import numpy as np

from kpdiscovery.metrics.landmarks.accuracy import Accuracy
from kpdiscovery.metrics.landmarks.points import Landmarks, checked
from kpdiscovery.types import Array

_READINGS = ('any', 'one-to-one')


def greedy_pck(
    predicted: Array,
    annotated: Array,
    image_size: Array,
    valid: Array | None = None,
    visible: Array | None = None,
    *,
    alpha: float = 0.1,
    reading: str = 'any',
) -> Accuracy:
    """Percentage of predicted points within alpha x the shorter side of an annotation.

    Nothing is fitted and points need no order, so the figure is generous: give
    `random_greedy_pck` beside it.

    Args:
        predicted: `[N, K, 2]` original pixels, the most certain first.
        annotated: `[N, T, 2]` original pixels.
        image_size: (H, W) of the original pictures, or `[N, 2]`.
        valid: `[N, K]` bool, points that were found; the others are wrong.
        visible: `[N, T]` bool, annotated points that count; None for all. Pictures
            without any do not count.
        alpha: share of the shorter side, > 0; the distance itself counts as correct.
        reading: 'any': several points may lie at the same annotation; 'one-to-one':
            each annotation is taken once, the nearest pair of a picture first.

    Returns:
        `per_landmark` `[K]` is for each predicted index: KP1, KP2 ...

    Raises:
        ValueError: shapes do not fit, no annotated point counts, a point that counts is
            not finite, or a bad option.

    Source: [guo2025], table 2.
    """
    sets = checked(Landmarks(predicted, annotated, valid, visible))
    if reading not in _READINGS:
        raise ValueError(f'reading must be one of {_READINGS}, got {reading!r}')
    reach = _reach(image_size, len(sets.visible), alpha)
    gaps = np.linalg.norm(sets.predicted[:, :, None] - sets.annotated[:, None], axis=-1)
    near = gaps <= reach[:, None, None]
    near &= sets.valid[..., None] & sets.visible[:, None]  # [N, K, T]
    if reading == 'any':
        met = near.any(axis=-1)
    else:
        pairs = zip(gaps, near, strict=True)
        met = np.stack([_one_to_one(gap, close) for gap, close in pairs])
    counted = sets.visible.any(axis=1)
    if not counted.any():
        raise ValueError(f'wanted visible points, got none in {len(counted)} pictures')
    share = 100 * met[counted].mean(axis=0)
    return Accuracy(float(share.mean()), share)


def random_greedy_pck(
    annotated: Array,
    boxes: Array,
    image_size: Array,
    visible: Array | None = None,
    *,
    num_points: int,
    alpha: float = 0.1,
    reading: str = 'any',
    draws: int = 10,
    seed: int = 0,
) -> Accuracy:
    """`greedy_pck` of points drawn evenly in the object's box: the level of chance.

    Args:
        boxes: `[N, 4]` original pixels, one box a picture.
        num_points: K points a picture.
        draws: repetitions that are averaged, >= 1.
        seed: same seed, same points.

    Other arguments, result and errors as `greedy_pck`.
    """
    boxes = np.asarray(boxes, np.float64)
    if boxes.shape != (len(annotated), 4) or not np.isfinite(boxes).all():
        raise ValueError(
            f'wanted finite boxes [{len(annotated)}, 4], got {boxes.shape}'
        )
    if num_points < 1 or draws < 1:
        raise ValueError(f'wanted points and draws, got {num_points} and {draws}')
    rng, low, high = np.random.default_rng(seed), boxes[:, None, :2], boxes[:, None, 2:]
    measure = lambda xy: greedy_pck(
        xy, annotated, image_size, None, visible, alpha=alpha, reading=reading
    )
    shape = (len(boxes), num_points, 2)
    shares = [
        measure(low + rng.random(shape) * (high - low)).per_landmark
        for _ in range(draws)
    ]
    share = np.mean(shares, axis=0)
    return Accuracy(float(share.mean()), share)


def random_on_objects(
    masks: Array, *, num_points: int, spacing: float, seed: int = 0
) -> tuple[Array, Array]:
    """Pixels of each object, drawn evenly and at least `spacing` apart.

    What keypoints know that lie on the object, each away from the others, and nothing
    else.

    Args:
        masks: `[N, H, W]` bool.
        num_points: K points a picture.
        spacing: pixels.
        seed: same seed, same points.

    Returns:
        `[N, K, 2]` (x, y) and `[N, K]` bool: small objects have no room for K.
    """
    rng, n = np.random.default_rng(seed), len(masks)
    xy, valid = np.zeros((n, num_points, 2)), np.zeros((n, num_points), bool)
    for row, mask in enumerate(masks):
        left = rng.permutation(np.argwhere(mask)[:, ::-1])
        for point in range(num_points):
            if not len(left):
                break
            xy[row, point], valid[row, point] = left[0], True
            left = left[np.linalg.norm(left - left[0], axis=-1) >= spacing]
    return xy, valid


def _reach(image_size: Array, pictures: int, alpha: float) -> Array:
    """Pixels that count as close, `[N]`."""
    size = np.asarray(image_size, np.float64)
    if size.shape not in ((2,), (pictures, 2)) or not (size > 0).all() or alpha <= 0:
        raise ValueError(
            f'wanted image_size (H, W) or [{pictures}, 2] and alpha, all > 0, got '
            f'{size.shape} and {alpha}'
        )
    return np.broadcast_to(alpha * size.min(axis=-1), pictures)


def _one_to_one(gaps: Array, near: Array) -> Array:
    """Points of a picture that took an annotation, `[K, T]` twice -> `[K]` bool."""
    left, met = np.where(near, gaps, np.inf), np.zeros(len(gaps), bool)
    while np.isfinite(left.min()):
        point, annotation = np.unravel_index(left.argmin(), left.shape)
        left[point], left[:, annotation], met[point] = np.inf, np.inf, True
    return met

"""Which object a keypoint stands on: the region where its alpha is high (TUSK)."""

from __future__ import annotations

import numpy as np

from kpdiscovery.types import Array

_CHUNK = 64  # Pictures whose regions are counted at a time.


def assign_regions(
    alphas: Array,
    instances: Array,
    num_objects: int,
    *,
    threshold: float = 0.8,
    share: float = 0.5,
) -> tuple[Array, Array]:
    """The object each keypoint's region covers.

    The region of a keypoint is where its alpha exceeds `threshold`; it belongs to the
    object that owns more than `share` of its pixels.

    Args:
        alphas: `[B, K, H, W]` floats (float16 does).
        instances: `[B, H, W]` integers, objects 0..num_objects-1, -1 ground.
        num_objects: N.

    Returns:
        Object `[B, K]` int64, -1 for empty regions and those no object owns, and the
        regions' pixels `[B, K]` int64.

    Raises:
        ValueError: sizes differ, or an object is not below `num_objects`.

    Source: [jin2022], section 4.2, as the released evaluation has it.
    """
    alphas, instances = np.asarray(alphas), np.asarray(instances)
    _check_regions(alphas, instances, num_objects)
    shape = (len(alphas), alphas.shape[1])
    owner, area = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for i in range(0, len(alphas), _CHUNK):
        here = slice(i, i + _CHUNK)
        regions = alphas[here] > threshold
        area[here] = regions.sum(axis=(2, 3))
        shared = _overlaps(regions, instances[here], num_objects)
        owned = shared.max(axis=-1, initial=0) > share * area[here]
        owner[here] = np.where(owned, shared.argmax(axis=-1), -1)
    return owner, area


def keypoint_of_objects(owner: Array, area: Array, num_objects: int) -> Array:
    """The keypoint with the largest region on each object, `[B, N]`, -1 where none.

    Args: `owner` and `area` `[B, K]` as `assign_regions` gives them. On a tie the
    first keypoint wins.
    """
    mine = owner[:, None] == np.arange(num_objects)[:, None]  # [B, N, K]
    size = np.where(mine, area[:, None], -1)
    return np.where(mine.any(axis=-1), size.argmax(axis=-1), -1)


def _check_regions(alphas: Array, instances: Array, num_objects: int) -> None:
    if alphas.ndim != 4 or alphas[:, 0].shape != instances.shape:
        raise ValueError(
            'alphas must be [B, K, H, W] over instances [B, H, W], got '
            f'{alphas.shape} and {instances.shape}'
        )
    if instances.max(initial=-1) >= num_objects:
        raise ValueError(
            f'instances must be below {num_objects}, got {instances.max()}'
        )


def _overlaps(regions: Array, instances: Array, num_objects: int) -> Array:
    """Pixels of each region on each object, `[B, K, N]` float32."""
    n, k, *_ = regions.shape
    numbers = np.arange(num_objects, dtype=instances.dtype)[:, None]
    objects = instances.reshape(n, 1, -1) == numbers  # [B, N, P]
    regions = regions.reshape(n, k, -1).astype(np.float32)  # [B, K, P]
    # Counts are exact below 2**24 pixels.
    return regions @ objects.astype(np.float32).swapaxes(1, 2)

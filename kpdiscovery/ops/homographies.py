"""Random homographies, the warps that plane scenes undergo when the camera moves."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kpdiscovery.ops import linear
from kpdiscovery.ops.warps import Homography

_SQUARE = ((0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 0.0))  # TL, BL, BR, TR.


def fit_homography(source: jax.Array, target: jax.Array) -> Homography:
    """The homography that takes four points to four others, both `[4, 2]`.

    Three on a line leave the system singular, and the result is not finite.
    """
    if source.shape != (4, 2) or target.shape != (4, 2):
        raise ValueError(
            f'source and target must be [4, 2], got {source.shape}, {target.shape}'
        )
    one, none = jnp.ones((4, 1)), jnp.zeros((4, 3))
    lifted = jnp.concatenate([source, one], axis=1)
    u, v = target[:, :1], target[:, 1:]
    rows_u = jnp.concatenate([lifted, none, -u * source], axis=1)
    rows_v = jnp.concatenate([none, lifted, -v * source], axis=1)
    system = jnp.concatenate([rows_u, rows_v])
    entries = linear.solve(system, jnp.concatenate([u, v]))
    return Homography(jnp.append(entries[:, 0], 1.0).reshape(3, 3))


def random_homography(
    key: jax.Array,
    size: tuple[int, int],
    *,
    patch: float = 0.85,
    perspective: float = 0.2,
    scale: float = 0.2,
    angle: float = 1.57,
    overflow: float = 0.0,
    artifacts: bool = True,
    draws: int = 5,
    angles: int = 25,
) -> Homography:
    """Output pixels to input pixels: the (H, W) frame shows a moved patch of itself.

    Args:
        patch: side of the centred patch, as a share of the picture's.
        perspective: twice the standard deviation of its corners' shifts, cut there; in
            shares of the sides, like `scale` and `overflow`.
        scale: twice the standard deviation of its scale about 1.
        angle: largest rotation, radians; in the unit square, so it shears pictures that
            are no squares.
        overflow: how far it may be shifted beyond the picture.
        artifacts: it may reach beyond the picture; otherwise scales and rotations that
            would are not taken.
        draws: scales to choose from.
        angles: rotations to choose from.

    Source: [detone2018], the public training code.
    """
    keys = jax.random.split(key, 6)
    square = jnp.array(_SQUARE)
    corners = (1 - patch) / 2 + patch * square
    reach = perspective if artifacts else min(perspective, (1 - patch) / 2)
    y, left, right = reach / 2 * jax.random.truncated_normal(keys[0], -2, 2, (3,))
    corners += jnp.stack(
        [jnp.stack([left, left, right, right]), y * jnp.array([1, -1, 1, -1])], 1
    )
    factors = 1 + scale / 2 * jax.random.truncated_normal(keys[1], -2, 2, (draws, 1, 1))
    middle = corners.mean(axis=0, keepdims=True)
    corners = _choose(
        keys[2], middle[None] + factors * (corners - middle)[None], corners, artifacts
    )
    low = -corners.min(axis=0) - overflow
    high = 1 - corners.max(axis=0) + overflow
    shift = jax.random.uniform(keys[3], (2,))
    corners += (low + shift * (high - low)).reshape(1, 2)
    turns = jnp.linspace(-angle, angle, angles)
    c, s = jnp.cos(turns), jnp.sin(turns)
    rotations = jnp.stack([jnp.stack([c, s], -1), jnp.stack([-s, c], -1)], axis=-2)
    middle = corners.mean(axis=0, keepdims=True)
    turned = jnp.einsum('pc,acd->apd', corners - middle, rotations, precision='highest')
    corners = _choose(keys[4], middle[None] + turned, corners, artifacts)
    sides = jnp.array([[size[1], size[0]]], jnp.float32)
    return fit_homography(square * sides - 0.5, corners * sides - 0.5)


def _choose(key, candidates, unchanged, artifacts):
    """One of `[n, 4, 2]` at random: any, or else one that stays inside."""
    if artifacts:
        return candidates[jax.random.randint(key, (), 0, len(candidates))]
    every = jnp.concatenate([unchanged[None], candidates])
    inside = ((every >= 0) & (every <= 1)).all(axis=(1, 2)).at[0].set(True)
    return every[jax.random.categorical(key, jnp.where(inside, 0.0, -jnp.inf))]

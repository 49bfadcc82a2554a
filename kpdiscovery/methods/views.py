"""Pairs of views of a picture with a known warp between them; a config section.

Learning from warps one knows needs no labels: points, or whole maps, that are found in
one view must lie where the warp takes those of the other. The two thin-plate splines,
one mild and one strong, are those of [jakab2018] and of TUSK ([jin2022], section 3.2).
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.ops import coordinates, warps

_FIRST = {
    'scale': 0.98,
    'scale_jitter': 0.02,
    'bend': 0.03,
    'offset': 0.02,
    'rotation': 0.05,
}


class ViewPair(NamedTuple):
    """Two views of each picture, and where the first shows what the second does."""

    first: jax.Array  # [B, H, W, 3]
    second: jax.Array  # [B, H, W, 3]
    warp: Any  # From the second's pixels to the first's, leaves [B, ...].


@dataclasses.dataclass(frozen=True)
class Views:
    """How the second view differs from the first; lengths as in `warps.random_tps`.

    Pictures are padded by a fifth of their sides before they are warped, so that what
    enters at a border is the padding and not a hole.
    """

    scale: float = 0.95
    scale_jitter: float = 0.05
    bend: float = 0.1
    offset: float = 0.01
    rotation: float = 0.25
    pad: str = 'constant'  # Or 'reflect'.
    fill: float = 0.0  # Of a constant pad.
    # Of both views alike, at random (ours): shift in parts of the sides, and scale up to 1 +
    # zoom either way. Objects that are always in one place need no keypoints to be painted.
    shift: float = 0.0
    zoom: float = 0.0

    def pair(self, keys: jax.Array, images: jax.Array) -> ViewPair:
        """Views of `[B, H, W, 3]`; one key an example."""
        return jax.vmap(self._pair)(keys, images)

    def _pair(self, key, image):
        h, w = image.shape[:2]
        keys = jax.random.split(key)
        canvas = self._padded(image)
        options = dataclasses.asdict(self)
        options = {k: options[k] for k in _FIRST}
        mild: Any = warps.random_tps(keys[0], canvas.shape[:2], **_FIRST)
        strong = warps.random_tps(keys[1], canvas.shape[:2], **options)
        if self.shift or self.zoom:
            mild = warps.compose(mild, self._place(jax.random.fold_in(key, 2), (h, w)))
        first = warps.warp_image(mild, canvas, mode='edge')
        second = warps.warp_image(strong, first, mode='edge')
        top, left = padding(h), padding(w)
        crop = lambda canvas: canvas[top : top + h, left : left + w]
        return ViewPair(crop(first), crop(second), _cropped(strong, (h, w)))

    def _place(self, key, size):
        """Another place and scale of the picture on its padded canvas."""
        u = jax.random.uniform(key, (3,), minval=-1.0)
        scale, sides = (1 + self.zoom) ** u[0], jnp.array(size[::-1])
        pads = jnp.array([padding(side) for side in size[::-1]])
        middle = (sides - 1) / 2 + pads
        shift = middle * (1 - scale) + self.shift * sides * u[1:]
        return warps.Affine(
            jnp.concatenate([scale * jnp.eye(2), shift[:, None]], axis=1)
        )

    def _padded(self, image):
        sides = [(padding(n), padding(n)) for n in image.shape[:2]] + [(0, 0)]
        if self.pad == 'reflect':
            return jnp.pad(image, sides, mode='reflect')
        if self.pad == 'constant':
            return jnp.pad(image, sides, constant_values=self.fill)
        raise ValueError(f"pad must be 'constant' or 'reflect', got {self.pad!r}")


def padding(side: int) -> int:
    """Pixels added at each end of a side."""
    return side // 5


def follow(warp: Any, maps: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Maps `[B, H, W, C]` of the first view seen in the frame of the second.

    Returns the warped maps, mirrored where they would have to come from beyond the
    border, and `[B, H, W]` bool: the pixels that do not.
    """
    return jax.vmap(_follow)(warp, maps)


def to_first(warp: Any, xy: jax.Array) -> jax.Array:
    """Points `[B, K, 2]` of second views where the first ones show them."""
    return jax.vmap(warps.transform_points)(warp, xy)


def resized(warp: Any, size: tuple[int, ...], other: tuple[int, ...]) -> Any:
    """The warp `[B, ...]` of views of (H, W) pixels for the same views resized."""
    if size == other:
        return warp
    scale = jnp.array(other[::-1]) / jnp.array(size[::-1])
    matrix = jnp.concatenate([jnp.diag(scale), (scale[:, None] - 1) / 2], axis=1)
    there = warps.Affine(matrix)
    between = lambda one: warps.compose(warps.compose(warps.invert(there), one), there)
    return jax.vmap(between)(warp)


def _follow(warp, one):
    h, w = one.shape[:2]
    grid = coordinates.pixel_grid(h, w).reshape(h * w, 2)
    valid = warps.within(warps.transform_points(warp, grid), (h, w)).reshape(h, w)
    return warps.warp_image(warp, one, mode='reflect'), valid


def _cropped(warp, size):
    """A warp of the padded canvas, in the pixels of the views cut out of it."""
    shift = jnp.array([padding(side) for side in size[::-1]], jnp.float32)[:, None]
    to_canvas = warps.Affine(jnp.concatenate([jnp.eye(2), shift], axis=1))
    return warps.compose(warps.compose(to_canvas, warp), warps.invert(to_canvas))

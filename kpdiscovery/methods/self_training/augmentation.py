"""Views of pictures: one affine map and some photography, points following."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.ops import images as image_ops
from kpdiscovery.ops import warps


class Moves(NamedTuple):
    """Where a view looks."""

    forth: warps.Affine  # Points of the picture to the view, in pixels.
    back: warps.Affine


_MOST_BLUR = 0.7  # Pixels: farther taps would have more than 2 % of the weight.


class View(NamedTuple):
    """A picture seen another way."""

    image: jax.Array  # [H, W, 3] float32 in [0, 1].
    xy: jax.Array  # [P, 2] the points in its pixels; some may lie outside.


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Ranges of a random view; defaults are those of [mallis2020] and [mallis2023] (stage 1).

    Factors are uniform in the given intervals. Beyond the border the nearest pixel is
    repeated (own choice; unstated).
    """

    scale_low: float = 0.8  # Of each axis.
    scale_high: float = 1.2
    translation: float = 0.05  # Half-width, in sides of the picture.
    rotation: float = 40.0  # Half-width, degrees.
    flip: float = 0.5  # Probability, where a phase allows it.
    contrast_low: float = 0.85
    contrast_high: float = 1.3
    brightness_low: float = 0.9
    brightness_high: float = 1.1
    noise: float = 0.05  # Highest standard deviation, white being 1 ...
    noise_probability: float = 0.5
    blur: float = 0.5  # Highest sigma in pixels, at most .7 ...
    blur_probability: float = 0.3
    color: float = 0.5  # Half-width of saturation's factor and of the hue's turn ...
    color_probability: float = 0.3
    cutout: float = 0.0  # Side of a black square, in sides of the picture ...
    cutout_probability: float = 0.5

    def __post_init__(self):
        if not 0 < self.scale_low <= self.scale_high:
            raise ValueError(
                f'0 < scale_low <= scale_high wanted, got {self.scale_low} and '
                f'{self.scale_high}'
            )
        if not 0 <= self.blur <= _MOST_BLUR:
            raise ValueError(f'blur must be in 0..{_MOST_BLUR} pixels, got {self.blur}')

    def flips(self, key) -> jax.Array:
        """Whether the view of this key is mirrored, where a phase allows it.

        `view` splits the key in three; fold_in(key, i) is its i-th part.
        """
        return jax.random.bernoulli(jax.random.fold_in(key, 3), self.flip)

    def view(self, key, image, xy, flipped) -> View:
        """A view of `[H, W, 3]` with points `[P, 2]` in its pixels, mirrored or not."""
        keys = jax.random.split(key, 3)
        moves = self.maps(keys[0], image.shape[:2], flipped)
        seen = warps.warp_image(moves.back, image, mode='edge')
        seen = self._photograph(keys[1], seen)
        seen = self._cut(keys[2], seen) if self.cutout else seen
        return View(seen, warps.transform_points(moves.forth, xy))

    def maps(self, key, size: tuple[int, ...], flipped) -> Moves:
        """A random view of an (H, W) picture, mirrored or not."""
        u = jax.random.uniform(key, (5,), minval=-1.0)
        scale = _between(self.scale_low, self.scale_high, (u[:2] + 1) / 2)
        angle = jnp.deg2rad(self.rotation) * u[2]
        c, s = jnp.cos(angle), jnp.sin(angle)
        turn = jnp.array([[c, -s], [s, c]])
        mirror = jnp.array([jnp.where(flipped, -1.0, 1.0), 1.0])
        # Turned last: the inverse of the product is closed.
        linear = turn * (scale * mirror)[None]
        inverse = turn.T * (mirror / scale)[:, None]
        sides = jnp.array([size[1], size[0]], jnp.float32)
        center = (sides - 1) / 2
        moved = lambda m, xy: jnp.sum(m * xy[None], axis=-1)  # Exact to float32.
        shift = center - moved(linear, center) + self.translation * sides * u[3:]
        with_shift = lambda m, t: warps.Affine(jnp.concatenate([m, t[:, None]], axis=1))
        back = -moved(inverse, shift)
        return Moves(with_shift(linear, shift), with_shift(inverse, back))

    def _photograph(self, key, image):
        keys = jax.random.split(key, 3)
        u = jax.random.uniform(keys[0], (9,))
        sometimes = lambda p, x: jnp.where(x < p, 1.0, 0.0)
        image = _blur(image, self.blur * u[0] * sometimes(self.blur_probability, u[1]))
        colored = sometimes(self.color_probability, u[2])
        turn = colored * self.color * (2 * u[3] - 1)
        image = _tint(image, 1 + colored * self.color * (2 * u[4] - 1), turn)
        image = (image - 0.5) * _between(
            self.contrast_low, self.contrast_high, u[5]
        ) + 0.5
        image *= _between(self.brightness_low, self.brightness_high, u[6])
        deviation = self.noise * u[7] * sometimes(self.noise_probability, u[8])
        grain = jax.random.normal(keys[1], (image.size,)).reshape(image.shape)
        return jnp.clip(image + deviation * grain, 0, 1)

    def _cut(self, key, image):
        """A black square wholly inside."""
        h, w, _ = image.shape
        u = jax.random.uniform(key, (3,))
        y, x = ((1 - self.cutout) * n * a for n, a in ((h, u[0]), (w, u[1])))
        inside = lambda start, n: (
            (jnp.arange(n) >= start) & (jnp.arange(n) < start + self.cutout * n)
        )
        hole = inside(y, h)[:, None] & inside(x, w)[None]
        hole &= u[2] < self.cutout_probability
        return jnp.where(hole[..., None], 0.0, image)


def _between(low, high, share):
    return low + (high - low) * share


def _blur(image, sigma):
    """Gaussian of at most `_MOST_BLUR`: three taps an axis are enough."""
    side = jnp.exp(-0.5 / jnp.maximum(sigma, 1e-3) ** 2)
    taps = jnp.stack([side, 1.0, side]) / (1 + 2 * side)
    for axis in (0, 1):
        pads = [(1, 1) if i == axis else (0, 0) for i in range(3)]
        wide = jnp.pad(image, pads, mode='edge')
        n = image.shape[axis]
        parts = [jax.lax.slice_in_dim(wide, i, i + n, axis=axis) for i in range(3)]
        image = sum(tap * part for tap, part in zip(taps, parts, strict=True))
    return image


def _tint(image, saturation, turn):
    """Saturation times a factor, and hue turned by `turn` radians, about the gray axis."""
    gray = image_ops.to_gray(image)
    chroma = image - gray[..., None]
    axis = jnp.ones(3) / jnp.sqrt(3.0)
    across = jnp.cross(jnp.broadcast_to(axis, chroma.shape), chroma)
    turned = jnp.cos(turn) * chroma + jnp.sin(turn) * across
    return gray[..., None] + saturation * turned

"""What happens to a gray picture before it is learnt from: light, noise, a new view."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from kpdiscovery.ops import coordinates, homographies, warps

_SHADES = 20  # Ellipses of a shade, drawn on a coarse grid, which blurs them.
_GRID = 16


@dataclasses.dataclass(frozen=True)
class Photometric:
    """Changes of gray levels (there of 255), as its public training code has them.

    All are made, in this order: drawing the order too would cost each of them six
    times. Largest absolute or (least, largest) values.
    """

    brightness: float = 75 / 255
    contrast: tuple[float, float] = (0.3, 1.8)
    noise: float = 15 / 255  # Standard deviation.
    speckle: float = 0.0035  # Share of white pixels, and of black ones.
    shade: tuple[float, float] = (-0.5, 0.8)
    blur: int = 7  # Length of motion blur, odd; 1: none.

    def __call__(self, key: jax.Array, gray: jax.Array) -> jax.Array:
        """One picture `[H, W]` in [0, 1]."""
        keys = jax.random.split(key, 6)
        unit = jax.random.uniform(keys[0], (4,))
        gray = gray + self.brightness * (2 * unit[0] - 1)
        mean = gray.mean()
        gray = mean + _between(unit[1], *self.contrast) * (gray - mean)
        gray = gray + self.noise * unit[2] * jax.random.normal(keys[1], gray.shape)
        gray = self._speckle(keys[2], jnp.clip(gray, 0, 1), self.speckle * unit[3])
        gray = self._shade(keys[3], gray)
        return jnp.clip(_motion_blur(keys[4], gray, self.blur), 0, 1)

    def _speckle(self, key, gray, share):
        luck = jax.random.uniform(key, gray.shape)
        return jnp.where(luck < share, 0.0, jnp.where(luck > 1 - share, 1.0, gray))

    def _shade(self, key, gray):
        u = jax.random.uniform(key, (_SHADES + 1, 5))
        x, y = jnp.meshgrid(*[(jnp.arange(_GRID) + 0.5) / _GRID] * 2)
        mask = jnp.zeros((_GRID, _GRID))
        axes = _between(u[:, 2:4], 1 / 20, 1 / 4)
        c, s = jnp.cos(jnp.pi * u[:, 4]), jnp.sin(jnp.pi * u[:, 4])
        dx = x[None] - u[:, 0, None, None]
        dy = y[None] - u[:, 1, None, None]
        along = c[:, None, None] * dx + s[:, None, None] * dy
        across = c[:, None, None] * dy - s[:, None, None] * dx
        share = (along / axes[:, 0, None, None]) ** 2 + (
            across / axes[:, 1, None, None]
        ) ** 2
        mask = jnp.clip(1.5 - share[:_SHADES], 0, 1).max(axis=0)
        mask = jax.image.resize(mask, gray.shape, 'linear')
        return gray * (1 - _between(u[_SHADES, 0], *self.shade) * mask)


@dataclasses.dataclass(frozen=True)
class Homographies:
    """Random homographies; lengths as in `homographies.random_homography`."""

    patch: float = 0.85
    perspective: float = 0.2
    scale: float = 0.2
    angle: float = 1.57
    overflow: float = 0.0
    artifacts: bool = True
    margin: int = 3  # Pixels next to a border that do not count.

    may_be_zero = ('margin',)

    def draw(self, key: jax.Array, size: tuple[int, int]) -> warps.Homography:
        """One, from output pixels to those of the picture."""
        options = dataclasses.asdict(self)
        options.pop('margin')
        return homographies.random_homography(key, size, **options)

    def covers(self, warp: warps.Homography, size: tuple[int, int]) -> jax.Array:
        """Output pixels that show the picture, its border left out: bool `[H, W]`."""
        h, w = size
        grid = coordinates.pixel_grid(h, w).reshape(h * w, 2)
        xy = warps.transform_points(warp, grid)
        last = jnp.array([[w - 1, h - 1]], xy.dtype)
        inside = (xy >= self.margin) & (xy <= last - self.margin)
        return inside.all(axis=-1).reshape(h, w)


def _between(u, low, high):
    return low + (high - low) * u


def _motion_blur(key, gray, longest):
    """Blur along one of four directions, over an odd number of pixels."""
    if longest < 3:
        return gray
    half = longest // 2
    keys = jax.random.split(key)
    reach = jax.random.randint(keys[0], (), 0, half + 1)
    way = jnp.array([[0, 1], [1, 0], [1, 1], [1, -1]])[
        jax.random.randint(keys[1], (), 0, 4)
    ]
    length = 2.0 * reach + 1
    wide = jnp.pad(gray, half, mode='edge')
    total, weights = jnp.zeros_like(gray), jnp.zeros(())
    for i in range(-half, half + 1):
        fall = jnp.exp(-(i**2) / (2 * length**2 / 16)) * (abs(i) <= reach)
        moved = jax.lax.dynamic_slice(
            wide, (half + i * way[0], half + i * way[1]), gray.shape
        )
        total, weights = total + fall * moved, weights + fall
    return total / weights

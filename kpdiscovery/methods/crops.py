"""What of a picture a classifier sees: a random part in training, the middle in tests."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from kpdiscovery.ops import images as image_ops
from kpdiscovery.ops import parallel


@dataclasses.dataclass(frozen=True)
class Crops:
    """Crops of one size; 'resize to 512, crop 448' is data.size 512 and share 0.875."""

    share: float = 0.875  # Of each side, in (0, 1].
    flip: bool = True  # Every other picture of training mirrored.

    def __post_init__(self):
        if not 0 < self.share <= 1:
            raise ValueError(f'share must be in (0, 1], got {self.share}')

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(H, W) of a crop."""
        return max(round(self.share * height), 1), max(round(self.share * width), 1)

    def draw(self, key: jax.Array, images: jax.Array, index: jax.Array) -> jax.Array:
        """Random crops of `[B, H, W, 3]`; the rows `index` `[B]` have their own keys."""
        return jax.vmap(self._one)(parallel.example_keys(key, index), images)

    def middle(self, images: jax.Array) -> tuple[jax.Array, tuple[int, int]]:
        """The middle of `[B, H, W, 3]`, and its first pixel (x, y)."""
        (h, w), (x, y) = self.size(*images.shape[1:3]), self.corner(*images.shape[1:3])
        return images[:, y : y + h, x : x + w], (x, y)

    def corner(self, height: int, width: int) -> tuple[int, int]:
        """First pixel (x, y) of the middle."""
        h, w = self.size(height, width)
        return (width - w) // 2, (height - h) // 2

    def whole(self, images: jax.Array) -> jax.Array:
        """All of `[B, H, W, 3]`, shrunk to the size of a crop."""
        return image_ops.resize(images, self.size(*images.shape[1:3]))

    def _one(self, key, image):
        keys = jax.random.split(key)
        h, w = self.size(*image.shape[:2])
        most = jnp.array([image.shape[0] - h, image.shape[1] - w])
        y, x = jax.random.randint(keys[0], (2,), 0, most + 1)
        crop = jax.lax.dynamic_slice(image, (y, x, 0), (h, w, 3))
        mirrored = self.flip & jax.random.bernoulli(keys[1])
        return jnp.where(mirrored, crop[:, ::-1], crop)

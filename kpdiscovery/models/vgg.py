"""VGG-16 without batch norm: features of a pretrained network, for losses and parts.

Source: [simonyan2015], configuration D. Pretrained
parameters come from `weights.load_vgg16`; there is no classifier head.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from kpdiscovery.types import Array

Color = tuple[float, float, float]
Blocks = tuple[tuple[int, ...], ...]  # Widths of the convolutions between poolings.
VGG16_BLOCKS: Blocks = (
    (64, 64),
    (128, 128),
    (256, 256, 256),
    (512, 512, 512),
    (512, 512, 512),
)
PERCEPTUAL_TAPS = ('relu1_2', 'relu2_2', 'relu3_3', 'relu4_3')
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def layers(blocks: Blocks = VGG16_BLOCKS) -> list[tuple[str, int | None]]:
    """Taps in order with their width: `relu<block>_<i>`, and `pool<block>` (None)."""
    out: list[tuple[str, int | None]] = []
    for b, widths in enumerate(blocks, start=1):
        out += [(f'relu{b}_{i}', width) for i, width in enumerate(widths, start=1)]
        out.append((f'pool{b}', None))
    return out


class Vgg16(nn.Module):
    """3x3 convolutions with ReLU and 2x2 max pooling, read out at `taps`.

    Nothing after the last tap is computed, nor are there parameters for it. The
    convolution before `relu3_2` is named `conv3_2`.
    """

    taps: tuple[str, ...] = PERCEPTUAL_TAPS
    blocks: Blocks = VGG16_BLOCKS
    dtype: jnp.dtype = jnp.float32  # Compute dtype; parameters stay float32.

    @property
    def strides(self) -> dict[str, int]:
        """Pixels a cell, by tap; cell c is centred on pixel (c + .5) stride - .5."""
        return {tap: stride for tap, (stride, _) in self._sizes().items()}

    @property
    def channels(self) -> dict[str, int]:
        """Channels by tap."""
        return {tap: channels for tap, (_, channels) in self._sizes().items()}

    @property
    def pyramid(self) -> tuple[str, ...]:
        """As other backbones have it: all taps."""
        return self.taps

    @nn.compact
    def __call__(
        self, images: jax.Array, *, train: bool = False
    ) -> dict[str, jax.Array]:
        """`[B, H, W, 3]` from `normalize_imagenet` -> {tap: `[B, h, w, C]`}.

        Sizes are H and W over `strides`, rounded down. `train` changes nothing (there
        are no batch statistics); it is there because other backbones have it.

        Raises:
            ValueError: an unknown tap, or images too small for the poolings asked for.
        """
        todo = self._until_last_tap()
        smallest = 2 ** sum(width is None for _, width in todo)
        if images.ndim != 4 or min(images.shape[1:3]) < smallest:
            raise ValueError(
                f'images must be [B, H, W, 3] with H, W >= {smallest} for taps '
                f'{self.taps}, got {images.shape}'
            )
        x, maps = images, {}
        for name, width in todo:
            if width is None:
                x = nn.max_pool(x, (2, 2), (2, 2), 'VALID')
            else:
                x = nn.relu(self._conv(width, name.replace('relu', 'conv'))(x))
            maps[name] = x
        return {tap: maps[tap] for tap in self.taps}

    def _conv(self, width: int, name: str) -> nn.Conv:
        # Variance kept through ReLU, so that untrained features are usable too.
        init = nn.initializers.he_normal()
        return nn.Conv(
            width, (3, 3), padding=1, dtype=self.dtype, kernel_init=init, name=name
        )

    def _sizes(self) -> dict[str, tuple[int, int]]:
        stride, channels, out = 1, 3, {}
        for name, width in self._until_last_tap():
            if width is None:
                stride *= 2
            else:
                channels = width
            out[name] = stride, channels
        return {tap: out[tap] for tap in self.taps}

    def _until_last_tap(self) -> list[tuple[str, int | None]]:
        known = layers(self.blocks)
        names = [name for name, _ in known]
        unknown = [tap for tap in self.taps if tap not in names]
        if unknown or not self.taps:
            raise ValueError(f'taps must be some of {names}, got {self.taps}')
        return known[: 1 + max(names.index(tap) for tap in self.taps)]


def normalize_imagenet(image: Array) -> jax.Array:
    """`[..., 3]` floats in [0, 1] to the scale ImageNet networks expect, float32."""
    return normalize(image, IMAGENET_MEAN, IMAGENET_STD)


def normalize(image: Array, mean: Color, std: Color) -> jax.Array:
    """`[..., 3]` floats in [0, 1] less `mean`, over `std`: float32."""
    image = jnp.asarray(image)
    if image.shape[-1:] != (3,) or not jnp.issubdtype(image.dtype, jnp.floating):
        raise ValueError(
            f'image must be [..., 3] floats in [0, 1], got {image.dtype} {image.shape}'
        )
    shape = (1,) * (image.ndim - 1) + (3,)
    shift, scale = (jnp.array(v, jnp.float32).reshape(shape) for v in (mean, std))
    return (image.astype(jnp.float32) - shift) / scale

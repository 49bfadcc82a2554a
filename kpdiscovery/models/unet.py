"""A U-Net, as TUSK has it: same-size maps from images or from splatted descriptors."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery.models.conv import Conv, check_divisible


class DoubleConv(nn.Module):
    """(3x3 convolution, group norm, ReLU) twice, of arrays side by side."""

    features: int
    groups: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, *parts: jax.Array) -> jax.Array:
        for i in range(2):
            x = Conv(self.features, dtype=self.dtype, name=f'conv{i}')(*parts)
            x = nn.GroupNorm(
                self.groups, epsilon=1e-5, dtype=self.dtype, name=f'norm{i}'
            )(x)
            parts = (nn.relu(x),)
        return parts[0]


class UNet(nn.Module):
    """`[B, H, W, C]` to `[B, H, W, out]` ([jin2022], appendix A.1, table 9).

    Attributes:
        out: channels of the last 1x1 convolution, which has no activation.
        width: channels of the first level, doubled at each further one.
        levels: resolutions; H and W must be divisible by 2**(levels - 1).
        groups: of every group norm.
        dtype: of the computation; parameters and statistics stay float32.
        remat: what is inside a block is computed again for the gradient, not stored.
    """

    out: int
    width: int = 32
    levels: int = 4
    groups: int = 32
    dtype: jnp.dtype = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        check_divisible(x.shape, 2 ** (self.levels - 1), f'{self.levels} levels')
        kind = nn.remat(DoubleConv) if self.remat else DoubleConv
        block = lambda level, name: kind(
            self.width * 2**level, self.groups, self.dtype, name=name
        )
        skips = []
        for level in range(self.levels):
            x = nn.max_pool(x, (2, 2), (2, 2)) if level else x
            x = block(level, f'down{level + 1}')(x)
            skips.append(x)
        for level in reversed(range(self.levels - 1)):
            x = block(level, f'up{level + 1}')(upsample(x), skips[level])
        return Conv(self.out, 1, dtype=self.dtype, name='last')(x)


def upsample(x: jax.Array) -> jax.Array:
    """Twice the size, bilinear with corners aligned, as two small matrix products."""
    rows, columns = (jnp.asarray(_interpolation(n), x.dtype) for n in x.shape[1:3])
    tall = jnp.einsum('oh,bhwc->bowc', rows, x)
    return jnp.einsum('ow,bhwc->bhoc', columns, tall)


def _interpolation(n: int) -> np.ndarray:
    """`[2n, n]` weights: output i reads input i (n - 1) / (2n - 1)."""
    at = np.arange(2 * n) * (n - 1) / (2 * n - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(n)[None]))

"""The hourglass of the face alignment network (FAN), with group norm and two heads.

Source: [bulat2017], as used by [mallis-thesis] (section 4.2.3 and the released networks of
[mallis2020] and [mallis2023]). Maps come at a quarter of the picture's size.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from kpdiscovery.models.conv import Conv, check_divisible
from kpdiscovery.ops import precision


class Pre(nn.Module):
    """Group norm, ReLU, then a convolution."""

    features: int
    size: int
    groups: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = _norm(self.groups, self.dtype)(x)
        return Conv(
            self.features, self.size, bias=False, dtype=self.dtype, name='conv'
        )(nn.relu(x))


class ConvBlock(nn.Module):
    """Three 3x3 convolutions in a row, all three results side by side, plus a skip."""

    features: int
    groups: int = 32
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shares = {'a': 2, 'b': 4, 'c': 4}
        parts, out = [], x
        for name, share in shares.items():
            width = self.features // share
            out = Pre(width, 3, self.groups, self.dtype, name=name)(out)
            parts.append(out)
        if x.shape[-1] != self.features:
            x = Pre(self.features, 1, self.groups, self.dtype, name='skip')(x)
        return jnp.concatenate(parts, axis=-1) + x


class Hourglass(nn.Module):
    """Down `depth` times and up again, a block a level on either way and across."""

    depth: int = 4
    features: int = 256
    groups: int = 32
    dtype: jnp.dtype = jnp.float32
    remat: bool = False  # Of blocks, as `Trunk`.

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        block = _blocks(self)
        upper = block('across')(x)
        lower = block('down')(nn.avg_pool(x, (2, 2), (2, 2)))
        if self.depth > 1:
            sizes = self.features, self.groups, self.dtype, self.remat
            lower = Hourglass(self.depth - 1, *sizes, name='inner')(lower)
        else:
            lower = block('bottom')(lower)
        return upper + _twice(block('up')(lower))


class Trunk(nn.Module):
    """`[B, H, W, 3]` pictures to `[B, H/4, W/4, features]` maps.

    H and W must be divisible by 4 * 2**depth. With `remat` what is inside a block is
    computed again for the gradient, not stored.
    """

    features: int = 256
    depth: int = 4
    groups: int = 32
    dtype: jnp.dtype = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        reason = f'hourglass of depth {self.depth}'
        check_divisible(x.shape, 4 * 2**self.depth, reason)
        narrow, middle = self.features // 4, self.features // 2
        block = _blocks(self)
        x = Conv(narrow, 7, stride=2, dtype=self.dtype, name='stem')(x)
        x = nn.relu(_norm(self.groups, self.dtype)(x))
        x = block('block1', middle)(x)
        x = nn.avg_pool(x, (2, 2), (2, 2))
        x = block('block2', middle)(x)
        x = block('block3')(x)
        sizes = self.depth, self.features, self.groups, self.dtype, self.remat
        return Hourglass(*sizes, name='hourglass')(x)


class Head(nn.Module):
    """Maps of the trunk to `out` channels, float32 and without activation."""

    out: int
    features: int = 256
    groups: int = 32
    dtype: jnp.dtype = jnp.float32
    remat: bool = False  # Of the block, as `Trunk`.

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = _blocks(self)('block')(x)
        x = Conv(self.features, 1, dtype=self.dtype, name='conv')(x)
        x = nn.relu(_norm(self.groups, self.dtype)(x))
        return precision.full(Conv(self.out, 1, dtype=self.dtype, name='last')(x))


def _blocks(parent):
    """Function from a name, and a width if not the parent's, to a block in it."""
    kind = nn.remat(ConvBlock) if parent.remat else ConvBlock
    return lambda name, width=parent.features: kind(
        width, parent.groups, parent.dtype, name=name
    )


def _norm(groups, dtype):
    return nn.GroupNorm(groups, epsilon=1e-5, dtype=dtype, name='norm')


def _twice(x):
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)

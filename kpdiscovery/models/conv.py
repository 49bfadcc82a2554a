"""Convolutions as PyTorch initialises them, and the sizes that halve evenly."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery.ops.pointwise import pointwise


class Conv(nn.Module):
    """Convolution, same size for stride 1; weights and bias in +-1 / sqrt(fan in).

    Of several arrays it is that of all their channels side by side, as a sum, so that they
    are never copied into one.
    """

    features: int
    size: int = 3
    stride: int = 1
    bias: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, *parts: jax.Array) -> jax.Array:
        own = _Parameters(self.features, self.size, self.bias, name='conv')
        kernel, bias = own(sum(part.shape[-1] for part in parts))
        ends = np.cumsum([part.shape[-1] for part in parts])[:-1].tolist()
        kernels = jnp.split(kernel, ends, axis=2)
        each = map(self._convolve, parts, kernels)
        total = functools.reduce(jnp.add, each)
        if bias is None:
            return total
        return total + bias.astype(self.dtype).reshape((1, 1, 1, -1))

    def _convolve(self, x, kernel):
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        if self.size == 1:
            return pointwise(x, kernel, self.stride)
        around = (self.size // 2, self.size // 2)  # 'SAME' would shift with strides.
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (self.stride, self.stride),
            [around, around],
            dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        )


class _Parameters(nn.Module):
    """Those of a convolution, named and drawn as Linen's own."""

    features: int
    size: int
    bias: bool

    @nn.compact
    def __call__(self, channels: int) -> tuple[jax.Array, jax.Array | None]:
        bound = 1 / np.sqrt(self.size**2 * channels)
        # Drawn flat: XLA:CPU takes ten times longer to compile a draw of four axes.
        uniform = lambda key, shape: jax.random.uniform(
            key, (math.prod(shape),), jnp.float32, -bound, bound
        ).reshape(shape)
        shape = (self.size, self.size, channels, self.features)
        kernel = self.param('kernel', uniform, shape)
        bias = self.param('bias', uniform, (self.features,)) if self.bias else None
        return kernel, bias


def normal(key, shape, dtype, deviation: float) -> jax.Array:
    """A kernel of normal deviates; drawn flat, for the reason above."""
    return deviation * jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)


def linen(size: int) -> Callable | None:
    """What Linen's `Conv` of that size is to call, unpadded where it is 1."""
    return _pointwise if size == 1 else None


def _pointwise(x, kernel, strides, padding, **_):
    del padding  # There is none.
    return pointwise(x, kernel, strides[0])


def check_divisible(shape: tuple[int, ...], step: int, reason: str) -> None:
    """Raise ValueError unless H and W of `[B, H, W, C]` are multiples of `step`."""
    if shape[1] % step or shape[2] % step:
        raise ValueError(
            f'height and width must be divisible by {step} ({reason}), got {shape[1:3]}'
        )

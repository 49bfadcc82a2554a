"""Convolutions as PyTorch initialises them, and the sizes that halve evenly."""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


class Conv(nn.Module):
    """Convolution, same size for stride 1; weights and bias in +-1 / sqrt(fan in)."""

    features: int
    size: int = 3
    stride: int = 1
    bias: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        bound = 1 / np.sqrt(self.size**2 * x.shape[-1])
        # Drawn flat: XLA:CPU takes ten times longer to compile a draw of four axes.
        uniform = lambda key, shape, dtype: jax.random.uniform(
            key, (math.prod(shape),), dtype, -bound, bound
        ).reshape(shape)
        around = (self.size // 2, self.size // 2)  # 'SAME' would shift with strides.
        conv = nn.Conv(
            self.features,
            (self.size, self.size),
            strides=self.stride,
            padding=[around, around],
            use_bias=self.bias,
            dtype=self.dtype,
            kernel_init=uniform,
            bias_init=uniform,
            name='conv',
        )
        return conv(x)


def normal(key, shape, dtype, deviation: float) -> jax.Array:
    """A kernel of normal deviates; drawn flat, for the reason above."""
    return deviation * jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)


def check_divisible(shape: tuple[int, ...], step: int, reason: str) -> None:
    """Raise ValueError unless H and W of `[B, H, W, C]` are multiples of `step`."""
    if shape[1] % step or shape[2] % step:
        raise ValueError(
            f'height and width must be divisible by {step} ({reason}), got {shape[1:3]}'
        )

"""Batch norm by the statistics of all devices' rows or of each device's own."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from kpdiscovery.ops import parallel, precision

STATISTICS = ('all', 'chip')


def batch_norm(
    statistics: str,
    *,
    train: bool,
    name: str,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    axis_name: str | None = None,
    dtype: Any = jnp.float32,
) -> nn.Module:
    """A norm whose variables are those of `nn.BatchNorm`, whichever it is.

    Args:
        statistics: 'all', of the whole batch, or 'chip', `ChipNorm`.
        train: normalise by the batch's statistics and renew the running ones.
        axis_name: for `pmap`, of 'all': the axis that shares statistics.

    Raises:
        ValueError: other statistics.
    """
    options: dict[str, Any] = {
        'use_running_average': not train,
        'momentum': momentum,
        'epsilon': epsilon,
        'dtype': dtype,
        'name': name,
    }
    if statistics == 'all':
        return nn.BatchNorm(axis_name=axis_name, **options)
    if statistics == 'chip':
        return ChipNorm(**options)
    raise ValueError(f'statistics must be one of {STATISTICS}, got {statistics!r}')


class ChipNorm(nn.Module):
    """Batch norm in which every device normalises by its own rows' statistics.

    Under `jit` with the batch split over the devices nothing but the running statistics,
    which follow the mean over devices, and gradients then travel between them. Without a
    mesh there is one device, and it is `nn.BatchNorm`. Results depend on the number of
    devices.
    """

    use_running_average: bool
    momentum: float
    epsilon: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[B, ..., C]` in `dtype`; sums in float32."""
        c = x.shape[-1]
        mean = self.variable('batch_stats', 'mean', jnp.zeros, (c,))
        var = self.variable('batch_stats', 'var', jnp.ones, (c,))
        scale = self.param('scale', nn.initializers.ones, (c,))
        bias = self.param('bias', nn.initializers.zeros, (c,))
        parts = parallel.split_rows(precision.full(x))
        if self.use_running_average:
            centre, spread = mean.value[None], var.value[None]
        else:
            centre, spread = _moments(parts)
            if not self.is_initializing():
                mean.value = self._follow(mean.value, centre)
                var.value = self._follow(var.value, spread)
        wide = lambda v: v.reshape(len(v), *[1] * (parts.ndim - 2), c)
        factor = jax.lax.rsqrt(spread + self.epsilon) * scale[None]
        out = (parts - wide(centre)) * wide(factor) + wide(bias[None])
        return out.reshape(x.shape).astype(self.dtype)

    def _follow(self, old, each):
        return self.momentum * old + (1 - self.momentum) * each.mean(axis=0)


def _moments(parts):
    """Means and biased variances `[devices, C]`; as Flax has them, by squares."""
    inner = tuple(range(1, parts.ndim - 1))
    mean, square = parts.mean(inner), (parts**2).mean(inner)
    return mean, jnp.maximum(square - mean**2, 0)

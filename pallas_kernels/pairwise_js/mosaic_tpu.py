"""The kernel: eight hosts against guests in lanes, a cell a step.

Channels lie in sublanes, so that their sum is one of registers; a host's is one number a
sublane, the same for all guests. The sums of a pair never leave the chip.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from pallas_kernels import calls

_HOSTS, _GUESTS, _SUBLANES = 8, 256, 8


def pairwise_js(
    p: jax.Array,
    q: jax.Array,
    own_p: jax.Array,
    own_q: jax.Array,
    *,
    interpret: Any = False,
) -> jax.Array:
    """As `reference.pairwise_js`."""
    (a, cells, channels), b = p.shape, len(q)
    # Channels that are added have s = 1, and 1 log 1 is 0.
    missing = ((0, 0), (0, 0), (0, -channels % _SUBLANES))
    p, q = (jnp.pad(x, missing, constant_values=0.5) for x in (p, q))
    channels, guests = p.shape[2], min(_GUESTS, b)
    return pl.pallas_call(
        _kernel,
        out_shape=calls.shape_like(p, (a, b), jnp.float32),
        grid=(pl.cdiv(a, _HOSTS), pl.cdiv(b, guests), cells),
        in_specs=[
            pl.BlockSpec((1, _HOSTS, channels), lambda i, j, c: (c, i, 0)),
            pl.BlockSpec((1, channels, guests), lambda i, j, c: (c, 0, j)),
            pl.BlockSpec((1, _HOSTS, 1), lambda i, j, c: (c, i, 0)),
            pl.BlockSpec((1, 1, guests), lambda i, j, c: (c, 0, j)),
        ],
        out_specs=pl.BlockSpec((_HOSTS, guests), lambda i, j, c: (i, j)),
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=('parallel', 'parallel', 'arbitrary')
        ),
        interpret=interpret,
    )(
        p.transpose(1, 0, 2),
        q.transpose(1, 2, 0),
        own_p.T[:, :, None],
        own_q.T[:, None],
    )  # fmt: skip


def _kernel(p_ref, q_ref, own_p_ref, own_q_ref, out_ref):
    @pl.when(pl.program_id(2) == 0)
    def _():
        out_ref[...] = jnp.zeros(out_ref.shape)

    hosts = p_ref[0].T  # [C, hosts]
    for host in range(_HOSTS):
        row = slice(host, host + 1)
        mixed = _sum_s_log_s(hosts[:, row], q_ref)
        term = (own_p_ref[0, row] + own_q_ref[0] - mixed) / 2
        out_ref[row] += jnp.where(term > 0, term, 0.0)


def _sum_s_log_s(p, q_ref):
    """Over the channels of `[C, 1]` and `[1, C, guests]`: `[1, guests]`."""
    total = jnp.zeros((_SUBLANES, q_ref.shape[2]))
    for first in range(0, len(p), _SUBLANES):
        some = slice(first, first + _SUBLANES)
        s = p[some] + q_ref[0, some]
        total += s * jnp.log2(s)
    return total.sum(axis=0, keepdims=True) * math.log(2)

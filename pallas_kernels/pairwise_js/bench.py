"""Time each picture's nearest by Jensen-Shannon divergence among all pictures' maps.

A pair of pictures counts once. `impl` 'rows' is plain jnp, one picture against all at a
time, as is the peer: both see each pair twice. A logarithm counts as one flop, of four a
pair, cell and channel, so that no implementation comes near the roofline.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery.bench import comparison
from kpdiscovery.ops.divergences import most_similar
from pallas_kernels.pairwise_js import shapes

_NEIGHBOURS = 15
_FEW = 2000  # Pictures that are run; one against 20,000 by rows would take 17 GB.
_SHARPNESS = 3.0  # Of the maps: standard deviation of their logits.


def options(parser) -> None:
    """The peer."""
    comparison.options(parser, ('torch',))


def cases(args) -> Iterator[comparison.Case]:
    """The searches; the large one is only compiled."""
    for name, shape in shapes.SEARCHES.items():
        if args.topology or shape[0] <= _FEW:
            yield case(name, shape, compiled=bool(args.topology))


def case(name: str, shape: tuple[int, int, int], *, compiled: bool) -> comparison.Case:
    """A search among `[N, P, C]` maps, drawn unless they are only compiled."""
    n, cells, channels = shape
    maps = jax.ShapeDtypeStruct(shape, jnp.float32) if compiled else _maps(shape)
    pairs = n * (n - 1) // 2
    ours = {'auto': lambda maps: most_similar(maps, _NEIGHBOURS).distances}
    if n <= _FEW:
        ours['rows'] = _rows
    return comparison.Case(
        f'{name}_n{n}_p{cells}_c{channels}',
        (maps,),
        ours,
        'pairs',
        pairs,
        bytes=4 * n * (cells * channels + 2 * _NEIGHBOURS),
        flops=4 * pairs * cells * channels,
        peers={'torch': functools.partial(_torch, maps)},
        compare=_apart,
    )


def _maps(shape):
    return jax.nn.softmax(_SHARPNESS * jax.random.normal(jax.random.key(0), shape))


def _rows(maps):
    """`[N, k]` distances; a pair's own sums are those of its pictures, taken once."""
    own = jnp.sum(maps * jnp.log(2 * maps), axis=-1)

    def row(i):
        s = maps + maps[i][None]
        apart = (own + own[i][None] - jnp.sum(s * jnp.log(s), axis=-1)) / 2
        apart = jnp.maximum(apart, 0).mean(axis=-1).at[i].set(jnp.inf)
        return -jax.lax.top_k(-apart, _NEIGHBOURS)[0]

    return jax.lax.map(row, jnp.arange(len(maps)))


def _torch(maps):
    """On the device that jax has."""
    torch = comparison.installed('torch')
    x = torch.from_dlpack(maps)

    def run():
        own = (x * (2 * x).log()).sum(-1)
        near = []
        for i in range(len(x)):
            s = x + x[i]
            apart = (own + own[i] - (s * s.log()).sum(-1)).clamp(min=0).mean(-1) / 2
            apart[i] = torch.inf
            near.append(apart.topk(_NEIGHBOURS, largest=False).values)
        return torch.stack(near).cpu()  # Waits for a GPU.

    return run


def _apart(ours, theirs):
    return {
        'largest_difference': float(np.abs(np.asarray(ours) - theirs.numpy()).max())
    }

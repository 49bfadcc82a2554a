"""Time leaky maximum pooling with its gradient, and that of plain jnp."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from kpdiscovery.bench import comparison
from pallas_kernels.leaky_max_pool import api, shapes

_EPSILON = 0.1


def options(parser) -> None:
    """The peer and the type of the maps."""
    comparison.options(parser, ('torch',))
    parser.add_argument('--dtype', choices=['float32', 'bfloat16'], default='float32')


def cases(args) -> Iterator[comparison.Case]:
    """Maps of the methods: pooled values and the gradient of their squares."""
    for name, shape in shapes.METHODS.items():
        cells = jax.random.normal(jax.random.key(0), shape, args.dtype)
        pool = functools.partial(
            api.leaky_max_pool, of_largest=1 + _EPSILON, of_sum=-_EPSILON
        )
        yield comparison.Case(
            name,
            (cells,),
            {'auto': _with_gradient(pool),
             'reference': _with_gradient(functools.partial(pool, implementation='reference')),
             'plain': _with_gradient(_plain)},
            'images',
            shape[0],
            bytes=2 * cells.nbytes,
            peers={'torch': functools.partial(_torch, cells)},
        )  # fmt: skip


def _with_gradient(pool):
    return jax.value_and_grad(lambda cells: jnp.sum(pool(cells) ** 2))


def _plain(cells):
    cells = cells.astype(jnp.float32)
    return (1 + _EPSILON) * cells.max(axis=(1, 2)) - _EPSILON * cells.sum(axis=(1, 2))


def _torch(cells):
    torch = comparison.installed('torch')
    given = torch.tensor(
        cells.astype(jnp.float32).tolist(), device=comparison.torch_device()
    )
    given = given.bfloat16() if cells.dtype == jnp.bfloat16 else given
    given.requires_grad_()

    def run():
        given.grad = None
        largest, total = given.amax(dim=(1, 2)).float(), given.float().sum(dim=(1, 2))
        ((1 + _EPSILON) * largest - _EPSILON * total).square().sum().backward()
        return given.grad.sum().item()  # Waits for a GPU.

    return run

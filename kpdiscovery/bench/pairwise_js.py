"""Time each picture's nearest by Jensen-Shannon divergence among N pictures' maps.

A pair of pictures counts once, so N (N - 1) / 2 of them. The work is x log x, once a
pair, cell and channel: `peak_share` is our rate over `peak_per_s`, that of x log x on
arrays that stay in cache on the same device, measured in the same run. It is the better of
two forms: values replaced one by one, and rows summed of all sums of two small arrays
(XLA for CPUs unrolls the second better).

The peer, unless `--alone`, is the same search by plain jnp, a picture against all at a
time, which sees each pair twice and takes three logarithms for one.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery.bench import points, timing
from kpdiscovery.ops.divergences import most_similar

_SHARPNESS = 3.0  # Of the maps: standard deviation of their logits.
_ROUNDS = 50  # Over the arrays in cache, a timing.


def options(parser) -> None:
    """Adds the sizes, the number of neighbours, the block and the clock."""
    text = '64,256'
    parser.add_argument(
        '--pictures', type=points.sizes, default=text, help=f'N, default {text}'
    )
    parser.add_argument(
        '--cells', type=points.sizes, default='196', help='P, default 196'
    )
    parser.add_argument(
        '--channels', type=points.sizes, default='513', help='C, default 513'
    )
    parser.add_argument('--neighbours', type=int, default=15, help='default 15')
    parser.add_argument('--block', type=int, default=64, help='default 64')
    parser.add_argument('--seed', type=int, default=0, help='of the maps, default 0')
    parser.add_argument('--alone', action='store_true', help='do not time the peer')
    parser.add_argument(
        '--clock', choices=timing.CLOCKS, default='wall', help='cpu: of all threads'
    )


def rows(args) -> Iterator[dict[str, Any]]:
    """A row for every N, P and C: time, rate, share of the peak and, timed, the peer."""
    peak = _peak(args)
    for n, cells, channels in itertools.product(
        args.pictures, args.cells, args.channels
    ):
        yield {
            'name': 'pairwise_js',
            'case': f'n{n}_p{cells}_c{channels}',
            'impl': 'auto',
            **_figures(args, _maps(args.seed, n, cells, channels), peak),
        }


def _maps(seed, n, cells, channels):
    logits = jax.random.normal(jax.random.key(seed), (n, cells, channels))
    return jax.nn.softmax(_SHARPNESS * logits)


def _figures(args, maps, peak):
    n, cells, channels = maps.shape
    ours = jax.jit(functools.partial(most_similar, k=args.neighbours, block=args.block))
    plain = jax.jit(functools.partial(_row_by_row, k=args.neighbours))
    functions: dict[str, Callable[[], Any]] = {'ours': functools.partial(ours, maps)}
    if not args.alone:
        functions['peer'] = functools.partial(plain, maps)
    median = timing.median_ms(functions, args.repeats, args.clock)
    pairs_per_s = 1e3 * n * (n - 1) / 2 / median['ours']
    row = {
        'device': timing.device(),
        'clock': args.clock,
        'median_ms': round(median['ours'], 4),
        'pairs_per_s': round(pairs_per_s, 1),
        'peak_per_s': round(peak),
        'peak_share': round(pairs_per_s * cells * channels / peak, 4),
    }
    if args.alone:
        return row
    theirs, found = plain(maps), ours(maps).distances
    return row | {
        'peer': 'rows',
        'peer_version': jax.__version__,
        'peer_median_ms': round(median['peer'], 4),
        'ratio': round(median['peer'] / median['ours'], 3),
        'largest_difference': float(np.abs(np.asarray(found) - theirs).max()),
    }


def _row_by_row(maps, *, k):
    """`[N, k]` distances, one picture against all at a time."""

    def entropy(p):
        return -jnp.sum(jnp.where(p > 0, p * jnp.log(p), 0.0), axis=-1)

    def row(i):
        one = jnp.broadcast_to(maps[i], maps.shape)
        apart = entropy((one + maps) / 2) - (entropy(one) + entropy(maps)) / 2
        apart = apart.mean(axis=-1).at[i].set(jnp.inf)
        near = -jax.lax.top_k(-apart, min(k, len(maps)))[0]
        return jnp.pad(near, (0, k - near.size), constant_values=jnp.inf)

    return jax.lax.map(row, jnp.arange(len(maps)))


def _peak(args):
    """x log x a second on this device, of values that stay in cache."""
    small = jax.default_backend() == 'cpu'  # Fill caches of 48 KB and of megabytes.
    values = jnp.linspace(0.1, 1.9, 2**12 if small else 2**22)
    table = values.reshape(-1, 512)[: 8 if small else 256]
    forms = {'one by one': (_replaced, values), 'summed': (_summed, table)}
    terms = {'one by one': values.size, 'summed': table.size * len(table)}
    rounds = {name: _ROUNDS * max(1, 2**19 // many) for name, many in terms.items()}
    functions: dict[str, Callable[[], Any]] = {
        name: functools.partial(jax.jit(form, static_argnums=1), x, rounds[name])
        for name, (form, x) in forms.items()
    }
    median = timing.median_ms(functions, max(args.repeats, 5), args.clock)
    return max(1e3 * terms[name] * rounds[name] / median[name] for name in forms)


def _replaced(values, rounds):
    # x log x + 1 of values in (0, 2) stays there, so that no round repeats another.
    return jax.lax.fori_loop(0, rounds, lambda _, x: x * jnp.log(x) / 2 + 1, values)


def _summed(table, rounds):
    def once(i, total):
        both = table[:, None] + (table + 1e-3 * i)[None]
        return total + jnp.sum(both * jnp.log(both), axis=-1)

    return jax.lax.fori_loop(0, rounds, once, jnp.zeros((len(table), len(table))))

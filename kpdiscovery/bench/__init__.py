"""`kpd bench NAME`: medians of what the library is fast at, one JSON line a case.

Cases of one comparison are timed in turn in one run, so that ratios survive a noisy
machine. A benchmark is a module with `options(parser)`, which adds its own options, and
`cases(args)`, which yields what `comparison` times.
`kpd bench all` runs every one with its own settings, against the peers that are installed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from kpdiscovery import cli
from kpdiscovery.bench import (
    comparison,
    contrastive,
    kmeans,
    neighbours,
    sliced_wasserstein,
    steps,
    warp,
)
from kpdiscovery.compiled import tpu
from kpdiscovery.types import UserError
from pallas_kernels.kmeans_step import bench as kmeans_step
from pallas_kernels.leaky_max_pool import bench as leaky_max_pool
from pallas_kernels.pairwise_js import bench as pairwise_js

BENCHMARKS: dict[str, Any] = {
    'contrastive': contrastive,
    'kmeans': kmeans,
    'kmeans_step': kmeans_step,
    'leaky_max_pool': leaky_max_pool,
    'neighbours': neighbours,
    'pairwise_js': pairwise_js,
    'sliced_wasserstein': sliced_wasserstein,
    'steps': steps,
    'warp': warp,
}


def main(argv: Sequence[str]) -> int:
    """Prints the cases of the benchmark that `argv` names; 0."""
    args, overrides = _parser().parse(argv)
    if overrides:
        raise UserError('kpd bench times fixed cases: it takes no --config.KEY')
    _check(args)
    for row in _rows(args):
        print(json.dumps(row) if args.json else _line(row), flush=True)
    return 0


def _rows(args) -> Iterator[dict[str, Any]]:
    if args.name == 'all':
        for name in BENCHMARKS:
            own = _parser().parse([name, f'--repeats={args.repeats}'])[0]
            own.against = 'installed'
            yield from _rows(own)
        return
    if args.topology:
        tpu.prepare()
    for case in BENCHMARKS[args.name].cases(args):
        yield from comparison.rows(args, args.name, case)


def _check(args) -> None:
    """Sizes and numbers of anything are at least 1, seeds 0."""
    for name, value in vars(args).items():
        least = 0 if name == 'seed' else 1
        for number in value if isinstance(value, list) else [value]:
            if type(number) is int and number < least:
                raise UserError(f'--{name} must be at least {least}, got {number}')


def _parser():
    about = (__doc__ or '').split('\n\n')[0]
    parser = cli.Parser('kpd bench', settings=False, description=about)
    names = parser.add_subparsers(dest='name', required=True, metavar='NAME')
    for name, module in BENCHMARKS.items():
        about = (module.__doc__ or '').splitlines()[0]
        module.options(_named(names, name, about))
    _named(names, 'all', 'All of them, against the peers that are installed.')
    return parser


def _named(names, name, about):
    own = names.add_parser(name, settings=False, help=about, description=about)
    own.add_argument('--json', action='store_true', help='JSON lines')
    own.add_argument('--repeats', type=int, default=5, help='timings per median')
    return own


def _line(row):
    name = ' '.join(str(row[key]) for key in ('name', 'case', 'impl'))
    if 'estimated_ms' in row:
        times = f'{row["estimated_ms"]:>10.3f} + {row["static_ms"]:.3f} ms'
        return f'{name:36}{times}{row["temporary_mb"]:>10.1f} MB {row["unpriced"]}'
    unit = next(key for key in row if key.endswith('_per_s'))
    line = f'{name:36}{row["median_ms"]:>10.1f} ms{row[unit]:>12.1f} {unit[:-6]}/s'
    if 'peer' not in row:
        return line
    return f'{line}{row["ratio"]:>8.2f} x {row["peer"]} {row["peer_version"]}'

"""`kpd bench NAME`: medians of what the library is fast at, one JSON line a case.

Cases of one comparison are timed in turn in one run, so that ratios survive a noisy
machine. A benchmark is a module with `options(parser)`, which adds its own options, and
`rows(args)`, which checks them and yields one dict a case.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from kpdiscovery import cli
from kpdiscovery.bench import kmeans, neighbours, pairwise_js, tusk_step
from kpdiscovery.types import UserError

BENCHMARKS: dict[str, Any] = {
    'kmeans': kmeans,
    'neighbours': neighbours,
    'pairwise_js': pairwise_js,
    'tusk_step': tusk_step,
}


def main(argv: Sequence[str]) -> int:
    """Prints the cases of the benchmark that `argv` names; 0."""
    args, overrides = _parser().parse(argv)
    if overrides:
        raise UserError('kpd bench times fixed cases: it takes no --config.KEY')
    _check(args)
    for row in BENCHMARKS[args.name].rows(args):
        print(json.dumps(row) if args.json else _line(row), flush=True)
    return 0


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
        own = names.add_parser(name, settings=False, help=about, description=about)
        own.add_argument('--json', action='store_true', help='JSON lines')
        own.add_argument('--repeats', type=int, default=5, help='timings per median')
        module.options(own)
    return parser


def _line(row):
    name = ' '.join(str(row[key]) for key in ('name', 'case', 'impl'))
    unit = next(key for key in row if key.endswith('_per_s'))
    line = f'{name:36}{row["median_ms"]:>10.1f} ms{row[unit]:>12.1f} {unit[:-6]}/s'
    if 'peer' not in row:
        return line
    return f'{line}{row["ratio"]:>8.2f} x {row["peer"]} {row["peer_version"]}'

"""`kpd compile`: whether training fits TPUs that are not here, and what it costs there."""

from __future__ import annotations

import fnmatch
import json
import sys
from collections.abc import Iterator, Sequence

import jax

from kpdiscovery import cli, config, data, methods, starts
from kpdiscovery.compiled import costs, phases, pictures, printing, tpu
from kpdiscovery.training import loop, sharding
from kpdiscovery.types import UserError


def main(argv: Sequence[str]) -> int:
    parser = cli.Parser('kpd compile', description=__doc__)
    parser.add_argument(
        '--config', required=True, help='METHOD/DATA[:VARIANT] or FILE.py'
    )
    parser.add_argument(
        '--topology', required=True, action='append', metavar='KIND:CHIPS',
        help='v5e:4x4, v5p:2x2x1 or v6e:2x4, say; several: with commas',
    )  # fmt: skip
    parser.add_argument('--data', help="the config's files, or your own pictures")
    parser.add_argument('--rows', type=int, default=0, help='pictures to train on')
    parser.add_argument(
        '--only', default='*', metavar='PHASE/PART,...',
        help="programs such as 'train/step' or '*/step'; parts are init, step and, of a "
        'sweep, labels, visit, reduce',
    )  # fmt: skip
    parser.add_argument(
        '--largest_batch', action='store_true',
        help='of every step, by compiling it at a second size too',
    )  # fmt: skip
    parser.add_argument('--json', action='store_true', help='a line a program')
    args, overrides = parser.parse(argv)
    if args.rows < 0:
        raise UserError(f'--rows={args.rows} must not be negative')
    # Arrays stay here even if there is a TPU, and times are those of compiling.
    jax.config.update('jax_platforms', 'cpu')
    jax.config.update('jax_enable_compilation_cache', False)
    settings = config.load(starts.chosen(args.config, overrides).name, overrides)
    if args.data:
        data.point_to(settings.data, args.data)
    seen = pictures.look(settings, rows=args.rows)
    for topology in _topologies(args.topology):
        _report(args, settings, seen, topology, overrides)
    return 0


def _topologies(given: Sequence[str]) -> list[str]:
    named = [name for each in given for name in each.split(',') if name]
    if not named:
        raise UserError('--topology names no chips: --topology=v5e:4x4')
    return named


def _report(args, settings, seen: pictures.Pictures, topology: str, overrides) -> None:
    chips = tpu.chips(topology)
    run = {
        'config': settings.run.config, 'topology': topology, 'chips': chips.size,
        'batch_size': settings.data.batch_size, 'rows': seen.rows, 'settings': overrides,
    }  # fmt: skip
    if not args.json:
        print(_head(run), *(f'assumed: {line}' for line in seen.assumed), sep='\n')
    rows = []
    asked = args.only.split(',')
    for row in _rows(settings, seen, topology, asked, settings.data.batch_size):
        if args.largest_batch and row['part'] == 'step':
            row['largest_batch'] = _largest(settings, seen, topology, row)
        rows.append(row)
        if args.json:
            print(json.dumps(run | {'assumed': seen.assumed} | row), flush=True)
        else:
            print(*printing.lines(row), sep='\n', flush=True)
    if not rows:
        raise UserError(f'--only={args.only} is no part of {settings.run.config}')
    if not args.json:
        print(printing.verdict(rows), end='\n\n', flush=True)


def _head(run) -> str:
    return (
        f'{run["config"]} on {run["topology"]}: {run["chips"]} chips, batches of '
        f'{run["batch_size"]}, {run["rows"]:,} pictures'
    )


def _rows(
    settings, seen, topology, only: Sequence[str], batch_size: int
) -> Iterator[costs.Row]:
    """A row for each program that is asked for."""
    mesh = sharding.mesh_of(list(tpu.chips(topology)))
    method = methods.build(settings.method)
    found = phases.programs_of(
        loop.phases_of(method, settings.to_dict()), mesh, seen.fields,
        batch_size=batch_size, rows=seen.rows, seed=settings.seed,
    )  # fmt: skip
    for program in found:
        if _asked(program, only):
            yield costs.compile_program(program, topology)


def _asked(program: phases.Program, only: Sequence[str]) -> bool:
    name = f'{program.phase}/{program.part}'
    return any(fnmatch.fnmatch(name, p) or p == program.phase for p in only)


def _largest(settings, seen, topology, row) -> int:
    """The largest global batch of a step, from its row and a batch of half the size,
    of twice the size where half does not divide."""
    size, chips = settings.data.batch_size, tpu.chips(topology).size
    other = 2 * size if size % (2 * chips) else size // 2
    only = [f'{row["phase"]}/step']
    (second,) = _rows(settings, seen, topology, only, other)
    return costs.largest_batch(row, second, (size, other), chips)


if __name__ == '__main__':
    sys.exit(cli.run(main))

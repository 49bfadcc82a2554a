"""`kpd compare`: figures of several runs side by side, those of one protocol in one table.

A run's figures are in its metrics.json, which `kpd evaluate` writes. Runs that were measured
on other pictures, or otherwise, get a table of their own, which says what differs. A run that
has been trained on since is told.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kpdiscovery import cli, paths
from kpdiscovery.config import nearest
from kpdiscovery.reporting import logs, measured
from kpdiscovery.training import runs
from kpdiscovery.types import UserError

_OF_DATA = ('source', 'path', 'landmarks', 'resize', 'size')
_WIDTH = 34


class Measured(NamedTuple):
    """A run and what was measured of it."""

    name: str
    protocol: Mapping[str, str]  # What figures must share to be compared.
    figures: Mapping[str, float]
    seed: int


def main(argv: Sequence[str]) -> int:
    """Prints a table a protocol; 0."""
    parser = cli.Parser('kpd compare', settings=False, description=__doc__)
    parser.add_argument('runs', nargs='+', metavar='RUN', help='workdirs of kpd train')
    parser.add_argument(
        '--metric', action='append', default=[], metavar='NAME',
        help='a figure to print, and others by further --metric; default: all',
    )  # fmt: skip
    parser.add_argument('--json', action='store_true', help='for programs')
    args, _ = parser.parse(argv)
    groups = by_protocol([read(run) for run in args.runs])
    _check_metrics(groups, args.metric)
    print(_as_json(groups, args) if args.json else text(groups, args.metric))
    return 0


def read(workdir: str) -> Measured:
    """What `kpd evaluate` found of a run.

    Raises:
        UserError: it was not evaluated, or its metrics.json is damaged.
    """
    result = logs.read_metrics(workdir)
    if result is None and not paths.folder(workdir).exists():
        raise UserError(f'{workdir}: no such folder')
    if result is None:
        raise UserError(f'{workdir} has no metrics.json: run kpd evaluate first')
    if older := measured.apart(result, None, runs.last_meta(workdir) or {}):
        logging.warning('%s was measured %s: run kpd evaluate again', workdir, older)
    try:
        found = Measured(workdir, protocol(result), result['metrics'], result['seed'])
    except (KeyError, TypeError) as error:
        raise UserError(
            f'{workdir}/metrics.json is damaged ({error}): run kpd evaluate again'
        ) from None
    return found


def protocol(result: Mapping[str, Any]) -> dict[str, str]:
    """What two evaluations must have in common for their figures to be compared.

    The pictures (source, path, options, split, how many, what of them is seen, in what
    size: some errors are in pixels), the annotated points, how many pictures regressors were
    fitted on, and whether the rows are all or spread over a split.
    """
    data, counts = result['config']['data'], result['config']['evaluation']
    of_data = {f'data.{name}': data.get(name, '') for name in _OF_DATA}
    options = {
        f'data.options.{k}': v for k, v in sorted(data.get('options', {}).items())
    }
    fitted = {'evaluation.fit': counts['fit']}  # All that old files say.
    if 'fit_pictures' in result:
        fitted = {'fit_pictures': result['fit_pictures']}
    shared = {'split': result['split'], 'pictures': result['pictures'], **fitted,
              'rows': result.get('rows', 'all'), **of_data, **options}  # fmt: skip
    return {name: str(value) for name, value in shared.items()}


def by_protocol(runs: Sequence[Measured]) -> list[list[Measured]]:
    """The runs in groups of one protocol, in the order of their first."""
    groups: dict[tuple, list[Measured]] = {}
    for run in runs:
        groups.setdefault(tuple(sorted(run.protocol.items())), []).append(run)
    return list(groups.values())


def text(groups: Sequence[Sequence[Measured]], metrics: Sequence[str] = ()) -> str:
    """A table a protocol, rows figures and columns runs."""
    tables = [_table(group, _apart(group, groups), metrics) for group in groups]
    if len(groups) > 1:
        tables.insert(0, 'These runs were not measured alike: figures of different tables '
                         'cannot be compared.')  # fmt: skip
    return '\n\n'.join(tables)


def _apart(group, groups) -> str:
    """In what a group's protocol differs from others."""
    every = [other[0].protocol for other in groups]
    names = dict.fromkeys(name for one in every for name in one)
    own = group[0].protocol
    differ = [name for name in names if len({one.get(name, '') for one in every}) > 1]
    told = differ or ['data.source', 'split', 'pictures']
    return ', '.join(f'{name}={own.get(name) or "-"}' for name in told)


def _table(group, head, metrics) -> str:
    names = list(metrics) or list(
        dict.fromkeys(name for run in group for name in run.figures)
    )
    measured = [run for run in group if any(name in run.figures for name in names)]
    lacking = [run.name for run in group if run not in measured]
    notes = [f'none of these figures is known of {", ".join(lacking)}'] * bool(lacking)
    if not measured:
        return '\n'.join([head, *notes])
    group = measured
    heads = [f'{run.name} (seed {run.seed})' for run in group]
    widths = [max(len(one) + 2, 12) for one in heads]
    across = lambda cells: ''.join(
        f'{cell:>{width}}' for cell, width in zip(cells, widths, strict=True)
    )
    lines = [f'{name:{_WIDTH}}' + across([_cell(run, name) for run in group])
             for name in names if any(name in run.figures for run in group)]  # fmt: skip
    return '\n'.join([head, ' ' * _WIDTH + across(heads), *lines, *notes])


def _cell(run, name):
    return f'{run.figures[name]:.3f}' if run.figures.get(name) is not None else '-'


def _check_metrics(groups, metrics):
    there = {name for group in groups for run in group for name in run.figures}
    for name in metrics:
        if name not in there:
            raise UserError(f'no run has the figure {name!r}{nearest(name, there)}')


def _as_json(groups, args: argparse.Namespace) -> str:
    chosen = lambda run: {
        name: value
        for name, value in run.figures.items()
        if not args.metric or name in args.metric
    }
    return measured.text([
        {'protocol': dict(group[0].protocol),
         'runs': [{'workdir': run.name, 'seed': run.seed, 'metrics': chosen(run)}
                  for run in group]}
        for group in groups
    ])  # fmt: skip


if __name__ == '__main__':
    sys.exit(cli.run(main))

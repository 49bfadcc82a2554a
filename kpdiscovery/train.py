"""`kpd train`: from a config to a trained workdir; run again to resume."""

from __future__ import annotations

import argparse
import itertools
import signal
import sys
from collections.abc import Sequence
from typing import Any

import jax

from kpdiscovery import cli, config, data, preparation, processes, starts
from kpdiscovery.training import loop

_SIGNALS = ('SIGINT', 'SIGTERM')


def main(argv: Sequence[str]) -> int:
    """0 once trained or when its time is up; 128 and the number of a signal that stopped it."""
    parser = cli.Parser('kpd train', description=__doc__, epilog=_configs())
    parser.add_argument(
        '--config', required=True, help='METHOD/DATA[:VARIANT] or FILE.py'
    )
    parser.add_argument('--workdir', required=True, help='where everything is written')
    parser.add_argument(
        '--data', help="the config's files, or a folder of your pictures"
    )
    parser.add_argument(
        '--max_seconds',
        type=float,
        help='stop cleanly after this long, counted from when training begins: '
        'the points or landmarks it starts from are found before; compiling is part of '
        'it, but one step and a checkpoint are always made',
    )
    parser.add_argument(
        '--profile', action='store_true', help='trace steps 10 to 20 (TensorBoard)'
    )
    processes.add_arguments(parser)
    args, overrides = parser.parse(argv)
    with processes.together(args):
        return train(args, overrides)


def train(args: argparse.Namespace, overrides: Sequence[str]) -> int:
    """What `main` does and gives, of the arguments it parses: for other commands too."""
    start = starts.chosen(args.config, overrides, args.workdir)
    settings = config.load(start.name, overrides)
    cli.check_writable(args.workdir)
    if args.data:
        data.point_to(settings.data, args.data)
    # Detectors are compiled too, so before anything is prepared.
    if cache := settings.run.get('compilation_cache', ''):
        jax.config.update('jax_compilation_cache_dir', cache)
    prepared = preparation.prepare(settings, args.workdir)
    if processes.is_first():
        lines = filter(None, [summary(settings, prepared), start.line])
        print(*lines, sep='\n', flush=True)
    outcome = loop.train(
        prepared.method,
        settings.to_dict(),
        prepared.source,
        args.workdir,
        max_seconds=args.max_seconds,
        profile=args.profile,
    )
    if processes.is_first():
        print(_ending(outcome, args.workdir))
    stopped = outcome.reason.removeprefix('stopped by ')
    return 128 + signal.Signals[stopped] if stopped in _SIGNALS else 0


def _ending(outcome: loop.Outcome, workdir: str) -> str:
    if outcome.finished:
        return f'trained {outcome.step} steps: kpd evaluate --workdir={workdir}'
    return f'{outcome.reason} at step {outcome.step}; the same command resumes'


def summary(settings: Any, prepared: preparation.Prepared) -> str:
    """In one line what is trained on what, and how long."""
    source, pictures = prepared.source, settings.data
    count = len(source)
    names = tuple(getattr(source, 'class_names', ()))
    listed = ', '.join(names[:6]) + ', ...' * (len(names) > 6)
    classes = f', {len(names)} classes ({listed})' if names else ''
    phases = loop.phases_of(prepared.method, settings.to_dict())
    plan = ' + '.join(f'{phase.name} {phase.steps}' for phase in phases)
    total = sum(phase.steps for phase in phases) * pictures.batch_size
    seen = (
        f'each {total / max(count, 1):,.1f} times'
        if total > count
        else f'{total} of them'
    )
    devices = jax.devices()
    used = len(devices) if settings.mesh.data < 0 else settings.mesh.data
    return (
        f'{settings.run.config}: {count} pictures of split train in '
        f'{pictures.path or pictures.source}{classes}, {pictures.size} px; steps of '
        f'{pictures.batch_size}: {plan} ({seen}); '
        f'{used} x {devices[0].device_kind}'
        + f' of {jax.process_count()} processes'
        * (jax.process_count() > 1)
    )


def _configs() -> str:
    groups = itertools.groupby(config.names(), lambda name: name.split('/')[0])
    lines = [f'  {method}/: {", ".join(n.split("/")[1] for n in names)}'
             for method, names in groups]  # fmt: skip
    head = (
        'Configs (METHOD/DATA), mostly with the variants :cpu (two cores) and :smoke, and all\n'
        'with :v5e_8, :v5e_64 and :v5e_256 for pods (docs/pods.md); with commas several;\n'
        'some with :pretrained, or :scratch where that is the default (docs/pretrained.md):'
    )
    return '\n'.join([head, *lines])


if __name__ == '__main__':
    sys.exit(cli.run(main))

"""`kpd select`: how many keypoints, told without labels.

Trains every number of keypoints with every seed, in WORKDIR/k10_s0 and so on, then measures
on held-out pictures whether points follow a warp, whether seeds agree and whether they cover
what the other runs find. One score of the three, in [0, 1], orders the runs; selection.json
has all figures. The same command goes on after a stop and does not repeat what is done.
Where the pictures have annotated points, the error of these and how far its order is that
of the score are told too; nothing is chosen by them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from kpdiscovery import (
    __version__,
    cli,
    config,
    data,
    inference,
    methods,
    paths,
    processes,
    selecting,
    train,
    version,
)
from kpdiscovery.data import class_labels
from kpdiscovery.reporting import selection
from kpdiscovery.training import runs
from kpdiscovery.types import UserError

FILE = 'selection.json'
_COUNT, _SEED = 'method.num_keypoints', 'seed'


def main(argv: Sequence[str]) -> int:
    """0 once chosen or when its time is up; else as `kpd train`."""
    parser = cli.Parser('kpd select', description=__doc__)
    parser.add_argument('--config', required=True, help='as for kpd train')
    parser.add_argument('--workdir', required=True, help='where the runs are written')
    parser.add_argument('--data', help='as for kpd train')
    parser.add_argument(
        '--keypoints', required=True, metavar='K,K,...', help=f'values of {_COUNT}'
    )
    parser.add_argument(
        '--seeds', default='0,1', help='of each (default: 0,1); one has nothing to agree '
        'with'
    )  # fmt: skip
    parser.add_argument(
        '--split', default='test', help='train, validation or test (default)'
    )
    parser.add_argument(
        '--max_seconds', type=float, help='stop training cleanly after this long'
    )
    processes.add_arguments(parser)
    args, overrides = parser.parse(argv)
    plan = planned(args, overrides)
    with processes.together(args):
        return _select(args, overrides, plan)


def planned(
    args: argparse.Namespace, overrides: Sequence[str]
) -> list[selecting.Candidate]:
    """The runs, first all numbers of keypoints of the first seed.

    Raises:
        UserError: no such numbers, or a method that has none or not these.
    """
    counts = _numbers(args.keypoints, 'keypoints', 1)
    seeds = _numbers(args.seeds, 'seeds', 0)
    for name in (_COUNT, _SEED):
        if any(setting.partition('=')[0] == name for setting in overrides):
            raise UserError(
                f'--config.{name} is what is tried: name it by --keypoints, --seeds'
            )
    settings = config.load(args.config, overrides)
    if 'num_keypoints' not in settings.method:
        raise UserError(
            f'{settings.method.name} has no setting {_COUNT}: kpd select tries its values'
        )
    for count in counts:  # Mistakes are told before the first run.
        methods.build(config.load(args.config, _settings(overrides, count, 0)).method)
    folder = paths.folder(args.workdir)
    return [
        selecting.Candidate(str(folder / f'k{count}_s{seed}'), count, seed)
        for seed in seeds
        for count in counts
    ]


def _select(args, overrides, plan) -> int:
    cli.check_writable(args.workdir)
    code = _train_all(args, overrides, plan)
    if code is not None:
        return code
    result = _measured(args, overrides, plan)
    if processes.is_first():
        path = paths.folder(args.workdir) / FILE
        paths.write(path, json.dumps(result, indent=1).encode())
        print(selection.text(result))
        print(f'written to {path}')
    return 0


def _train_all(args, overrides, plan) -> int | None:
    """An exit code where it was stopped; None: all runs are trained."""
    start = time.monotonic()
    # What is measured may change: it is no setting of a run.
    own = [one for one in overrides if not one.startswith('evaluation.')]
    for number, run in enumerate(plan, 1):
        if processes.is_first():
            print(f'run {number} of {len(plan)}: {run.workdir}', flush=True)
        left = args.max_seconds and max(0, args.max_seconds - time.monotonic() + start)
        told = argparse.Namespace(
            config=args.config, data=args.data, workdir=run.workdir, max_seconds=left,
            profile=False,
        )  # fmt: skip
        code = train.train(told, _settings(own, run.num_keypoints, run.seed))
        if code or runs.unfinished(runs.last_meta(run.workdir) or {}):
            return code
    return None


def _measured(args, overrides, plan) -> dict[str, Any]:
    """The content of selection.json."""
    counts = [one for one in overrides if one.startswith('evaluation.')]

    def load(run):
        trained = inference.load(run.workdir, counts)  # It has the others.
        if args.data:
            data.point_to(trained.config.data, args.data)
            class_labels.expect(trained.config, type(trained.method))
        return trained

    return {
        **selecting.choose(plan, load, split=args.split),
        'version': __version__,
        'commit': version.commit(),
        'config': load(plan[0]).config.to_dict(),
    }


def _settings(overrides: Sequence[str], count: int, seed: int) -> list[str]:
    return [*overrides, f'{_COUNT}={count}', f'{_SEED}={seed}']


def _numbers(text: str, name: str, least: int) -> list[int]:
    """Of 5,10,20, each once."""
    words = [word.strip() for word in text.split(',') if word.strip()]
    if not words or not all(w.isdecimal() and int(w) >= least for w in words):
        raise UserError(
            f'--{name}={text}: wanted whole numbers from {least}, with commas'
        )
    return list(dict.fromkeys(map(int, words)))


if __name__ == '__main__':
    sys.exit(cli.run(main))

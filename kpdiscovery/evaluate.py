"""`kpd evaluate`: every figure the method and the data's truth allow, as metrics.json."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import pathlib
import re
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax

from kpdiscovery import (
    __version__,
    cli,
    data,
    inference,
    measuring,
    metrics,
    paths,
    processes,
    version,
)
from kpdiscovery.data import class_labels
from kpdiscovery.data.generated import Generated
from kpdiscovery.reporting import measured, table
from kpdiscovery.types import Source

_BESIDE = ('untrained', 'baselines', 'generic')
_LEARNT = (
    '%d of the %d pictures measured are in the training split, which was learnt from: measure '
    '--split=test, or train with data.options.holdout_validation'
)


_FITTED = (
    'regressors are fitted on %d of the %d pictures measured: measure --split=test, or name '
    'splits in annotations.npz'
)


def main(argv: Sequence[str]) -> int:
    """Prints the figures and writes them into the workdir; 0."""
    parser = cli.Parser('kpd evaluate', description=__doc__)
    parser.add_argument('--workdir', required=True, help='of kpd train')
    parser.add_argument(
        '--data',
        help="the config's files, if they have moved, or other pictures, whose figures go "
        'into a file named after them',
    )
    parser.add_argument(
        '--split', default='test', help='train, validation or test (default)'
    )
    parser.add_argument(
        '--step', type=int, help='a kept checkpoint; default: the last (run.keep)'
    )
    parser.add_argument(
        '--trained_only', action='store_true',
        help='leave out what it is compared with: the untrained model, simpler uses of the '
        'network, and the points it began with, which may take longest',
    )  # fmt: skip
    parser.add_argument(
        '--oracle',
        metavar='METRIC',
        help='also the last epoch and, of those kept, the one best by METRIC',
    )
    processes.add_arguments(parser)
    args, overrides = parser.parse(argv)
    with processes.together(args):
        return _evaluate(args, overrides)


def _evaluate(args: argparse.Namespace, overrides: Sequence[str]) -> int:
    cli.check_writable(args.workdir)
    trained = inference.load(args.workdir, overrides, step=args.step)
    if args.data:
        data.point_to(trained.config.data, args.data)
        class_labels.expect(trained.config, type(trained.method))
    result = evaluate(trained, split=args.split, compared=not args.trained_only)
    if args.oracle:
        result = measuring.with_hindsight(result, trained, args.workdir, args.oracle)
    if not processes.is_first():
        return 0
    name = _file_name(
        args.split, args.step, args.data if result['other_data'] else None
    )
    path = paths.folder(args.workdir) / name
    if result['other_data']:
        _tell_replaced(path, str(trained.config.data.get('path', '')))
    paths.write(path, measured.text(result).encode())
    print(table.text(result))
    print(f'written to {path}')
    return 0


def evaluate(
    trained: inference.Trained, *, split: str = 'test', compared: bool = True
) -> dict[str, Any]:
    """The content of metrics.json: figures of the trained and of the untrained model.

    Fitting (regressors) uses rows of the training split. Those of `split` may be among
    them: 'train' is it, and 'validation' is a part of it, unless the data set names its own
    or `data.options.holdout_validation` is set. `learnt_from` says how many are, None for
    pictures of another training split: which of them were learnt from is not looked at.

    Args:
        compared: with the untrained model, baselines and the start; else these are empty.
    """
    start, settings = time.monotonic(), trained.config
    every = measuring.sources(settings, split)
    other = inference.tell_other_pictures(trained, every[0])
    fit, test = measuring.thinned(settings.evaluation, *every)
    again = _again(every[0], test, split)
    if again:
        logging.warning(_FITTED if other else _LEARNT, again, len(test))
    metrics.check_landmarks(settings.data.get('landmarks', ''), test)
    once, looking = measuring.extracted(trained, fit, test), (trained, test)
    values, skipped, found, splits = measuring.measure(*once, looking=looking)
    beside = _beside(once, splits, looking) if compared else ({}, {}, {})
    text = json.dumps(settings.to_dict(), sort_keys=True)
    return {
        'metrics': values,
        **dict(zip(_BESIDE, beside, strict=True)),
        'skipped': skipped,
        'warning': trained.method.advise(values),
        'truth': sorted(test.truth),
        'protocol': list(trained.method.metrics),
        'split': split,
        'pictures': len(test),
        'fit_pictures': 0 if splits[0] is None else len(splits[0].truth['index']),
        'learnt_from': None if other else again,
        'other_data': other,
        'rows': 'evenly spread' if _fewer(every, (fit, test)) else 'all',
        'keypoints': found,
        'seed': settings.seed,
        **trained.meta,
        'evaluation_seconds': round(time.monotonic() - start, 1),
        'evaluation_device': jax.devices()[0].device_kind,
        'version': __version__,
        'commit': version.commit(),
        'config_hash': hashlib.sha256(text.encode()).hexdigest()[:12],
        'config': settings.to_dict(),
    }


def _tell_replaced(path: pathlib.Path, data_path: str) -> None:
    """Folders of one name share a file."""
    try:
        before = paths.read_json(path)['config']['data']['path']
    except (OSError, ValueError, LookupError, TypeError):
        return
    if os.path.abspath(before) != os.path.abspath(data_path):
        logging.warning('%s had figures of %s, which these replace', path, before)


def _again(train: Source, test: Source, split: str) -> int:
    """How many of the rows measured are of pictures in the training split."""
    known = set(getattr(train, 'files', None) or ())
    files = getattr(test, 'files', None)
    if files is None:
        return len(test) if split == 'train' else 0
    return sum(file in known for file in files)


def _fewer(every, taken):
    """Drawn pictures are like their neighbours, so that any will do."""
    return any(
        len(one) < len(whole) and not isinstance(whole, Generated)
        for whole, one in zip(every, taken, strict=True)
    )


def _beside(once, splits, looking):
    """What the figures are compared with."""
    trained, fit, test = once
    return (
        measuring.untrained(trained, fit, test, looking=looking),
        measuring.baselines(trained, fit, test, looking=looking),
        measuring.generic(trained, (fit, test), splits),
    )


def _file_name(split: str, step: int | None, other: str | None = None) -> str:
    """metrics.json is of the test split at the last step: what all others read.

    Args:
        other: path of pictures that the run was not trained on.
    """
    more = [split] * (split != 'test') + [str(step)] * (step is not None)
    if other:
        more.append(
            'on_' + re.sub(r'\W+', '_', pathlib.PurePath(other).name).strip('_')
        )
    return '_'.join(['metrics', *more]) + '.json'


if __name__ == '__main__':
    sys.exit(cli.run(main))

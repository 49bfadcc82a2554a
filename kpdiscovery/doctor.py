"""`kpd doctor`: what the machine, a config, its data or a file of weights lack.

With --data=NAME --root=DIR: what DIR has of a data set of the papers, as its owners
distribute it, where it comes from, on which terms, and what is derived.

One line a finding: ok, missing (exit code 2), or absent (only some need it). Nothing is
downloaded, and nothing written but frames of videos and copies of buckets into the cache.
"""

from __future__ import annotations

import os
import pathlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import ml_collections

from kpdiscovery import (
    cli,
    config,
    data,
    detection,
    landmark_runs,
    machine,
    methods,
    metrics,
    releases,
    starts,
    transfer,
)
from kpdiscovery.data import class_labels
from kpdiscovery.machine import ABSENT, MISSING, OK, Check, Finding, Result
from kpdiscovery.models import pretrained, zoo
from kpdiscovery.types import Source, UserError, WeightFile

_TORCH_HUB = re.compile(r'-([0-9a-f]{8})\.pth?$')  # The SHA-256 begins so.


def main(argv: Sequence[str]) -> int:
    """Prints a line a finding; 2 where something needed is missing, else 0."""
    parser = cli.Parser('kpd doctor', description=__doc__)
    parser.add_argument('--config', help='METHOD/DATA[:VARIANT] or FILE.py to check')
    parser.add_argument(
        '--data', help="the config's files, or your own pictures; a NAME with --root"
    )
    parser.add_argument(
        '--root', metavar='DIR', help='the official files of the data set --data=NAME'
    )
    parser.add_argument(
        '--weights',
        metavar='FILE',
        help='a .safetensors or .pth file to check, or a name',
    )
    args, overrides = parser.parse(argv)
    if args.root is not None:
        return _examine_release(args)
    if (args.data or overrides) and not args.config:
        raise UserError(
            '--data and --config.KEY=VALUE need --config=NAME (or --data=NAME --root=DIR)'
        )
    found: list[Result] = []
    if not args.weights or args.config:
        found += machine.examine()
    if args.config:
        found += examine_config(args.config, overrides, args.data)
    if args.weights:
        found += machine.run([('weights', partial(weights_file, args.weights))])
    print(*map(_line, found), sep='\n')
    return _conclude(found)


def _examine_release(args) -> int:
    """Findings about official files, and what to do."""
    if not args.data or args.config or args.weights:
        raise UserError('--root=DIR goes with --data=NAME alone')
    found = releases.examine(args.data, args.root)
    print(*map(_line, found), sep='\n')
    complete = all(finding.state != MISSING for _, finding in found)
    print(releases.conclusion(args.data, args.root, complete))
    return 0 if complete else 2


def examine_config(
    name: str, overrides: Sequence[str] = (), path: str | None = None
) -> list[Result]:
    """Whether `kpd train` with the same arguments would find all that it needs."""
    try:
        start = starts.chosen(name, overrides)
        settings = config.load(start.name, overrides)
    except UserError as error:
        return [('config', Finding(MISSING, str(error)))]
    if path:
        data.point_to(settings.data, path)
    method = methods.named(settings.method.get('name'))
    class_labels.expect(settings, method)
    summary = (
        f'{start.name}: method {settings.method.name}, data {settings.data.source}'
    )
    found = [('config', Finding(OK, summary))]
    if start.line:
        found.append(('start', Finding(ABSENT if start.absent else OK, start.line)))
    found += _examine_data(settings)
    return found + machine.run([*_starts(settings), *_weights(settings.method)])


def weights_file(path: str | os.PathLike) -> Finding:
    """What is in a file of weights; all its tensors are read."""
    path = zoo.located(path)
    digest = zoo.sha256(path)
    begin = _TORCH_HUB.search(str(path))
    if begin and not digest.startswith(begin[1]):
        return Finding(MISSING, f'{path}: sha256 {digest}', 'damaged; fetch it again')
    found = pretrained.inspect(path)
    text = f'{found.name}, {found.parameters:,} parameters, all fit'
    return Finding(OK, f'{path}: {text}; sha256 {digest}')


def _examine_data(settings: ml_collections.ConfigDict) -> list[Result]:
    """Findings about both splits, and what a method wants of the first."""
    sources: dict[str, Source] = {}

    def build(split):
        sources[split] = source = data.build(settings.data, split=split)
        truth = ', '.join(source.truth) or 'none'
        return Finding(OK, f'{len(source)} pictures; truth: {truth}')

    found = machine.run([(split, partial(build, split)) for split in ('train', 'test')])
    if 'train' not in sources:
        return found
    checks: list[Check] = [
        ('doubts', partial(_doubts, sources)),
        ('labels', partial(_labels, sources['train'], settings)),
        ('landmarks', partial(_landmarks, sources['train'], settings.data)),
        ('method', partial(_method, sources.get('test'), settings.method)),
    ]
    return found + machine.run(checks)


def _doubts(sources: Mapping[str, Source]) -> Finding:
    """What of pictures and annotations can hardly be meant so."""
    lines: dict[str, None] = {}
    for source in sources.values():
        base: Any = source
        while hasattr(base, 'source'):  # Whatever is joined or left out.
            base = base.source
        lines |= dict.fromkeys(getattr(base, 'doubts', ()))
    return Finding(ABSENT, '; '.join(lines)) if lines else Finding(OK, 'none')


def _labels(source: Source, settings: Any) -> Finding:
    method = methods.named(settings.method.name)
    class_labels.prepare(source, settings, method)
    if not method.class_count:
        return Finding(OK, 'not needed')
    return Finding(OK, f'{settings.method[method.class_count]} classes')


def _landmarks(source: Source, section: Any) -> Finding:
    metrics.check_landmarks(section.get('landmarks', ''), source)
    named = section.get('landmarks', '')
    unnamed = ': errors in sides of the picture' * ('keypoints' in source.truth)
    return Finding(OK, named or f'no set named{unnamed}')


def _method(test: Source | None, section: Any) -> Finding:
    """Whether it can be built, and what `kpd evaluate` would leave out."""
    method = methods.build(section)
    truth = () if test is None else test.truth
    needs = {
        n: metrics.lacking(metrics.PROTOCOLS[n].truth, truth) for n in method.metrics
    }
    lacks = [f'{n} ({", ".join(fields)})' for n, fields in needs.items() if fields]
    if lacks:
        return Finding(ABSENT, f'{section.name}; without truth for {"; ".join(lacks)}')
    return Finding(
        OK, f'{section.name}; figures: {", ".join(method.metrics) or "none"}'
    )


def _starts(settings: ml_collections.ConfigDict) -> Iterator[Check]:
    """The check of the keypoints that training starts from, if any."""
    name = settings.data.get('keypoints', '')
    if name == landmark_runs.CONSTELLATION:
        yield from _weights(landmark_runs.config_of(settings).method)
    elif name:
        num = settings.data.get('num_detected', 64)
        yield 'keypoints', partial(_keypoints, name, num)


def _keypoints(name: str, num: int) -> Finding:
    classical = name in detection.CLASSICAL or name.endswith('+sift')
    if classical and not machine.has(('cv2',)):
        return Finding(MISSING, f'{name}: no cv2', "pip install 'kpdiscovery[vision]'")
    if name.endswith('.npz'):
        if not pathlib.Path(name).is_file():
            return Finding(
                MISSING, f'no file {name}', '--config.data.keypoints=FILE.npz'
            )
    else:
        detection.detector(name, num)
    return Finding(OK, name)


def _weights(section: Any) -> Iterator[Check]:
    """A check for every file of weights that a method wants, if it can be built."""
    try:
        files = methods.build(section).weight_files()
    except UserError:  # Told by the check of the method.
        return
    yield from (('weights', partial(_fits, file)) for file in files if _wanted(file))


def _wanted(file: WeightFile) -> bool:
    return bool(file.path or file.missing)


def _fits(file: WeightFile) -> Finding:
    """Loads the file as training would."""
    name = f'method.{file.field}'
    if not file.path:
        mend = f'--config.{name}=FILE, see `kpd weights`'
        return Finding(MISSING, f'{name}: {file.missing}', mend)
    try:
        if not transfer.is_run(file.path):
            file.check(file.path)
    except UserError as error:
        return Finding(MISSING, f'{name}: {error}')
    return Finding(OK, f'{name}: {file.path}')


def _line(result: Result) -> str:
    name, found = result
    mend = f': {found.mend}' if found.mend else ''
    return f'{found.state:8} {name:12} {found.text}{mend}'


def _conclude(found: Sequence[Result]) -> int:
    count = sum(finding.state == MISSING for _, finding in found)
    print(f'{count} missing' if count else 'nothing that is needed is missing')
    print('pretrained networks: kpd weights')
    return 2 if count else 0


if __name__ == '__main__':
    sys.exit(cli.run(main))

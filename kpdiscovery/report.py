"""`kpd report`: one HTML file about a workdir, readable offline and on a phone."""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import ml_collections

from kpdiscovery import cli, data, inference, methods, paths
from kpdiscovery.data import class_labels
from kpdiscovery.types import Source, UserError

_EXTRA = ('jinja2', 'matplotlib', 'sklearn')
_PICTURES = 200  # Of each split.


class _Rooms(NamedTuple):
    """Modules that need the report extra, and the methods' own sections."""

    collecting: Any
    page: Any
    protocol: Any
    sections: Any
    seen: Any
    own: Mapping[str, Callable]


def main(argv: Sequence[str]) -> int:
    parser = cli.Parser('kpd report', settings=False, description=__doc__)
    parser.add_argument('--workdir', required=True, help='of kpd train')
    parser.add_argument(
        '--data', help="the config's files, or a folder of your pictures"
    )
    parser.add_argument('--out', help='the file; default: report.html in the workdir')
    parser.add_argument(
        '--pictures', type=int, default=_PICTURES, help='of each split (default: 200)'
    )
    args, overrides = parser.parse(argv)
    if overrides:
        raise UserError('kpd report shows a run as it was: it takes no --config.KEY')
    if args.pictures < 1:
        raise UserError(f'--pictures must be at least 1, got {args.pictures}')
    page = html(args.workdir, args.data, count=args.pictures)
    path = paths.folder(args.out or paths.folder(args.workdir) / 'report.html')
    try:
        paths.write(path, page.encode(errors='replace'))
    except OSError as error:
        raise UserError(
            f'{path} cannot be written: {error.strerror or error}'
        ) from None
    print(f'written to {path}')
    return 0


def html(
    workdir: str | os.PathLike, path: str | None = None, *, count: int = _PICTURES
) -> str:
    """The page.

    Args:
        path: where the config's files are, if they have moved, or a folder of pictures.
        count: pictures of each split.
    """
    rooms = _rooms()
    trained = inference.load(workdir)
    sources = _splits(trained.config, path)
    split, held_out = next(iter(sources.items()))
    first = min(count, rooms.collecting.PART)
    seen = rooms.seen.look(trained, held_out, split, count=first)
    run = _run(rooms, seen, sources, workdir, path)
    album = rooms.collecting.collect(sources, seen, run.fit, count=count)
    method = trained.config.method.name
    parts = [
        rooms.sections.summary(seen, workdir),
        rooms.protocol.section(seen, workdir),
        *rooms.sections.views(seen),
        *(rooms.own[method](seen, run) if method in rooms.own else []),
        rooms.sections.curves(workdir),
        rooms.sections.config(seen),
    ]
    name = paths.folder(workdir).name
    stands = f'step {trained.meta["step"]} of phase {trained.meta["phase"]}'
    subtitle = f'{name}: {trained.config.data.source}, {stands}'
    return rooms.page.render(f'{method} report', subtitle, album, parts)


def _run(rooms, seen, sources, workdir, path):
    """The training split, if there is one, and its first pictures."""
    training = functools.partial(_source, seen.trained.config, path, 'train')
    named = [split for split in sources if split.startswith('train')]
    if not named:
        return rooms.seen.Run(workdir, training)
    if named[0] == seen.split:
        return rooms.seen.Run(workdir, training, seen.found)
    found = rooms.seen.look(
        seen.trained, sources[named[0]], named[0], count=len(seen.images), keep=()
    )
    return rooms.seen.Run(workdir, training, found.found)


def _rooms():
    """Imported late: one who has not the extra is told so."""
    try:
        from kpdiscovery.reporting import (
            collecting,
            feature_alignment,
            landmarks,
            lmpnet,
            page,
            protocol,
            sections,
            seen,
            tusk,
            weight_map,
        )
    except ImportError as error:
        if (error.name or '').split('.')[0] not in _EXTRA:
            raise
        need = 'pip install kpdiscovery[report]'
        raise UserError(f'the report needs {error.name}: {need}') from None
    own = {
        'feature_alignment': feature_alignment.sections,
        'self_training': landmarks.sections,
        'tusk': tusk.sections,
        'lmpnet': lmpnet.sections,
        'weight_map': weight_map.sections,
    }
    return _Rooms(collecting, page, protocol, sections, seen, own)


def _splits(config, path) -> dict[str, Source]:
    """Every split with pictures that no other has, held-out ones first."""
    where = f' of {path}' if path else ''
    found: dict[str, Source] = {}
    known: set[str] = set()
    reasons = []
    for name in ('test', 'train', 'validation'):
        try:
            source = _source(config, path, name)
        except UserError as reason:
            reasons.append(reason)
            continue
        files = set(getattr(source, 'files', None) or ())
        if files and files <= known:
            continue
        known |= files
        found[f'{name}{where}'] = source
    if not found:
        raise reasons[-1]
    for why in reasons:
        if 'no pictures in split' not in str(why):
            logging.warning('a split is not shown: %s', why)
    return found


def _source(config, path, split) -> Source:
    settings = ml_collections.ConfigDict(config.to_dict())
    kind = methods.named(settings.method.name)
    if path:
        data.point_to(settings.data, path)
        class_labels.expect(settings, kind)
    return class_labels.as_trained(
        data.build(settings.data, split=split), settings, kind
    )


if __name__ == '__main__':
    sys.exit(cli.run(main))

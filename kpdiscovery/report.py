"""`kpd report`: one HTML file about a workdir, readable offline and on a phone."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Sequence

import ml_collections

from kpdiscovery import cli, data, inference, methods, paths
from kpdiscovery.data import class_labels
from kpdiscovery.types import Source, UserError

_EXTRA = ('jinja2', 'matplotlib', 'sklearn')
_PICTURES = 200  # Looked at; the pages show fewer.


def main(argv: Sequence[str]) -> int:
    parser = cli.Parser('kpd report', settings=False, description=__doc__)
    parser.add_argument('--workdir', required=True, help='of kpd train')
    parser.add_argument(
        '--data', help="the config's files, or a folder of your pictures"
    )
    parser.add_argument('--out', help='the file; default: report.html in the workdir')
    args, overrides = parser.parse(argv)
    if overrides:
        raise UserError('kpd report shows a run as it was: it takes no --config.KEY')
    page = html(args.workdir, args.data)
    path = paths.folder(args.out or paths.folder(args.workdir) / 'report.html')
    try:
        paths.write(path, page.encode(errors='replace'))
    except OSError as error:
        raise UserError(
            f'{path} cannot be written: {error.strerror or error}'
        ) from None
    print(f'written to {path}')
    return 0


def html(workdir: str | os.PathLike, path: str | None = None) -> str:
    """The page.

    Args:
        path: where the config's files are, if they have moved, or a folder of pictures.
    """
    page, sections, seen_lib, own = _rooms()
    trained = inference.load(workdir)
    split, source = _held_out(trained.config, path)
    seen = seen_lib.look(trained, source, split, count=_PICTURES)
    training = functools.partial(_source, trained.config, path, 'train')
    run = seen_lib.Run(workdir, training)
    method = trained.config.method.name
    parts = [
        sections.summary(seen, workdir),
        sections.pictures(seen, _trained_on(seen, run, sections.SHOWN, seen_lib.look)),
        *(own[method](seen, run) if method in own else []),
        sections.curves(workdir),
        sections.config(seen),
    ]
    name = paths.folder(workdir).name
    step = trained.meta['step']
    subtitle = f'{name}: {trained.config.data.source}, {step} steps'
    return page.render(f'{method} report', subtitle, parts)


def _trained_on(seen, run, wanted, look):
    """Training pictures to fill up few others; None where there are none or no need."""
    missing = wanted - len(seen.images)
    if missing <= 0 or seen.split.startswith('train'):
        return None
    try:
        source = run.training()
    except UserError:
        return None
    found = look(seen.trained, source, 'train', count=missing)
    return None if set(found.names) <= set(seen.names) else found


def _rooms():
    """What needs the report extra, imported late."""
    try:
        from kpdiscovery.reporting import (
            feature_alignment,
            landmarks,
            lmpnet,
            page,
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
    return page, sections, seen, own


def _held_out(config, path) -> tuple[str, Source]:
    """The test split and its name, or the training split where there is no other."""
    where = f' of {path}' if path else ''
    try:
        return f'test{where}', _source(config, path, 'test')
    except UserError:
        return f'train{where}', _source(config, path, 'train')


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

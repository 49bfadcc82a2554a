"""`kpd features`: a network's features of all pictures, once, for train and the others.

Writes a file a split and features.json, which says what network they are of. Then
`kpd train ... --config.data.features=OUT --config.method.features.backbone=given` and
`kpd evaluate` read them, and `kpd predict` has the network look at pictures of your own.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tqdm

from kpdiscovery import cli, config, data, inference, methods, transfer
from kpdiscovery.data.joined import feature_files
from kpdiscovery.types import Source, UserError

_MAPS = {'efficientnet_lite0': 'stage5', 'superpoint': 'trunk', 'vgg16': 'pool4'}


def main(argv: Sequence[str]) -> int:
    parser = cli.Parser('kpd features', description=__doc__)
    parser.add_argument('--out', required=True, help='folder to write to')
    parser.add_argument('--data', help="the config's files, or a folder of pictures")
    parser.add_argument(
        '--weights',
        help='efficientnet_lite0, vgg16, superpoint (in the package), or a file or workdir '
        'for the backbone of --config.method.features.backbone',
    )
    parser.add_argument(
        '--config', default='feature_alignment/folder',
        help='whose pictures and features; default: %(default)s',
    )  # fmt: skip
    parser.add_argument('--splits', default='train,test', help='default: %(default)s')
    args, overrides = parser.parse(argv)
    cli.check_local(args.out)
    cli.check_writable(args.out)
    settings, out = _settings(args, overrides), pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for split in args.splits.split(','):
        source = data.build(settings.data, split=split)
        path = out / f'{split}.npz'
        trained = inference.untrained(settings, source)
        shape = write(path, trained, source, settings.data.batch_size)
        print(f'{path}: {len(source)} pictures, {" x ".join(map(str, shape))}')
    record = {
        'features': settings.method.features.to_dict(),
        'size': settings.data.size,
        'resize': settings.data.resize,
    }
    (out / feature_files.RECORD).write_text(json.dumps(record, indent=1))
    print(
        f'now kpd train ... --config.data.features={out} '
        '--config.method.features.backbone=given'
    )
    return 0


def _settings(args: argparse.Namespace, overrides: Sequence[str]) -> Any:
    """The config whose network looks at all pictures."""
    settings = config.load(args.config, [*_network(args.weights), *overrides])
    if args.data:
        data.point_to(settings.data, args.data)
    settings.data.update(rows=0, features='')
    transfer.settle(settings, methods.build(settings.method), args.out)
    method = methods.build(settings.method)
    if method.on_extracted() is None:
        raise UserError(
            f'{args.config}: nothing to extract, the method reads no frozen features or '
            'is given them already'
        )
    for file in method.weight_files():
        if not file.path and file.missing:
            raise UserError(f'{file.missing}: give --weights')
    return settings


def write(
    path: pathlib.Path, trained: inference.Trained, source: Source, batch_size: int
) -> tuple[int, ...]:
    """The file of a split; of its maps only a batch is in memory. Gives their (h, w, D).

    Values are float16, of unit vectors.
    """
    batches = _extracted(trained, source, batch_size)
    first, valid = next(batches)
    shape, covers = first.shape[1:], [valid]
    with zipfile.ZipFile(path, 'w') as archive:  # Not compressed: read from the disk.
        with archive.open('features.npy', 'w', force_zip64=True) as file:
            header = {'descr': '<f2', 'fortran_order': False,
                      'shape': (len(source), *shape)}  # fmt: skip
            np.lib.format.write_array_header_2_0(file, header)
            file.write(first.tobytes())
            for found, valid in batches:
                file.write(found.tobytes())
                covers.append(valid)
        with archive.open('valid.npy', 'w') as file:
            np.lib.format.write_array(file, np.concatenate(covers))
        if files := getattr(source, 'files', None):
            with archive.open('files.npy', 'w') as file:
                np.lib.format.write_array(file, np.array(files), allow_pickle=False)
    return shape


def _extracted(trained, source, size) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches `[b, h, w, D]` float16 and `[b, h, w]` bool."""
    size = min(size, len(source))
    for start in tqdm.tqdm(range(0, len(source), size), desc='features', disable=None):
        rows = [source[i] for i in range(start, min(start + size, len(source)))]
        names = [name for name in ('image', 'pixels_valid') if name in rows[0]]
        batch = {name: np.stack([row[name] for row in rows]) for name in names}
        few = size - len(rows)  # One shape for all batches.
        batch = {name: np.concatenate([value, np.repeat(value[:1], few, axis=0)])
                 for name, value in batch.items()}  # fmt: skip
        found = inference.extract(trained.method, trained.variables, batch)
        yield (
            np.asarray(found['features'][: len(rows)], np.float16),
            np.asarray(found['features_valid'][: len(rows)]),
        )


def _network(weights: str | None) -> list[str]:
    """Settings that --weights stands for."""
    if not weights:
        return []
    section = 'method.features'
    if weights not in _MAPS:
        return [f'{section}.weights={weights}']
    names = {'backbone': weights, 'map': _MAPS[weights],
             'weights': '' if weights == 'superpoint' else weights}  # fmt: skip
    return [f'{section}.{name}={value}' for name, value in names.items()]


if __name__ == '__main__':
    sys.exit(cli.run(main))

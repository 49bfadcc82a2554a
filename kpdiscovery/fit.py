"""`kpd fit`: the landmarks you want, from those a run discovered and a few annotated pictures.

Learns where the wanted points lie among the discovered ones and keeps it with the run
(wanted.npz): `kpd predict` gives them from then on, in wanted.csv. The error it prints is of
pictures that were left out of the fit, in pixels of the originals.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kpdiscovery import cli, data, finding, inference, paths, wanted
from kpdiscovery.data import box_crops, resize, subset
from kpdiscovery.metrics.landmarks.wanted import Fitted, fit_wanted
from kpdiscovery.types import Row, UserError

_FEW = 5  # Pictures measured, which are named then.
_OPTIONS = ('method', 'contrast', 'megapixels', 'every')  # How pictures are read.


class Annotated(NamedTuple):
    """Discovered and wanted landmarks of the same pictures, in pixels of the originals."""

    xy: np.ndarray  # [N, K, 2]
    valid: np.ndarray  # [N, K] bool
    points: np.ndarray  # [N, T, 2]
    visible: np.ndarray  # [N, T] bool
    names: tuple[str, ...] = ()  # Of the wanted points; () unknown.
    side: float = 0.0  # sqrt(W H) of the originals, the median.


class _Noted:
    """A source whose rows are asked for once, in turn: keeps what is annotated of each."""

    def __init__(self, source: Any):
        self.source, self.files = source, source.files
        self.given: dict[str, list] = {'frame': [], 'keypoints': []}

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Row:
        row = self.source[index]
        for name, values in self.given.items():
            values.append(row[name])
        return row


def main(argv: Sequence[str]) -> int:
    """Prints the errors and writes the map into the workdir; 0."""
    parser = cli.Parser('kpd fit', description=__doc__)
    parser.add_argument('--workdir', required=True, help='of kpd train')
    parser.add_argument(
        '--annotations', required=True, metavar='DATA',
        help='annotated pictures: a folder with annotations.npz, as for --data',
    )  # fmt: skip
    parser.add_argument(
        '--split', help='of the annotated pictures (default: all of a folder that names '
        'no splits, if nothing is measured, else train)',
    )  # fmt: skip
    parser.add_argument('--pictures', type=int, help='so many of them, at random')
    parser.add_argument('--seed', type=int, default=0, help='which (default: 0)')
    parser.add_argument(
        '--measure', metavar='SPLIT', help='also the error on this split, test say'
    )
    args, overrides = parser.parse(argv)
    if args.pictures is not None and args.pictures < 1:
        raise UserError(f'--pictures must be at least 1, got {args.pictures}')
    cli.check_writable(args.workdir)
    trained = inference.looking(inference.load(args.workdir, overrides))
    read = lambda split: pictures(trained.config.data, args.annotations, split)
    split = args.split or ('train' if args.measure else 'all')
    source = read(split)
    if not args.split and split == 'all' and source.splits:
        source = read('train')
    rows = subset.drawn(len(source), args.pictures, args.seed)
    source = subset.Subset(source, rows)
    test = read(args.measure) if args.measure else None
    if test and (both := set(source.files) & set(test.files)):
        raise UserError(
            f'{len(both)} pictures of split {args.measure} are among those to fit: give '
            'ten pictures or more, or leave --measure away: errors are of pictures left out'
        )
    shown = annotated(trained, source)
    there = _there(shown)
    fitted = _fit(there)
    boxed = box_crops.is_box(trained.config.data.get('resize', ''))
    wanted.save(
        args.workdir, fitted, there.names, of=wanted.model(trained),
        side=0.0 if boxed else there.side,
    )  # fmt: skip
    print(_told(fitted, there))
    if test:
        kept = shown.visible.any(axis=0)
        print(f'split {args.measure}: {_measured(trained, fitted, test, kept)}')
    print(f'written to {paths.folder(args.workdir) / wanted.FILE}')
    return 0


def annotated(trained, source) -> Annotated:
    """What a run finds in the pictures of a source beside their annotated points, those
    too that `data.resize` cuts off: the animal is there, though the run did not see it."""
    noted: Any = _Noted(source)
    found = list(finding.find(trained, noted, most=0, filed=False))
    frames = map(resize.Frame.from_vector, noted.given['frame'])
    pairs = zip(frames, noted.given['keypoints'], strict=True)
    points = np.stack([resize.to_original(frame, xy) for frame, xy in pairs])
    names = tuple(getattr(source, 'keypoint_names', ()))
    xy, valid = wanted.landmarks(trained.method, found)
    side = float(np.median([np.sqrt(np.prod(one.size)) for one in found]))
    return Annotated(xy, valid, points, source.annotated, names, side)


def pictures(settings: Any, path: str, split: str) -> Any:
    """The annotated pictures of a folder, fitted as a config's `data` section says.

    Raises:
        UserError: they have no points.
    """
    settings = settings.to_dict()
    kept = {n: v for n, v in settings.get('options', {}).items() if n in _OPTIONS}
    settings |= {
        'source': 'folder', 'path': path, 'keypoints': '', 'temporal_gap': 0, 'rows': 0,
        'features': '', 'options': kept,
    }  # fmt: skip
    source = data.build(settings, split=split)
    if 'keypoints' not in source.truth:
        raise UserError(
            f'{path} has no annotated points: `landmarks` or `keypoints` of an annotations.npz'
        )
    if source[0]['keypoints'].ndim != 2:
        raise UserError(f'{path} has several animals a picture: kpd fit wants one')
    return source


def _there(shown: Annotated) -> Annotated:
    """Without the points that are annotated in none of the pictures."""
    kept = np.asarray(shown.visible.any(axis=0))
    names = shown.names or tuple(f'point_{k}' for k in range(len(kept)))
    if kept.all() or not kept.any():
        return shown
    left = [name for name, there in zip(names, kept, strict=True) if not there]
    logging.warning('annotated in no picture, left out: %s', ', '.join(left))
    names = tuple(name for name, there in zip(names, kept, strict=True) if there)
    points, visible = shown.points[:, kept], shown.visible[:, kept]
    return shown._replace(points=points, visible=visible, names=names)


def _fit(shown: Annotated) -> Fitted:
    try:
        fitted = fit_wanted(*shown[:4])
    except ValueError as error:
        raise UserError(f'kpd fit: {error}') from None
    if np.isnan(fitted.errors).all():
        raise UserError(
            'kpd fit: nothing can be told from the landmarks of this run: in these pictures '
            'they lie in one place, or hardly two of them are found; look at kpd report'
        )
    return fitted


def _told(fitted: Fitted, shown: Annotated) -> str:
    n, points = fitted.errors.shape
    means = of_mean_place(shown.points, shown.visible)
    mean = np.nanmean(np.where(np.isnan(fitted.errors), np.nan, means))
    each = ', '.join(f'{error:.1f}' for error in wanted.by_point(fitted.errors))
    return (
        f'{points} points from {int(fitted.map.used.sum())} landmarks of {n} pictures\n'
        f'error on pictures left out: mean {np.nanmean(fitted.errors):.2f} px, median '
        f'{np.nanmedian(fitted.errors):.2f} px; by point (median): {each}\n'
        f'error of the mean place of the others: mean {mean:.2f} px'
    )


def of_mean_place(points: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Errors `[N, T]` of the mean of the other pictures' points `[N, T, 2]`, NaN where there
    is nothing to measure, or no other."""
    there = np.where(visible[..., None], points, 0)
    others = visible.sum(axis=0) - visible
    mean = (there.sum(axis=0) - there) / np.maximum(others, 1)[..., None]
    errors = np.linalg.norm(mean - points, axis=-1)
    return np.where(visible & (others > 0), errors, np.nan)


def _measured(trained, fitted: Fitted, source, kept) -> str:
    shown = annotated(trained, source)
    found, there = fitted.map(shown.xy, shown.valid)
    errors = np.linalg.norm(found - shown.points[:, kept], axis=-1)
    errors = errors[shown.visible[:, kept] & there[:, None]]
    if not errors.size:
        return 'nothing: none of these points is visible where landmarks were found'
    few = f' ({", ".join(source.files)})' if len(there) <= _FEW else ''
    return (
        f'mean {errors.mean():.2f} px, median {np.median(errors):.2f} px in '
        f'{int(there.sum())} of {len(there)} pictures{few}'
    )


if __name__ == '__main__':
    sys.exit(cli.run(main))

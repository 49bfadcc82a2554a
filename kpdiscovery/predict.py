"""`kpd predict`: keypoints of your own pictures, in their own pixels.

IMAGES are pictures, folders, patterns, videos (every frame) or annotations of other tools,
whose pictures are taken. Writes keypoints.json (COCO keypoint format), keypoints.csv and
overlays/NAME.jpg, and where the method finds objects boxes.csv and masks/NAME.png;
with --deeplabcut also deeplabcut.csv, with --video films/VIDEO.mp4 of the overlays. NAME is that
of the picture below the directory all pictures share. After `kpd fit` also wanted.csv,
wanted.json and wanted/NAME.jpg, with the landmarks that it has learnt. Overlays fit a
screen: pictures below 256 px are enlarged by a whole factor, those above 1600 px shrunk.
Of videos --smooth steadies all that is written, and --trail shows in the video of the
overlays where keypoints come from.
"""

from __future__ import annotations

import json
import logging
import pathlib
import sys
from collections.abc import Iterable, Sequence

import numpy as np

from kpdiscovery import cli, finding, inference, pretrained, wanted
from kpdiscovery.data.files import outputs
from kpdiscovery.reporting import drawing, films, tracks
from kpdiscovery.reporting import overlays as overlay_lib
from kpdiscovery.reporting.annotations import (
    Found,
    coco,
    write_boxes,
    write_csv,
    write_deeplabcut,
)
from kpdiscovery.types import UserError


def main(argv: Sequence[str]) -> int:
    args, overrides = _parser().parse(argv)
    _check(args)
    trained = finding.adjust(
        inference.looking(
            pretrained.from_pretrained(args.pretrained, tuple(overrides))
            if args.pretrained
            else inference.load(args.workdir, overrides)
        ),
        keypoints=args.keypoints,
        min_confidence=args.min_confidence,
    )
    if args.smooth > 1 and not trained.method.ordered:
        raise UserError(
            f'--smooth: which keypoint of method {trained.config.method.name} is which '
            'from frame to frame is not known; leave it away'
        )
    told = wanted.load(args.workdir) if args.workdir else None
    if told and told.of not in ('', now := wanted.model(trained)):
        logging.warning('kpd fit saw another model: %s, now %s', told.of, now)
    if told and not trained.method.ordered and (args.keypoints or args.wide):
        raise UserError(
            'after kpd fit the wanted landmarks are told from as many keypoints a picture '
            'as it saw: leave --keypoints and --wide away, or remove wanted.npz'
        )
    out, source = (
        make_folder(args.out),
        finding.pictures(args.images, trained.config.data),
    )
    looks = (
        finding.by_shape(trained, source, args.keypoints)
        if args.wide
        else [finding.Look(trained, source, source.files, tuple(range(len(source))))]
    )
    found = write(out, looks, overlays=args.overlays, smooth=args.smooth)
    drawn = {'overlays': found}
    if told:
        drawn['wanted'] = write_wanted(out, looks, told, found, overlays=args.overlays)
    if args.deeplabcut:
        write_deeplabcut(out / 'deeplabcut.csv', found)
    if args.video is not None:
        for kind, points in drawn.items():
            films.write(out, points, args.video, trail=args.trail, kind=kind)
    count = sum(int(one.keypoints.valid.sum()) for one in found)
    print(f'{count} keypoints in {len(found)} pictures written to {out}')
    return 0


def _parser() -> cli.Parser:
    parser = cli.Parser('kpd predict', description=__doc__)
    parser.add_argument('images', nargs='+', metavar='IMAGES', help='files or folders')
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument('--workdir', help='of kpd train')
    model.add_argument(
        '--pretrained', metavar='NAME',
        help='a model that comes with the library (' + ', '.join(pretrained.names()) + '), a '
        'folder of kpd export, or hf://OWNER/REPOSITORY',
    )  # fmt: skip
    parser.add_argument('--out', required=True, help='folder to write to')
    parser.add_argument('--keypoints', type=int, help='K, if not as in training')
    parser.add_argument(
        '--min_confidence', type=float, help='drop keypoints below this'
    )
    parser.add_argument(
        '--overlays', choices=(*overlay_lib.LARGEST, 'no'), default='screen',
        help='size of the pictures with what was found drawn on them; default: screen',
    )  # fmt: skip
    parser.add_argument(
        '--wide', action='store_true',
        help='pictures keep their shape, the shorter side is as in training, and '
        'longer ones get more keypoints: for several objects a picture',
    )  # fmt: skip
    parser.add_argument(
        '--deeplabcut',
        action='store_true',
        help='write deeplabcut.csv too, as DeepLabCut has its labels',
    )
    parser.add_argument(
        '--video', type=float, metavar='FPS',
        help='make a video of the overlays of each folder, such as the frames of one '
        'video, with so many pictures a second',
    )  # fmt: skip
    parser.add_argument(
        '--trail', type=int, default=0, metavar='N',
        help='in that video, dots where keypoints were in the N frames before',
    )  # fmt: skip
    parser.add_argument(
        '--smooth', type=int, default=1, metavar='N',
        help='every landmark at the median of N frames (odd) of its video around each',
    )  # fmt: skip
    return parser


def _check(args):
    """Options that do not go together, told before anything is read."""
    cli.check_local(args.out)
    if args.video is not None and (args.video <= 0 or args.overlays == 'no'):
        raise UserError('--video=FPS needs overlays and a number above 0')
    if args.trail < 0 or (args.trail and args.video is None):
        raise UserError('--trail=N needs --video=FPS and a number of frames')
    if args.smooth < 1 or args.smooth % 2 == 0:
        raise UserError(f'--smooth={args.smooth}: wanted an odd number of frames')


def write(
    out: pathlib.Path,
    looks: Sequence[finding.Look],
    *,
    overlays: str = 'screen',
    smooth: int = 1,
) -> list[Found]:
    """All files of the command; returns what was found, without the maps.

    Args:
        overlays: 'screen', 'full' (as large as the pictures) or 'no'.
        smooth: landmarks are at medians of so many frames, see `tracks.smooth`; above 1
            all pictures are looked at before the first is drawn.
    """
    found, most = [], overlay_lib.LARGEST.get(overlays, 0)
    data = looks[0].trained.config.data
    reading = finding.reading(data, ('contrast', 'megapixels'))
    write_csv(out / outputs.POINTS, [])  # So that the pictures are known for ours.
    paths = [path for look in looks for path in look.source.paths]
    every: Iterable[Found] = (
        one for look in looks for one in finding.find(*look[:3], most=most)
    )
    if smooth > 1:
        every = tracks.smooth(list(every), smooth)
    for path, one in zip(paths, every, strict=True):
        if overlays != 'no':
            size = overlay_lib.canvas(one.size, most)
            image = overlay_lib.read(path, size, **reading)
            _save(
                out / 'overlays' / f'{one.file}.jpg',
                drawing.jpeg(overlay_lib.draw(image, one)),
            )
        if one.mask is not None:
            mask = drawing.png(one.mask, optimize=False)
            _save(out / 'masks' / f'{one.file}.png', mask)
        found.append(one._replace(instances=None, certainty=None, mask=None))
    order = np.argsort([row for look in looks for row in look.rows])
    found, names = [found[i] for i in order], data.get('class_names', ())
    (out / 'keypoints.json').write_text(json.dumps(coco(found, names), indent=1))
    write_csv(out / outputs.POINTS, found)
    if any(one.boxes is not None for one in found):
        write_boxes(out / 'boxes.csv', found, names)
    return found


def write_wanted(
    out: pathlib.Path,
    looks: Sequence[finding.Look],
    told: wanted.Wanted,
    found: Sequence[Found],
    *,
    overlays: str = 'screen',
) -> list[Found]:
    """Writes and returns the landmarks that `kpd fit` has learnt, of what was found in
    each picture."""
    data = looks[0].trained.config.data
    points = wanted.of_found(told, looks[0].trained.method, found)
    wanted.write_csv(out / 'wanted.csv', told, points)
    names = [told.name(k) for k in range(len(told.error))]
    content = coco(points, point_names=names)
    (out / 'wanted.json').write_text(json.dumps(content, indent=1))
    if overlays == 'no':
        return points
    paths = {row: path for look in looks
             for row, path in zip(look.rows, look.source.paths, strict=True)}  # fmt: skip
    for row, one in enumerate(points):
        size = overlay_lib.canvas(one.size, overlay_lib.LARGEST[overlays])
        options = finding.reading(data, ('contrast', 'megapixels'))
        image = overlay_lib.read(paths[row], size, **options)
        drawn = drawing.jpeg(overlay_lib.draw(image, one))
        _save(out / 'wanted' / f'{one.file}.jpg', drawn)
    return points


def make_folder(path: str) -> pathlib.Path:
    """The folder, made where it is missing."""
    try:
        pathlib.Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'--out={path}: {error.strerror or error}') from None
    return pathlib.Path(path)


def _save(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == '__main__':
    sys.exit(cli.run(main))

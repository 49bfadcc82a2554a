"""`kpd predict`: keypoints of your own pictures, in their own pixels.

IMAGES are pictures, folders, patterns, videos (every frame) or annotations of other tools,
whose pictures are taken. Writes keypoints.json (COCO keypoint format), keypoints.csv and
overlays/NAME.jpg, and where the method finds objects boxes.csv and masks/NAME.png;
with --deeplabcut also deeplabcut.csv, with --video films/overlays/VIDEO.mp4. NAME is that
of the picture below the directory all pictures share. Where pictures have several annotated
objects and are cut to their boxes, tables number these in a column `object`. After `kpd fit`
also wanted.csv, wanted.json and wanted/NAME.jpg, with the landmarks that it has learnt.
Overlays fit a screen: pictures below 256 px are enlarged by a whole factor, those above
1600 px shrunk. Of videos --smooth steadies all that is written, and --trail shows in the
video of the overlays where keypoints come from.
"""

from __future__ import annotations

import logging
import pathlib
import sys
from collections.abc import Sequence

from kpdiscovery import cli, finding, inference, pretrained, results, wanted
from kpdiscovery.data.files import outputs
from kpdiscovery.reporting import films
from kpdiscovery.reporting import overlays as overlay_lib
from kpdiscovery.reporting.annotations import write_deeplabcut
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
    _check_order(args, trained)
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
    _check_objects(args, source)
    before = outputs.times(out) if outputs.is_predicted(out) else {}
    looks = (
        finding.by_shape(trained, source, args.keypoints)
        if args.wide
        else [finding.Look(trained, source, source.files, tuple(range(len(source))))]
    )
    found = results.write(out, looks, overlays=args.overlays, smooth=args.smooth)
    drawn = {'overlays': found}
    if told:
        drawn['wanted'] = results.write_wanted(
            out, looks, told, found, overlays=args.overlays
        )
    if args.deeplabcut:
        write_deeplabcut(out / 'deeplabcut.csv', wanted.in_order(trained.method, found))
    if args.video is not None:
        for kind, points in drawn.items():
            films.write(out, points, args.video, trail=args.trail, kind=kind)
    if old := results.tell_earlier(out, before):
        logging.warning(
            '%s: of an earlier kpd predict are still %s: remove them, or give another --out',
            out, old,
        )  # fmt: skip
    count = sum(int(one.keypoints.valid.sum()) for one in found)
    pictures = len({one.file for one in found})
    print(f'{count} keypoints in {pictures} pictures written to {out}')
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
    if args.video is not None:
        films.opencv()
    if args.smooth < 1 or args.smooth % 2 == 0:
        raise UserError(f'--smooth={args.smooth}: wanted an odd number of frames')


def _check_order(args, trained):
    """What follows a keypoint through pictures must know which is which."""
    method = trained.method
    known = {
        '--smooth': method.ordered,
        '--deeplabcut': method.ordered or method.one_each,
    }
    asked = {'--smooth': args.smooth > 1, '--deeplabcut': args.deeplabcut}
    for name in known:
        if asked[name] and not known[name]:
            raise UserError(
                f'{name}: which keypoint of method {trained.config.method.name} is which '
                'from picture to picture is not known; leave it away'
            )


def _check_objects(args, source):
    if len(set(source.paths)) == len(source) or not (
        args.smooth > 1 or args.deeplabcut
    ):
        return
    name = '--deeplabcut' if args.deeplabcut else '--smooth'
    raise UserError(
        f'{name}: pictures have several annotated objects, and which is which from picture '
        'to picture is not known; leave it away'
    )


def make_folder(path: str) -> pathlib.Path:
    """The folder, made where it is missing."""
    try:
        pathlib.Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'--out={path}: {error.strerror or error}') from None
    return pathlib.Path(path)


if __name__ == '__main__':
    sys.exit(cli.run(main))

"""`kpd convert NAME --root=DIR`: a data set of the papers as a folder with annotations.

Of sets of pictures --out is a file, `annotations.npz`, whose names are below DIR (put
there, --data=DIR reads it); of sets of videos a folder, of the pictures that are cut from
them and their `annotations.npz`.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence

import tqdm

from kpdiscovery import cli, paths
from kpdiscovery.data import official
from kpdiscovery.data.files import videos
from kpdiscovery.data.official import h36m
from kpdiscovery.data.official.release import Release
from kpdiscovery.types import UserError


def main(argv: Sequence[str]) -> int:
    parser = cli.Parser('kpd convert', settings=False, description=__doc__)
    parser.add_argument('name', metavar='NAME', help=', '.join(official.RELEASES))
    parser.add_argument('--root', required=True, help='the unpacked official files')
    parser.add_argument(
        '--out', required=True, help='FILE.npz, or a folder of pictures'
    )
    parser.add_argument('--truth', default='', help='a file of points the set lacks')
    args = parser.parse_args(argv)
    release, out = official.named(args.name), pathlib.Path(args.out).expanduser()
    _check_out(release, out)
    cli.check_writable(out.parent)
    root = pathlib.Path(args.root).expanduser()
    table = official.read(args.name, root, truth=args.truth)
    file = out / 'annotations.npz' if release.clips else out
    if release.clips:
        _cut(release, root, out)
    paths.write_arrays(paths.folder(file), table)
    print(f'{len(table["files"])} rows of {release.title} written to {file}')
    if release.clips:
        print(f'read it with --data={out}')
    else:
        options = f'--data={args.root} --config.data.options.annotations={out}'
        print(f'read it with {options}')
    return 0


def _check_out(release: Release, out: pathlib.Path) -> None:
    if release.clips is None and out.suffix != '.npz':
        raise UserError(f'--out={out}: {release.name} becomes one file, FILE.npz')
    if release.clips is not None and (out.suffix == '.npz' or out.is_file()):
        raise UserError(f'--out={out}: {release.name} becomes a folder of pictures')


def _cut(release: Release, root: pathlib.Path, out: pathlib.Path) -> None:
    """The pictures of all videos; a second try goes on where the first stopped."""
    assert release.clips is not None
    for clip in tqdm.tqdm(release.clips(root), unit='video', disable=None):
        grounds = clip.masks and h36m.silhouettes(clip.masks, clip.frames)
        videos.cut(
            clip.video, clip.frames, [out / n for n in clip.names], grounds=grounds
        )


if __name__ == '__main__':
    sys.exit(cli.run(main))

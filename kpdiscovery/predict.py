"""`kpd predict`: keypoints of your own pictures, in their own pixels.

IMAGES are pictures, folders, patterns, videos (every frame) or annotations of other tools,
whose pictures are taken. Writes keypoints.json (COCO keypoint format), keypoints.csv and
overlays/NAME.jpg, and where the method finds objects boxes.csv and masks/NAME.png;
with --deeplabcut also deeplabcut.csv, with --video VIDEO.mp4 of the overlays. NAME is that
of the picture below the directory all pictures share. After `kpd fit` also wanted.csv,
wanted.json and wanted/NAME.jpg, with the landmarks that it has learnt. Overlays fit a
screen: pictures below 256 px are enlarged by a whole factor, those above 1600 px shrunk.
Of videos --smooth steadies all that is written, and --trail shows in the video of the
overlays where keypoints come from.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import tqdm

from kpdiscovery import cli, inference, pretrained, wanted
from kpdiscovery.data import box_crops, formats, resize
from kpdiscovery.data.files import folder, outputs
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

_READ = ('image', 'pixels_valid')  # Of a folder's rows.
_READING = ('method', 'contrast', 'megapixels')  # What data.options say of a folder.


def main(argv: Sequence[str]) -> int:
    args, overrides = _parser().parse(argv)
    _check(args)
    trained = adjust(
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
    out, source = make_folder(args.out), pictures(args.images, trained.config.data)
    looks = (
        by_shape(trained, source, args.keypoints)
        if args.wide
        else [Look(trained, source, source.files, tuple(range(len(source))))]
    )
    found = write(out, looks, overlays=args.overlays, smooth=args.smooth)
    drawn = {'overlays': found}
    if args.workdir and (told := wanted.load(args.workdir)):
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
    if args.video is not None and (args.video <= 0 or args.overlays == 'no'):
        raise UserError('--video=FPS needs overlays and a number above 0')
    if args.trail < 0 or (args.trail and args.video is None):
        raise UserError('--trail=N needs --video=FPS and a number of frames')
    if args.smooth < 1 or args.smooth % 2 == 0:
        raise UserError(f'--smooth={args.smooth}: wanted an odd number of frames')


class Look(NamedTuple):
    """Pictures that one model looks at in one size."""

    trained: inference.Trained
    source: folder.Folder
    names: tuple[str, ...]  # Of the pictures, below the directory that all looks share.
    rows: tuple[int, ...]  # Their places among all that were given.


def write(
    out: pathlib.Path,
    looks: Sequence[Look],
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
    reading = _options(data, ('contrast', 'megapixels'))
    write_csv(out / outputs.POINTS, [])  # So that the pictures are known for ours.
    paths = [path for look in looks for path in look.source.paths]
    every: Iterable[Found] = (
        one for look in looks for one in find(*look[:3], most=most)
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
    looks: Sequence[Look],
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
        options = _options(data, ('contrast', 'megapixels'))
        image = overlay_lib.read(paths[row], size, **options)
        drawn = drawing.jpeg(overlay_lib.draw(image, one))
        _save(out / 'wanted' / f'{one.file}.jpg', drawn)
    return points


def adjust(trained: inference.Trained, **options: Any) -> inference.Trained:
    """The same with options of the command changed; None leaves one as it was."""
    options = {name: value for name, value in options.items() if value is not None}
    method: Any = trained.method  # Some dataclass.
    fields = {}
    for name, value in options.items():
        if name not in method.predict_options:
            raise UserError(f'method {trained.config.method.name} has no --{name}')
        if value < (1 if name == 'keypoints' else 0):
            raise UserError(f'--{name} cannot be {value}')
        fields[method.predict_options[name]] = value
    changed = dataclasses.replace(method, **fields)
    if 'keypoints' in options:
        _check_keypoints(changed, trained)
    return trained._replace(method=changed)


def make_folder(path: str) -> pathlib.Path:
    """The folder, made where it is missing."""
    try:
        pathlib.Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'--out={path}: {error.strerror or error}') from None
    return pathlib.Path(path)


def pictures(names: Sequence[str], data: Any) -> folder.Folder:
    """Every picture of files and folders, each once, fitted as in training.

    To be cut to their boxes, pictures must come as one folder, with its annotations.
    """
    fitted = {'size': data.size, 'resize': data.resize, **_options(data, _READING)}
    if box_crops.is_box(data.resize) and len(names) == 1:
        there = formats.look(names[0], every=1)
        return folder.Folder(there.path, annotations=there.table, **fitted)
    found: dict[pathlib.Path, None] = {}
    for name in names:
        there = formats.look(name, every=1)
        root, files = folder.list_images(there.path)
        files = files if there.table is None else there.table['files'].tolist()
        found |= dict.fromkeys(root.resolve() / file for file in files)
    return folder.Folder(list(found), **fitted)


def by_shape(
    trained: inference.Trained, source: folder.Folder, keypoints: int | None = None
) -> list[Look]:
    """Pictures in their own shapes: objects are as large as those learnt from, if in one
    picture of training there was one.

    The shorter side has `data.size` pixels, the longer one a multiple of eight; what
    training cut off or padded is neither cut nor padded here. Longer
    pictures get more keypoints, in proportion, unless `keypoints` says how many.

    Raises:
        UserError: the method has a fixed number of keypoints.
    """
    method, data = trained.method, trained.config.data
    if 'keypoints' not in method.predict_options:
        raise UserError(f'--wide: method {trained.config.method.name} finds one object')
    field = method.predict_options['keypoints']
    usual = getattr(method, field) or method.num_keypoints
    groups: dict[tuple[int, int], list[int]] = {}
    for row in range(len(source)):
        size = _canvas(source[row]['frame'][4:], data.size)
        groups.setdefault(size, []).append(row)
    looks = []
    for size, rows in groups.items():
        paths = [source.paths[row] for row in rows]
        names = tuple(source.files[row] for row in rows)
        one = folder.Folder(
            paths, size=size, resize='stretch', **_options(data, _READING)
        )
        many = keypoints or round(usual * max(size) / min(size))
        looks.append(Look(adjust(trained, keypoints=many), one, names, tuple(rows)))
    return looks


def _canvas(original, side):
    """(H, W) for a picture of (W0, H0)."""
    longer = max(side, 8 * round(side * max(original) / min(original) / 8))
    return (side, longer) if original[0] >= original[1] else (longer, side)


def find(
    trained: inference.Trained,
    source: folder.Folder,
    names: Sequence[str] = (),
    *,
    most: int | None = None,
) -> Iterator[Found]:
    """Predictions of every picture, in order, mapped back to original pixels.

    Args:
        names: of the pictures; the source's own if not given.
        most: instances are given on a `canvas` of so many pixels (0: not at all).
    """
    size = min(trained.config.evaluation.batch_size, len(source))
    starts = range(0, len(source), size)
    for start in tqdm.tqdm(starts, desc='predicting', unit='batch', disable=None):
        rows = [source[i] for i in range(start, min(start + size, len(source)))]
        batch = {name: _stack(rows, name, size) for name in _READ if name in rows[0]}
        prediction = inference.predict_images(trained, batch['image'], batch)
        for place, row in enumerate(rows):
            file = (names or source.files)[start + place]
            yield _original(prediction, place, row['frame'], file, most)


def _stack(rows, name, size):
    """One shape for all batches: the last is filled up with zeros."""
    values = np.stack([row[name] for row in rows])
    return np.pad(values, [(0, size - len(rows)), *[(0, 0)] * (values.ndim - 1)])


def _options(data, names):
    return {name: data.options[name] for name in names if name in data.options}


def _save(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _check_keypoints(method, trained):
    """A map has only so many places; told before anything is computed."""
    side = trained.config.data.size
    image = jax.ShapeDtypeStruct((1, side, side, 3), np.float32)
    try:
        jax.eval_shape(method.predict, trained.variables, image)
    except ValueError as error:
        raise UserError(f'--keypoints: {error}') from error


def _original(prediction, place, vector, file, most):
    """One picture of a batch; points beyond its border do not count."""
    frame = resize.Frame.from_vector(vector)
    width, height = frame.original.astype(int).tolist()
    fitted = jax.tree.map(lambda leaf: leaf[place], prediction.keypoints)
    xy = resize.to_original(frame, fitted.xy)
    inside = ((xy >= -0.5) & (xy <= frame.original - 0.5)).all(-1)
    keypoints = fitted.replace(xy=xy, valid=fitted.valid & inside)
    found = _objects(Found(file, (height, width), keypoints), prediction, place, frame)
    if prediction.instances is None or most == 0:
        return found
    size = overlay_lib.canvas(found.size, most)
    frame = overlay_lib.on_canvas(frame, size)
    instances = _spread(prediction.instances[place], frame, size)
    if prediction.alphas is None:
        return found._replace(instances=instances)
    sure = _spread(drawing.certainty(prediction.alphas[place]), frame, size)
    return found._replace(instances=instances, certainty=sure)


def _objects(found, prediction, place, frame):
    """With the mask, the boxes and the class that the method may have found."""
    if prediction.mask is not None:
        mask = _spread(prediction.mask[place], frame, found.size)
        found = found._replace(mask=np.maximum(mask, 0))
    if prediction.boxes is not None:
        corners = prediction.boxes[place][prediction.boxes_valid[place]].reshape(
            -1, 2, 2
        )
        ends = np.clip(resize.to_original(frame, corners), -0.5, frame.original - 0.5)
        found = found._replace(boxes=ends.reshape(-1, 4))
    if prediction.class_logits is not None:
        shares = jax.nn.softmax(prediction.class_logits[place])
        label = int(shares.argmax())
        found = found._replace(label=label, confidence=float(shares[label]))
    return found


def _spread(values, frame, size):
    """A map `[h, w]` in the fitted frame on the original's pixels, -1 outside."""
    x, y = (
        np.round(np.arange(n) * scale + offset).astype(int)
        for n, scale, offset in zip(size[::-1], frame.scale, frame.offset, strict=True)
    )
    h, w = values.shape
    known = ((y >= 0) & (y < h))[:, None] & ((x >= 0) & (x < w))
    return np.where(known, values[y.clip(0, h - 1)[:, None], x.clip(0, w - 1)], -1)


if __name__ == '__main__':
    sys.exit(cli.run(main))

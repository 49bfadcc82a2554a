"""`kpd predict`: keypoints of your own pictures, in their own pixels.

Writes keypoints.json (COCO keypoint format), keypoints.csv and overlays/NAME.png;
pictures below 256 px are enlarged by a whole factor in their overlay.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tqdm

from kpdiscovery import cli, inference
from kpdiscovery.data import folder, resize
from kpdiscovery.reporting import drawing
from kpdiscovery.types import Keypoints, UserError

_READABLE = 256  # Pixels, longer side of an overlay at least.


class Found(NamedTuple):
    """What was found in one picture, in pixels of the original; leaves numpy."""

    file: str  # Below the directory that all pictures share.
    size: tuple[int, int]  # (H, W)
    keypoints: Keypoints  # [K]
    instances: np.ndarray | None  # [H, W]


def main(argv: Sequence[str]) -> int:
    parser = cli.Parser('kpd predict', description=__doc__)
    parser.add_argument('images', nargs='+', metavar='IMAGES', help='files or folders')
    parser.add_argument('--workdir', required=True, help='of kpd train')
    parser.add_argument('--out', required=True, help='folder to write to')
    parser.add_argument('--keypoints', type=int, help='K, if not as in training')
    parser.add_argument('--min_confidence', type=float, help='drop keypoints below this')
    args, _ = parser.parse(argv)
    trained = adjust(
        inference.load(args.workdir),
        predict_keypoints=args.keypoints,
        min_confidence=args.min_confidence,
    )
    out, source = make_folder(args.out), pictures(args.images, trained.config.data)
    found = []
    for path, one in zip(source.paths, find(trained, source), strict=True):
        draw(out / 'overlays' / f'{one.file}.png', folder.read_image(path), one)
        found.append(one._replace(instances=None))
    (out / 'keypoints.json').write_text(json.dumps(coco(found), indent=1))
    write_csv(out / 'keypoints.csv', found)
    count = sum(int(one.keypoints.valid.sum()) for one in found)
    print(f'{count} keypoints in {len(found)} pictures written to {out}')
    return 0


def adjust(trained: inference.Trained, **options: Any) -> inference.Trained:
    """The same with the method's options changed; None leaves one as it was."""
    options = {name: value for name, value in options.items() if value is not None}
    for name, value in options.items():
        if not hasattr(trained.method, name):
            raise UserError(f'method {trained.config.method.name} has no {name}')
        if value < (1 if name == 'predict_keypoints' else 0):
            raise UserError(f'{name.removeprefix("predict_")} cannot be {value}')
    return trained._replace(method=dataclasses.replace(trained.method, **options))


def make_folder(path: str) -> pathlib.Path:
    """The folder, made where it is missing."""
    try:
        pathlib.Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'--out={path}: {error.strerror or error}') from None
    return pathlib.Path(path)


def pictures(names: Sequence[str], data: Any) -> folder.Folder:
    """Every picture of files and folders, each once, fitted as in training."""
    found: dict[pathlib.Path, None] = {}
    for name in names:
        root, files = folder.list_images(name)
        found |= dict.fromkeys((root / file).absolute() for file in files)
    method = data.options.get('method', 'bilinear')
    return folder.Folder(list(found), size=data.size, resize=data.resize, method=method)


def find(trained: inference.Trained, source: folder.Folder) -> Iterator[Found]:
    """Predictions of every picture, in order, mapped back to original pixels."""
    size = min(trained.config.evaluation.batch_size, len(source))
    starts = range(0, len(source), size)
    for start in tqdm.tqdm(starts, desc='predicting', unit='batch', disable=None):
        rows = [source[i] for i in range(start, min(start + size, len(source)))]
        images = np.stack([row['image'] for row in rows])
        padded = np.pad(images, [(0, size - len(rows)), *[(0, 0)] * 3])  # One shape.
        try:
            prediction = inference.predict_images(trained, padded)
        except ValueError as error:  # More keypoints than the map has places.
            raise UserError(str(error)) from error
        for place, row in enumerate(rows):
            yield _original(prediction, place, row['frame'], source.files[start + place])


def coco(found: Sequence[Found]) -> dict[str, Any]:
    """COCO keypoint format; `labels` and `keypoint_scores` are ours.

    Points that do not count are (0, 0, 0), as COCO has it; otherwise (0, 0) is the
    centre of the first pixel.
    """
    most = max(len(one.keypoints.label) for one in found)
    category = {
        'id': 1,
        'name': 'object',
        'keypoints': [f'keypoint_{k}' for k in range(most)],
        'skeleton': [],
    }
    images = [
        {'id': i, 'file_name': one.file, 'height': one.size[0], 'width': one.size[1]}
        for i, one in enumerate(found, 1)
    ]
    notes = [_annotation(i, one) for i, one in enumerate(found, 1)]
    return {'images': images, 'annotations': notes, 'categories': [category]}


def write_csv(path: pathlib.Path, found: Sequence[Found]) -> None:
    """One line a keypoint, those that do not count included."""
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(('file', 'keypoint', 'x', 'y', 'score', 'label', 'valid'))
        for one in found:
            for k, (x, y, score, label, valid) in enumerate(_points(one.keypoints)):
                writer.writerow((one.file, k, x, y, score, label, int(valid)))


def draw(path: pathlib.Path, picture: Any, one: Found) -> None:
    """The picture with its instances and keypoints, as a PNG file."""
    image = np.asarray(picture)
    scale = drawing.zoom(image.shape, _READABLE)
    if one.instances is not None:
        valid = np.append(one.keypoints.valid, False)
        owner = np.where(valid[one.instances], one.instances, -1)
        regions = drawing.enlarge(owner, scale)
        image = drawing.enlarge(image, scale)
        image = drawing.draw_instances(image, regions, one.keypoints.label, opacity=0.3)
        points = one.keypoints.replace(xy=(one.keypoints.xy + 0.5) * scale - 0.5)
        image = drawing.draw_keypoints(image, points)
    else:
        image = drawing.draw_keypoints(image, one.keypoints, scale=scale)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(drawing.png(image))


def _original(prediction, place, vector, file):
    """One picture of a batch; points beyond its border do not count."""
    frame = resize.Frame.from_vector(vector)
    width, height = frame.original.astype(int).tolist()
    fitted = Keypoints(*(getattr(prediction.keypoints, f.name)[place]
                         for f in dataclasses.fields(Keypoints)))  # fmt: skip
    xy = resize.to_original(frame, fitted.xy)
    inside = ((xy >= -0.5) & (xy <= frame.original - 0.5)).all(-1)
    instances = prediction.instances
    if instances is not None:
        instances = _spread(instances[place], frame, (height, width))
    keypoints = fitted.replace(xy=xy, valid=fitted.valid & inside)
    return Found(file, (height, width), keypoints, instances)


def _spread(labels, frame, size):
    """Numbers `[h, w]` in the fitted frame on the original's pixels, -1 outside."""
    x, y = (
        np.round(np.arange(n) * scale + offset).astype(int)
        for n, scale, offset in zip(size[::-1], frame.scale, frame.offset, strict=True)
    )
    h, w = labels.shape
    known = ((y >= 0) & (y < h))[:, None] & ((x >= 0) & (x < w))
    return np.where(known, labels[y.clip(0, h - 1)[:, None], x.clip(0, w - 1)], -1)


def _points(keypoints):
    """(x, y, score, label, valid) of each keypoint, as written everywhere."""
    for xy, score, label, valid in zip(
        keypoints.xy, keypoints.score, keypoints.label, keypoints.valid, strict=True
    ):
        x, y, score = (round(float(value), 4) for value in (*xy, score))
        yield x, y, score, int(label), bool(valid)


def _annotation(number, one):
    points = list(_points(one.keypoints))
    kept = [point for point in points if point[4]]
    left, top = (min((p[axis] for p in kept), default=0) for axis in (0, 1))
    right, bottom = (max((p[axis] for p in kept), default=0) for axis in (0, 1))
    width, height = round(right - left, 4), round(bottom - top, 4)
    triples = [(x, y, 2) if valid else (0, 0, 0) for x, y, *_, valid in points]
    return {
        'id': number,
        'image_id': number,
        'category_id': 1,
        'keypoints': [value for triple in triples for value in triple],
        'num_keypoints': len(kept),
        'score': round(sum(point[2] for point in kept) / max(len(kept), 1), 4),
        'bbox': [left, top, width, height],
        'area': round(width * height, 4),
        'iscrowd': 0,
        'keypoint_scores': [point[2] for point in points],
        'labels': [point[3] for point in points],
    }


if __name__ == '__main__':
    sys.exit(cli.run(main))

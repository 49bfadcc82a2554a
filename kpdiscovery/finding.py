"""Your own pictures through a trained model, keypoints back in their own pixels."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import tqdm

from kpdiscovery import inference, paths
from kpdiscovery.data import box_crops, formats, resize
from kpdiscovery.data.files import folder
from kpdiscovery.reporting import drawing
from kpdiscovery.reporting import overlays as overlay_lib
from kpdiscovery.reporting.annotations import Found
from kpdiscovery.types import UserError

_READ = ('image', 'pixels_valid')  # Of a folder's rows.
_READING = ('method', 'contrast', 'megapixels')  # What data.options say of a folder.


class Look(NamedTuple):
    """Pictures that one model looks at in one size."""

    trained: inference.Trained
    source: folder.Folder
    names: tuple[str, ...]  # Of the pictures, below the directory that all looks share.
    rows: tuple[int, ...]  # Their places among all that were given.


def pictures(names: Sequence[str], data: Any) -> folder.Folder:
    """Every picture of files and folders, each once, fitted as in training.

    To be cut to their boxes, pictures must come as one folder, with its annotations or
    those that training had (`data.options.annotations`). Those cut to what moves are all
    looked at, annotated or not.
    """
    fitted = {'size': data.size, 'resize': data.resize, **reading(data, _READING)}
    moving, places = box_crops.is_moving(data.resize), [*map(paths.local, names)]
    if box_crops.is_box(data.resize) and not moving and len(names) == 1:
        there = formats.look(places[0], every=1)
        table = there.table or data.options.get('annotations')
        return folder.Folder(there.path, annotations=table, **fitted)
    found: dict[pathlib.Path, None] = {}
    for place in places:
        there = formats.look(place, every=1)
        root, files = folder.list_images(there.path)
        if there.table is not None and not moving:
            files = there.table['files'].tolist()
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
    looks, every, called = [], source.paths, source.files
    for size, rows in groups.items():
        files = [every[row] for row in rows]
        names = tuple(called[row] for row in rows)
        one = folder.Folder(
            files, size=size, resize='stretch', **reading(data, _READING)
        )
        many = keypoints or round(usual * max(size) / min(size))
        looks.append(Look(adjust(trained, keypoints=many), one, names, tuple(rows)))
    return looks


def find(
    trained: inference.Trained,
    source: folder.Folder,
    names: Sequence[str] = (),
    *,
    most: int | None = None,
    filed: bool = True,
) -> Iterator[Found]:
    """Predictions of every picture, in order, mapped back to original pixels.

    Args:
        filed: of the files as they are; else of pictures that the annotations have
            mirrored, as their points are.
        names: of the pictures; the source's own if not given.
        most: instances are given on a `canvas` of so many pixels (0: not at all).
    """
    size = min(trained.config.evaluation.batch_size, len(source))
    called = names or source.files
    mirrored = source.mirrored if filed else np.zeros(len(source), bool)
    starts = range(0, len(source), size)
    for start in tqdm.tqdm(starts, desc='predicting', unit='batch', disable=None):
        rows = [source[i] for i in range(start, min(start + size, len(source)))]
        batch = {name: _stack(rows, name, size) for name in _READ if name in rows[0]}
        prediction = inference.predict_images(trained, batch['image'], batch)
        for place, row in enumerate(rows):
            file = called[start + place]
            found = _original(prediction, place, row['frame'], file, most)
            yield _turned(found) if mirrored[start + place] else found


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


def _canvas(original, side):
    """(H, W) for a picture of (W0, H0)."""
    longer = max(side, 8 * round(side * max(original) / min(original) / 8))
    return (side, longer) if original[0] >= original[1] else (longer, side)


def _stack(rows, name, size):
    """One shape for all batches: the last is filled up with zeros."""
    values = np.stack([row[name] for row in rows])
    return np.pad(values, [(0, size - len(rows)), *[(0, 0)] * (values.ndim - 1)])


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


def _turned(found: Found) -> Found:
    """As it lies in the picture that was mirrored when it was read."""
    last = np.array([found.size[1] - 1, 0], np.float32)
    sign = np.array([-1, 1], np.float32)
    xy = last + sign * found.keypoints.xy
    keypoints = dataclasses.replace(found.keypoints, xy=xy)
    maps: dict[str, Any] = {
        name: None if value is None else value[:, ::-1]
        for name, value in found._asdict().items()
        if name in ('instances', 'certainty', 'mask')
    }
    boxes = found.boxes
    if boxes is not None:
        boxes = np.tile(last, 2) + np.tile(sign, 2) * boxes[:, [2, 1, 0, 3]]
    return found._replace(keypoints=keypoints, boxes=boxes, **maps)


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


def reading(data: Any, names: Sequence[str]) -> dict[str, Any]:
    """What data.options say of how pictures are read."""
    return {name: data.options[name] for name in names if name in data.options}

"""What `kpd predict` writes: tables whole or not at all, a drawing for every picture."""

from __future__ import annotations

import json
import pathlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from kpdiscovery import finding, paths, wanted
from kpdiscovery.data.files import outputs
from kpdiscovery.reporting import drawing, tracks
from kpdiscovery.reporting import overlays as overlay_lib
from kpdiscovery.reporting.annotations import Found, coco, write_boxes, write_csv


def write(
    out: pathlib.Path,
    looks: Sequence[finding.Look],
    *,
    overlays: str = 'screen',
    smooth: int = 1,
) -> list[Found]:
    """All files of the command; returns what was found, without the maps.

    Objects of one picture are drawn together, and share its mask.

    Args:
        overlays: 'screen', 'full' (as large as the pictures) or 'no'.
        smooth: landmarks are at medians of so many frames, see `tracks.smooth`; above 1
            all pictures are looked at before the first is drawn.
    """
    if not outputs.is_predicted(out):  # So that the pictures are known for ours.
        write_csv(out / outputs.POINTS, [])
    most = overlay_lib.LARGEST.get(overlays, 0)
    data = looks[0].trained.config.data
    places = [path for look in looks for path in look.source.paths]
    every: Iterable[Found] = (
        one for look in looks for one in finding.find(*look[:3], most=most)
    )
    if smooth > 1:
        every = tracks.smooth(list(every), smooth)
    found: list[Found] = []
    waiting, many = dict[pathlib.Path, list[Found]](), Counter(places)
    for path, one in zip(places, every, strict=True):
        waiting.setdefault(path, []).append(one)
        if len(waiting[path]) == many[path]:
            objects = waiting.pop(path)
            _draw(out / 'overlays', path, objects, most, data)
            _write_mask(out / 'masks', objects)
        found.append(one._replace(instances=None, certainty=None, mask=None))
    order = np.argsort([row for look in looks for row in look.rows])
    found, names = [found[i] for i in order], data.get('class_names', ())
    _write_json(out / 'keypoints.json', coco(found, names))
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
    _write_json(out / 'wanted.json', coco(points, point_names=names))
    places = {row: path for look in looks
             for row, path in zip(look.rows, look.source.paths, strict=True)}  # fmt: skip
    pictures: dict[pathlib.Path, list[Found]] = {}
    for row, one in enumerate(points):
        pictures.setdefault(places[row], []).append(one)
    for path, objects in pictures.items():
        most = overlay_lib.LARGEST.get(overlays, 0)
        _draw(out / 'wanted', path, objects, most, data)
    return points


def tell_earlier(out: pathlib.Path, before: Mapping[pathlib.Path, int]) -> str:
    """What of the files `before` (`outputs.times`) is as it was, in a few words."""
    now = outputs.times(out)
    old = Counter(
        path.relative_to(out).parts[0] for path, time in before.items()
        if now.get(path) == time
    )  # fmt: skip
    return ', '.join(
        f'{count} in {name}/' if (out / name).is_dir() else name
        for name, count in sorted(old.items())
    )


def _draw(folder, path, objects, most, data: Any):
    if not most:
        return
    size = overlay_lib.canvas(objects[0].size, most)
    reading = finding.reading(data, ('contrast', 'megapixels'))
    image = overlay_lib.draw(overlay_lib.read(path, size, **reading), *objects)
    _save(folder / f'{objects[0].file}.jpg', drawing.jpeg(image))


def _write_mask(folder, objects):
    masks = [one.mask for one in objects if one.mask is not None]
    if masks:
        mask = drawing.png(np.max(masks, axis=0), optimize=False)
        _save(folder / f'{objects[0].file}.png', mask)


def _write_json(path, content):
    paths.write(epath.Path(path), json.dumps(content, indent=1).encode())


def _save(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)

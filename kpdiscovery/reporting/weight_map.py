"""What only the report of the weight map has."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image

from kpdiscovery.reporting import drawing, logs, rounds
from kpdiscovery.reporting.page import Figure, Row, Section, picture
from kpdiscovery.reporting.seen import SHARP, Run, Seen

_SHOWN, _EPOCHS, _PICTURES = 12, 12, 6
_FOUND, _TRUE = (90, 200, 255), (255, 255, 255)


def sections(seen: Seen, run: Run) -> list[Section]:
    """Maps beside the truth, and the maps of held-out pictures as training went on."""
    return [maps(seen), epochs(run.workdir)]


def maps(seen: Seen) -> Section:
    """Picture, map and true mask side by side, with both boxes."""
    shown = range(min(_SHOWN, len(seen.images)))
    rows = [Row(list(_beside(seen, i)), seen.names[i]) for i in shown]
    note = (
        'The picture, its weight map and, where it is known, the true mask. Blue is the '
        'box of the map, white the true one.'
    )
    return Section('Maps', 'maps', note, rows=rows, compact=True)


def epochs(workdir: str | os.PathLike) -> Section:
    """A row an epoch: what the map shows of the same held-out pictures, and its box."""
    tables, images = logs.read_labels(workdir)
    tables = {step: table for step, table in tables.items() if 'map' in table}
    if images is None or not tables:
        note = 'This workdir holds no labels/: its training kept none.'
        return Section('Epochs', 'epochs', note)
    steps = rounds.spread(list(tables), _EPOCHS)
    rows = [_epoch(images, tables[step], step) for step in steps]
    note = (
        f'Held-out pictures through their maps after {len(rows)} of {len(tables)} '
        'epochs, with the box and the score S, the share of the map that lies in it. '
        'The state with the highest mean score was kept, but never that of step 0 or '
        'one whose boxes are as large as the pictures.'
    )
    return Section('Epochs', 'epochs', note, rows=rows)


def _epoch(images, table, step):
    count = min(_PICTURES, len(images), len(table['score']))
    figures = [_through(images[i], *(table[name][i] for name in ('map', 'box', 'score')))
               for i in range(count)]  # fmt: skip
    return Row(figures, f'{step} steps, S {table["score"][:count].mean():.2f} in these')


def _through(image, small, box, score) -> Figure:
    h, w = image.shape[:2]
    weight = np.asarray(Image.fromarray(np.float32(small)).resize((w, h)))
    scale = drawing.zoom((h, w), 150)
    large = drawing.enlarge(drawing.shine(image, weight), scale)
    boxed = drawing.draw_boxes(
        large, box[None] * np.array([w, h, w, h]) - 0.5, scale=scale, color=_FOUND
    )
    return picture(boxed, f'S {score:.2f}', width=150)


def _beside(seen, index):
    image, truth = seen.images[index], seen.found.truth
    scale = drawing.zoom(image.shape, SHARP)
    drawn = drawing.enlarge(drawing.as_uint8(image), scale)
    if 'boxes' in truth:
        true = truth['boxes'][index][truth['boxes_valid'][index]]
        drawn = drawing.draw_boxes(drawn, true, scale=scale, color=_TRUE)
    found = seen.found.prediction
    boxes = found.boxes[index][found.boxes_valid[index]]
    yield picture(drawing.draw_boxes(drawn, boxes, scale=scale, color=_FOUND), 'boxes')
    yield picture(found.mask[index], 'map')
    if 'mask' in truth:
        yield picture(truth['mask'][index].astype(np.float32), 'true mask')

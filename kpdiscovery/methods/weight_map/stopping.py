"""When to stop: the share of the map that lies in its box, on rows not learnt from."""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp

from kpdiscovery.methods import advice
from kpdiscovery.ops import images as image_ops
from kpdiscovery.ops import masks, reductions
from kpdiscovery.types import Batch, State, Sweep, SweepResult, Tree

THUMBNAIL = 32  # Side of the maps that are kept for the report.


def while_training(method, section) -> dict[str, Any]:
    """The sweep every `section['epoch']` steps, and the scalar to keep the best of.

    Nothing without held-out rows: then the last state is kept.
    """
    if not method.holdout:
        return {}
    sweep = Sweep(
        section['epoch'],
        _blank,
        functools.partial(_describe, method),
        functools.partial(_score, method),
        at_end=True,
        stride=method.holdout,
        advise=lambda scalars: advice.whole_boxes(float(scalars['whole_boxes'])),
    )
    return {'sweep': sweep, 'keep_best': 'score'}


def _blank(rows: int, labels: Tree, batch: Batch) -> Tree:
    del labels, batch
    return {
        'map': jnp.zeros((rows, THUMBNAIL, THUMBNAIL)),
        'box': jnp.zeros((rows, 4)),
        'score': jnp.zeros(rows),
    }


def _describe(method, state: State, batch: Batch, labels: Tree) -> Tree:
    """Score S of each picture, the share of it that its box covers, and for the report
    a small copy of the map and the box, in shares of the sides."""
    del labels
    images = method.crops.whole(image_ops.as_float(batch['image']))
    maps = method.mapper.apply(state.variables['map'], images)
    kept = masks.binary_threshold(maps, fraction=method.threshold)
    boxes, found = masks.largest_box(kept)
    lengths = boxes[:, 2:] - boxes[:, :2]
    area = jnp.where(found, lengths.prod(axis=-1), 0) / (maps.shape[1] * maps.shape[2])
    score = masks.weight_share(jnp.where(kept, maps, 0), boxes, found)
    small = image_ops.resize(maps[..., None], (THUMBNAIL, THUMBNAIL))[..., 0]
    sides = jnp.array([maps.shape[2], maps.shape[1]] * 2, jnp.float32)
    box = (boxes + 0.5) / sides[None]
    return {'score': score, 'area': area, 'map': small, 'box': box}


def _score(method, rows, state: State, key) -> SweepResult:
    """Means over the rows; a box as large as the picture holds all of any map, hence
    counts 0 (with `parity='paper'` 1). Before the first epoch, and where the mean box has
    `largest_area`, the score is -inf.
    """
    del key
    mean = lambda values: reductions.mean_where(values, rows['row_valid'])
    concentration, area = mean(rows['score']), mean(rows['area'])
    counts = (state.step > 0) & (area < method.largest_area)
    # None is whole before the first step, when all are.
    whole = (state.step > 0) & (rows['area'] > method.largest_area)
    telling = jnp.where(whole & (method.parity != 'paper'), 0, rows['score'])
    scalars = {
        'score': jnp.where(counts, mean(telling), -jnp.inf),
        'concentration': concentration,
        'box_area': area,
        'whole_boxes': mean(whole),
    }
    labels = {name: rows[name] for name in ('map', 'box', 'score')}
    return SweepResult(labels, state, scalars)

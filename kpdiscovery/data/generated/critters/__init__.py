"""Critters: drawn animals of twenty classes in clutter, with every kind of truth.

Side views of a jointed animal with a beak, an eye, a crest, a neck, a tail, a wing and
two legs, one to a picture unless asked for more. Twelve keypoints with visibility, part
map, mask, boxes, class, six part attributes and pose are all true by construction. A
class is a word over the six attributes (`classes`), any two different in at least three
of them; colours (but the legs'), sizes, pose, ground, light and camera are drawn
independently of it.

Levels: 'easy' has a plain ground, no occluder and half the ranges of pose, light and
noise; 'standard' 2 to 4 layers of ground, among them 16 shapes of the animals' kinds and
colours, and 0 to 2 occluders; 'hard' 1.5 times the ranges, 64 shapes, 0 to 3 occluders.

The rows are frozen (a test pins some of them): to change pictures, add a level. Between
machines, and between sizes of a batch, points differ by up to 1e-5 px and a few pixels by
one of 255, so compare rows with a tolerance.

How hard they are, level standard, 64 px, seed 0, 2,000 rows of the test split, printed by
`.venv/bin/python scripts/critters_difficulty.py FIGURE --size=64 OPTIONS` on one of two
shared CPU cores (EPYC), of which it had a third to two thirds:

    FIGURE OPTIONS                                                     (wanted)  seconds
    classifier --epochs=8 accuracy, ResNet, 20,000 rows    93.1 % (at least 90)      866
    masked --epochs=4     the same, head painted over      63.8 % (at least 60)      427
    regressor --epochs=8  PCK@0.1 of visible points        96.7 % (at least 95)     1131
    sift --rows=3000      forward NME; regressor's: 3.1 % 27.7 % (at least 6.2)       36
    linear --rows=4000    accuracy, ridge, 4 penalties       8.7 % (at most 25)       35
    boxes --rows=4000     GT-known localization             34.6 % (at most 45)       21
    points                greedy PCK@0.1, random points     29.9 % (at most 50)       16

0.1 and NME are of the longer side of the visible box (in greedy PCK's own unit, the
picture's shorter side, random points have 61.2 %); the net has half a million
parameters and knows the classes' words (`WORDS`); masked: a grey box over what is seen of
head, beak and crest, in training and in test; its shape may tell something of them. By
themselves attributes are right in 96.5 (beak), 96.6 (crest), 95.8 (wing), 95.6 (tail),
99.6 (leg) and 92.1 % (throat) of the rows. The hardest point is the tail tip, 78 %.
Nothing was measured at 128 px. A second of a CPU core draws 1,150 pictures of 64 px, after
6 to 14 s of compilation.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from kpdiscovery.data.generated import Generated
from kpdiscovery.data.generated.critters.anatomy import KEYPOINTS, PART_NAMES
from kpdiscovery.data.generated.critters.animals import CROWD, draw_animals
from kpdiscovery.data.generated.critters.chance import LEVELS, chance
from kpdiscovery.data.generated.critters.classes import (
    ATTRIBUTES,
    CODES,
    NUM_CLASSES,
    attributes_of,
)
from kpdiscovery.data.generated.critters.scenery import (
    light_of,
    photograph,
    smooth_field,
    stage,
)
from kpdiscovery.data.generated.critters.shapes import paint
from kpdiscovery.data.generated.critters.truth import part_boxes_of, truth_of
from kpdiscovery.types import Row, Tree, UserError

__all__ = [
    'ATTRIBUTES',
    'CODES',
    'KEYPOINTS',
    'LEVELS',
    'NUM_CLASSES',
    'PART_NAMES',
    'critters',
    'draw',
]

_SPLITS = {'train': 20_000, 'validation': 1_000, 'test': 2_000}  # Rows by default.


def critters(
    *,
    split: str,
    size: int = 64,
    level: str = 'standard',
    instances: int = 1,
    length: int | None = None,
) -> Generated:
    """The split's rows, at any size the same scenes.

    Args:
        split: 'train' (seed 0), 'validation' (1) or 'test' (2).
        size: side of the pictures.
        level: 'easy', 'standard' or 'hard'.
        instances: animals in every picture, 1 to 4.
        length: number of rows; by default 20,000, 1,000 and 2,000.

    Raises:
        UserError: there is no such split, level or number of animals.
    """
    if split not in _SPLITS:
        raise UserError(f'critters have the splits {list(_SPLITS)}, not {split!r}')
    if level not in LEVELS:
        raise UserError(f'critters have the levels {list(LEVELS)}, not {level!r}')
    if instances not in CROWD:
        raise UserError(f'critters come 1 to 4 in a picture, not {instances!r}')
    bound = _bound(size, level, instances)
    length = _SPLITS[split] if length is None else length
    return Generated(bound, {}, seed=list(_SPLITS).index(split), length=length)


@functools.cache  # Splits share one `draw`, hence one compilation.
def _bound(size, level, instances):
    return functools.partial(draw, size=size, level=level, instances=instances)


def draw(
    tables: Tree,
    key: jax.Array,
    *,
    size: int = 64,
    level: str = 'standard',
    instances: int = 1,
) -> Row:
    """One picture of N = `instances` animals; of several, the last is nearest.

    Args:
        tables: not used.
        key: chooses everything.
        size: side of the picture.
        level: a name in LEVELS.
        instances: animals in it, 1 to 4.

    Returns:
        `image` uint8 `[size, size, 3]`; `mask` bool and `parts` int32 `[size, size]`
        (index in PART_NAMES); `boxes` `[N, 4]` tight around the visible pixels,
        `boxes_valid` `[N]` (False: wholly hidden); `attributes` {name: int32 `[N]`};
        `pose` {'facing', 'rotation' (radians), 'foreshortening', 'scale' `[N]`,
        'angles' `[N, bones]`}. For one animal `label` int32, `keypoints` `[12, 2]`
        and `visible` `[12]` in the order of KEYPOINTS, `part_boxes` `[5, 4]` and
        `part_label` `[5]` (`part_boxes_of`); for several the first three with an axis N
        in front, and `instances` int32 `[size, size]`, -1 on the ground.
    """
    grade = LEVELS[level]
    luck = chance(key, grade, animals=instances, size=size)
    label = jnp.floor(NUM_CLASSES * luck.label).astype(jnp.int32)
    animals, points, pose = draw_animals(luck, label, grade.reach, size)
    canvas, shapes, before = stage(luck, animals, grade, size)
    # Surfaces are mottled; the same smooth field serves all of them.
    texture = 1 + 0.25 * grade.reach * smooth_field(luck.fields[1], size)
    light = light_of(luck.light, grade.reach)
    canvas, top = paint(canvas, shapes, light, texture)
    own = {'label': label, 'keypoints': points}
    row = {**own, **truth_of(shapes, top, points, before)}
    if instances == 1:
        row.pop('instances')
        row |= {name: row[name][0] for name in ('label', 'keypoints', 'visible')}
        row |= part_boxes_of(row['parts'])
    image = photograph(canvas, luck.light, luck.noise, grade.reach)
    return {**row, 'image': image, 'attributes': attributes_of(label), 'pose': pose}

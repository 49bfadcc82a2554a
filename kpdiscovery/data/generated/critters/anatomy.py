"""The animal as tables: bones, the shapes and keypoints they carry.

The animal looks along +x, y is up, its body is one unit long. A bone's own frame starts
at its joint, x along it and y to the left of that, in multiples of its `unit`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kpdiscovery.data.generated.critters.classes import ATTRIBUTES


class Bone(NamedTuple):
    """Angles in degrees from the parent's, of which a share `follow` is kept."""

    parent: str
    attach: tuple[float, float]  # Joint in the parent's frame.
    rest: float
    swing: float  # The angle is uniform in rest +- swing.
    unit: float
    group: str  # Bones of a group grow together.
    follow: float = 1.0


BONES = {
    'body': Bone('body', (0, 0), 0, 0, 1.0, 'body'),
    'neck': Bone('body', (0.3, 0.1), 66, 20, 0.17, 'neck'),
    'nape': Bone('neck', (1, 0), 5, 20, 0.25, 'neck'),
    'head': Bone('nape', (1.2, 0), -27, 20, 0.3, 'head', 0.4),
    'tail': Bone('body', (-0.42, 0.05), 168, 24, 0.17, 'tail'),
    'tail2': Bone('tail', (1, 0), 0, 18, 0.17, 'tail'),
    'tail3': Bone('tail2', (1, 0), 0, 18, 0.17, 'tail'),
    'thigh': Bone('body', (-0.12, -0.14), -101, 22, 0.25, 'leg'),
    'shin': Bone('thigh', (1, 0), 18, 18, 0.25, 'leg'),
    'foot': Bone('shin', (1, 0), 0, 6, 0.11, 'leg', 0.0),
    'thigh2': Bone('body', (0.12, -0.13), -80, 22, 0.25, 'leg'),
    'shin2': Bone('thigh2', (1, 0), 12, 18, 0.25, 'leg'),
    'foot2': Bone('shin2', (1, 0), 0, 6, 0.11, 'leg', 0.0),
    'arm': Bone('body', (0.14, 0.08), 144, 44, 0.31, 'wing'),
    'hand': Bone('arm', (1, 0), 0, 16, 0.31, 'wing'),
}
GROUPS = {
    'body': 0.1,
    'neck': 0.2,
    'head': 0.08,
    'tail': 0.15,
    'leg': 0.18,
    'wing': 0.1,
}
LIMBS = ('ground', 'head', 'body', 'wing', 'tail', 'leg', 'far leg')
PART_NAMES = ('ground', 'head', 'body', 'wing', 'tail', 'legs')
PART_OF = np.array([0, 1, 2, 3, 4, 5, 5], np.int32)  # Of limbs: legs are one part.
COLORS = ('body', 'belly', 'head', 'wing', 'mark', 'tail', 'crest', 'beak', 'leg',
          'far leg', 'patch', 'white', 'black')  # fmt: skip


class Stroke(NamedTuple):
    """A shape on a bone; geometry (ax, ay, bx, by, ra, rb, bulge, blunt), see `Shapes`.

    Either one geometry for all, or one for each value of an attribute.
    """

    bone: str
    limb: str
    color: str
    geometry: tuple
    attribute: str = ''


_NONE = (0, 0, 0, 0, -9, -9, 0, 0)


def _disc(x, y, r):
    return (x, y, x, y, r, r, 0, 0)


def _line(ax, ay, bx, by, ra, rb, bulge=0, blunt=0):
    return (ax, ay, bx, by, ra, rb, bulge, blunt)


_LEG = (_line(0, 0, 1, 0, 0.36, 0.27), _line(0, 0, 1, 0, 0.27, 0.24),
        _line(-0.3, 0, 1.2, 0, 0.55, 0.4))  # fmt: skip
STROKES = {  # From far to near.
    'thigh2': Stroke('thigh2', 'far leg', 'far leg', _LEG[0]),
    'shin2': Stroke('shin2', 'far leg', 'far leg', _LEG[1]),
    'foot2': Stroke('foot2', 'far leg', 'far leg', _LEG[2]),
    'tail': Stroke('tail', 'tail', 'tail', _line(0, 0, 1, 0, 0.6, 0.5)),
    'tail2': Stroke('tail2', 'tail', 'tail', _line(0, 0, 1, 0, 0.5, 0.42)),
    'end': Stroke('tail3', 'tail', 'tail', (
        _line(0, 0, 1.9, 0, 0.42, 0.2), _line(0, 0, 1.8, -1.4, 0.42, 0.2),
        _line(-0.4, 0, 1.6, 0, 0.2, 1.7, 0, 1)), 'tail'),
    'end2': Stroke('tail3', 'tail', 'tail', (
        _NONE, _line(0, 0, 1.8, 1.4, 0.42, 0.2), _NONE), 'tail'),
    'neck': Stroke('neck', 'body', 'body', _line(-0.3, 0, 1, 0, 0.8, 0.6)),
    'nape': Stroke('nape', 'body', 'body', _line(0, 0, 1, 0, 0.46, 0.46)),
    'body': Stroke('body', 'body', 'body', _line(-0.27, 0, 0.24, 0.01, 0.19, 0.24, 0.02)),
    'belly': Stroke('body', 'body', 'belly', _line(-0.2, -0.1, 0.26, -0.09, 0.06, 0.1)),
    'crest': Stroke('head', 'head', 'crest', (
        _line(-0.4, 0.6, -2.2, 0.9, 0.55, 0.3), _line(-0.75, 0.4, -1.2, 1.95, 0.5, 0.1),
        _disc(0, 1.65, 0.85)), 'crest'),
    'crest2': Stroke('head', 'head', 'crest', (
        _NONE, _line(0, 0.7, 0, 2.3, 0.5, 0.1), _line(0, 0.7, 0, 1.6, 0.2, 0.2)),
        'crest'),
    'crest3': Stroke('head', 'head', 'crest', (
        _NONE, _line(0.75, 0.4, 1.2, 1.95, 0.5, 0.1), _NONE), 'crest'),
    'hook': Stroke('head', 'head', 'beak', (
        _NONE, _NONE, _line(1.7, -0.1, 1.6, -1.4, 0.55, 0.3)), 'beak'),
    'beak': Stroke('head', 'head', 'beak', (
        _line(0.7, -0.1, 2.9, -0.2, 0.4, 0.25), _line(0.5, -0.1, 1.7, -0.15, 1.0, 0.15),
        _line(0.75, 0, 1.6, 0, 0.55, 0.6)), 'beak'),
    'head': Stroke('head', 'head', 'head', _line(-0.1, 0, 0.25, -0.05, 1.0, 0.85)),
    'bib': Stroke('body', 'body', 'patch', (
        _NONE, _line(0.36, 0.1, 0.31, -0.1, 0.1, 0.13), _NONE), 'throat'),
    'collar': Stroke('nape', 'body', 'patch', (
        _NONE, _NONE, _line(-0.45, 0, 0.25, 0, 0.66, 0.56, 0, 1)), 'throat'),
    'eye': Stroke('head', 'head', 'white', _disc(0.3, 0.2, 0.36)),
    'pupil': Stroke('head', 'head', 'black', _disc(0.34, 0.2, 0.2)),
    'thigh': Stroke('thigh', 'leg', 'leg', _LEG[0]),
    'shin': Stroke('shin', 'leg', 'leg', _LEG[1]),
    'foot': Stroke('foot', 'leg', 'leg', _LEG[2]),
    'hand': Stroke('hand', 'wing', 'wing', _line(-0.2, 0, 1.15, 0, 0.56, 0.14, 0.08)),
    'arm': Stroke('arm', 'wing', 'wing', _line(0, 0, 1, 0, 0.5, 0.56, 0.05)),
    'mark': Stroke('arm', 'wing', 'mark', (
        _line(0.2, -0.5, 0.2, 0.5, 0.15, 0.15), _disc(0.15, 0.1, 0.28), _NONE), 'wing'),
    'mark2': Stroke('arm', 'wing', 'mark', (
        _line(0.8, -0.52, 0.8, 0.52, 0.15, 0.15), _disc(0.85, -0.15, 0.28), _NONE),
        'wing'),
    'mark3': Stroke('hand', 'wing', 'mark', (
        _line(0.4, -0.42, 0.4, 0.42, 0.15, 0.15), _disc(0.5, 0.05, 0.28),
        _line(0.25, 0, 1.2, 0, 0.52, 0.12)), 'wing'),
}  # fmt: skip


class Mark(NamedTuple):
    """A keypoint: `reach` bone units from `anchor` towards `towards`.

    `anchor` is one point or one for each value of an attribute. Parts painted over
    `stroke` hide the point, but for those of its own `limbs`.
    """

    bone: str
    anchor: tuple
    stroke: str
    limbs: tuple[str, ...]
    towards: tuple[float, float] = (0, 1)
    reach: float = 0.0
    attribute: str = ''


KEYPOINTS = {
    'beak tip': Mark('head', ((3.0, -0.2), (1.75, -0.15), (1.6, -1.5)), 'beak',
                     ('head',), attribute='beak'),
    'eye': Mark('head', (0.32, 0.2), 'eye', ('head',)),
    'crown': Mark('head', (0, 0), 'head', ('head',), (0, 1), 0.95),
    'nape': Mark('nape', (0.3, 0), 'nape', ('head', 'body'), (0, 1), 0.44),
    'throat': Mark('nape', (0.3, 0), 'nape', ('head', 'body'), (0, -1), 0.44),
    'shoulder': Mark('arm', (0, 0), 'body', ('body', 'wing')),
    'wing tip': Mark('hand', (1.2, 0), 'hand', ('wing',)),
    'rump': Mark('body', (-0.27, 0), 'body', ('body', 'tail'), (-0.6, 0.8), 0.18),
    'tail tip': Mark('tail3', ((1.9, 0), (0.45, 0), (1.55, 0)), 'end', ('tail',),
                     attribute='tail'),  # Of a fork, where its prongs part.
    'belly': Mark('body', (0.02, 0), 'body', ('body',), (0, -1), 0.225),
    'near foot': Mark('foot', (0.3, 0), 'foot', ('leg',)),
    'far foot': Mark('foot2', (0.3, 0), 'foot2', ('far leg',)),
}  # fmt: skip
_NAMES = list(ATTRIBUTES)


def pick(entries, field: str) -> tuple[np.ndarray, np.ndarray]:
    """A field of every entry for the 3 values of its attribute, and the attribute.

    Returns:
        float32 `[entries, 3, numbers]` and int32 `[entries]` (0 where none matters).
    """
    values = [getattr(entry, field) for entry in entries]
    table = [
        v if e.attribute else (v,) * 3 for v, e in zip(values, entries, strict=True)
    ]
    which = [_NAMES.index(e.attribute) if e.attribute else 0 for e in entries]
    return np.array(table, np.float32), np.array(which, np.int32)


def indices(entries, field: str, names) -> np.ndarray:
    """Where a field of every entry stands in `names`, int32 `[entries]`."""
    names = list(names)
    return np.array([names.index(getattr(e, field)) for e in entries], np.int32)

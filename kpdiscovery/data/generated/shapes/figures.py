"""What the drawings consist of: figures, boards, and the points to be found on them.

All lengths are shares of the picture's side, (x right, y down).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.data.generated import draw_uniform
from kpdiscovery.ops import homographies, warps
from kpdiscovery.types import Array

SHARES = {  # Pictures of each kind, in proportion.
    'lines': 1.0, 'polygon': 1.0, 'polygons': 1.0, 'ellipses': 0.3, 'star': 1.0,
    'checkerboard': 1.0, 'stripes': 0.2, 'box': 1.0, 'noise': 0.1,
}  # fmt: skip
KINDS = tuple(SHARES)
MOST = 8  # Figures in a picture.
CORNERS = 7  # Of a figure.
MOST_POINTS = MOST * CORNERS
ROWS, COLUMNS = 6, 12  # Most cells of a board.
_FLAT = math.cos(math.radians(130))  # Flatter corners are no points.


class Chance(NamedTuple):
    """Uniform numbers of a picture, drawn at once: draws are dear."""

    kind: Array  # [1]
    count: Array  # [1]
    center: Array  # [MOST, 2]
    extent: Array  # [MOST, 4]
    corner: Array  # [MOST, CORNERS, 2]
    color: Array  # [MOST]
    board: Array  # [12]
    bounds: Array  # [COLUMNS]
    cells: Array  # [ROWS, COLUMNS]
    ground: Array  # [8]
    fields: Array  # [2, 6, 6]
    noise: Array  # [size, size]; last, so that all sizes show the same drawing.


def chance(key: jax.Array, size: int) -> Chance:
    """The numbers of a picture of side `size`."""
    shapes = Chance((1,), (1,), (MOST, 2), (MOST, 4), (MOST, CORNERS, 2), (MOST,), (12,),
                    (COLUMNS,), (ROWS, COLUMNS), (8,), (2, 6, 6), (size, size))  # fmt: skip
    return draw_uniform(key, shapes)


class Figures(NamedTuple):
    """Leaves `[MOST, ...]`: polygons seen whole from their centre, or ellipses."""

    center: Array  # [2]
    corners: Array  # [CORNERS, 2] from the centre, in order; repeated to fill up.
    axes: Array  # [3] radii and angle of an ellipse; radius 0: a polygon.
    color: Array  # [] gray level
    there: Array  # [] bool


class Board(NamedTuple):
    """Cells in perspective; bounds are shares of its sides, 2 beyond the last."""

    warp: warps.Homography  # From the picture to the board's unit square.
    columns: Array  # [COLUMNS + 1]
    rows: Array  # [ROWS + 1]
    there: Array  # [] bool


class Drawing(NamedTuple):
    """One picture's contents."""

    figures: Figures
    board: Board
    points: Array  # [MOST_POINTS, 2]
    there: Array  # [MOST_POINTS] bool


def draw_figures(luck: Chance, kind: Array) -> Drawing:
    """The contents of one picture of a kind (index in KINDS)."""
    made = {
        'lines': _lines(luck),
        'polygon': _polygons(luck, 1, 0.12, 0.45),
        'polygons': _polygons(luck, MOST, 0.06, 0.22),
        'ellipses': _ellipses(luck),
        'star': _star(luck),
        'box': _box(luck),
    }
    nothing = jax.tree.map(jnp.zeros_like, made['lines'])
    checkered, striped = _checkerboard(luck), _stripes(luck)
    boards = {'checkerboard': checkered, 'stripes': striped}
    full = [
        made.get(k) or (nothing[0], *boards.get(k, (striped[0], *nothing[1:]))[1:])
        for k in KINDS
    ]
    pick = lambda *leaves: jnp.stack(leaves)[kind]
    shown, points, there = jax.tree.map(pick, *full)
    is_board = [kind == KINDS.index(k) for k in boards]
    board = jax.tree.map(
        lambda a, b: jnp.where(is_board[0], a, b), checkered[0], striped[0]
    )
    board = board._replace(there=is_board[0] | is_board[1])
    return Drawing(shown, board, points, there)


def _lines(luck):
    """Segments that do not cross, their ends not close to another."""
    a = between(luck.center, 0.02, 0.98)
    b = between(luck.corner[:, 0], 0.02, 0.98)
    long = jnp.linalg.norm(b - a, axis=-1) > 0.15
    there = _choose(_number(luck, 1, MOST), _meet(a, b), long)
    shown = _strokes(a, b, between(luck.extent[:1, 0], 0.008, 0.02), luck, there)
    return shown, *_points(
        jnp.stack([a, b], axis=1), there[:, None] & jnp.ones((1, 2), bool)
    )


def _polygons(luck, most, low, high):
    """Polygons of 3 to 7 corners at uneven distances, none on another."""
    radius = between(luck.extent[:, 0], low, high)
    center = between(luck.center, 0.1, 0.9)
    corners, own = _ring(luck, 3, CORNERS, 0.4, radius)
    gap = jnp.linalg.norm(center[:, None] - center[None], axis=-1)
    meet = gap < radius[:, None] + radius[None]
    there = _choose(_number(luck, 1, most), meet, jnp.ones(MOST, bool))
    sharp = own & _sharp(corners)
    shown = Figures(center, corners, jnp.zeros((MOST, 3)), luck.color, there)
    return shown, *_points(center[:, None] + corners, sharp & there[:, None])


def _ellipses(luck):
    axes = between(luck.extent[:, :2], 0.04, 0.2)
    center = between(luck.center, 0.05, 0.95)
    reach = axes.max(axis=-1)
    gap = jnp.linalg.norm(center[:, None] - center[None], axis=-1)
    there = _choose(
        _number(luck, 1, MOST), gap < reach[:, None] + reach[None], jnp.ones(MOST, bool)
    )
    axes = jnp.concatenate([axes, math.pi * luck.extent[:, 2:3]], axis=1)
    shown = Figures(center, jnp.zeros((MOST, CORNERS, 2)), axes, luck.color, there)
    return shown, *_points(jnp.zeros((MOST, 1, 2)), jnp.zeros((MOST, 1), bool))


def _star(luck):
    """Three to five strokes from one centre."""
    center = between(luck.center[0], 0.25, 0.75)
    ring, own = _ring(luck, 3, 5, 0.3, between(luck.extent[:, 0], 0.15, 0.5))
    tips, there = center[None] + ring[0], own[0]
    fill = [(0, MOST - CORNERS), (0, 0)]
    tips, there = jnp.pad(tips, fill), jnp.pad(there, fill[0])
    start = jnp.broadcast_to(center, tips.shape)
    shown = _strokes(start, tips, between(luck.extent[:1, 1], 0.008, 0.02), luck, there)
    points = jnp.stack([tips, start], axis=1)
    first = jnp.arange(MOST) == 0
    return shown, *_points(points, jnp.stack([there, first], axis=1))


def _box(luck):
    """Three faces of a turned box and its seven visible corners."""
    turn = between(luck.board[:3], math.radians(18), math.radians(72))
    spin = 2 * math.pi * luck.board[3]
    sides = between(luck.board[4:7], 0.2, 0.6) * between(luck.board[7], 0.6, 1.0)
    axes = _rotation(turn) * sides.reshape(1, 3) / 2  # Columns: half edges.
    axes = axes * jnp.sign(axes[2:]) * jnp.ones((3, 1))  # Towards the viewer.
    c, s = jnp.cos(spin), jnp.sin(spin)
    flat = (jnp.stack([jnp.stack([c, -s]), jnp.stack([s, c])]) @ axes[:2]).T  # [3, 2]
    center = between(luck.center[0], 0.3, 0.7)
    signs = jnp.array([[1, 1], [-1, 1], [-1, -1], [1, -1], [1, -1], [1, -1], [1, -1]])
    faces = [(0, 1, 2), (1, 2, 0), (2, 0, 1)]
    corners = jnp.stack(
        [signs.astype(jnp.float32) @ flat[jnp.array([j, k])] for _, j, k in faces]
    )
    middles = jnp.stack([center + flat[i] for i, _, _ in faces])
    more = [(0, MOST - 3)]
    shown = Figures(
        jnp.pad(middles, [*more, (0, 0)]),
        jnp.pad(corners, [*more, (0, 0), (0, 0)]),
        jnp.zeros((MOST, 3)),
        (luck.color[0] + 0.3 * jnp.arange(MOST)) % 1,  # No two faces alike.
        jnp.arange(MOST) < 3,
    )
    cube = jnp.stack([jnp.array([x, y, z]) for x in (1.0, -1.0) for y in (1.0, -1.0)
                      for z in (1.0, -1.0)])[:7]  # Without the hidden one.  # fmt: skip
    return shown, *_points(
        (center[None] + cube @ flat)[:, None], jnp.ones((7, 1), bool)
    )


def _checkerboard(luck):
    number = jnp.floor(3 + 4 * luck.board[:2])
    even = lambda count, most: jnp.where(
        jnp.arange(most + 1) <= count, jnp.arange(most + 1) / count, 2.0
    )
    board = Board(
        _place(luck), even(number[0], COLUMNS), even(number[1], ROWS), jnp.array(True)
    )
    return board, *_crossings(board, 7, board.rows)


def _stripes(luck):
    count = jnp.floor(5 + 8 * luck.board[0])
    widths = jnp.where(jnp.arange(COLUMNS) < count, 0.5 + luck.bounds, 0)
    ends = jnp.concatenate([jnp.zeros(1), jnp.cumsum(widths)]) / widths.sum()
    columns = jnp.where(jnp.arange(COLUMNS + 1) <= count, ends, 2.0)
    rows = jnp.where(jnp.arange(ROWS + 1) <= 1, jnp.arange(ROWS + 1), 2.0)
    board = Board(_place(luck), columns, rows, jnp.array(True))
    return board, *_crossings(board, COLUMNS + 1, jnp.array([0.0, 1.0]))


def _place(luck):
    """Where the board lies: most of the picture, its corners shaken."""
    half = between(luck.board[2], 0.3, 0.55)
    reach = 0.05 + 0.12 * luck.board[3]
    square = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    shaken = reach * (2 * luck.board[4:12].reshape(4, 2) - 1)
    quad = 0.5 + half * (2 * square - 1) + shaken
    return homographies.fit_homography(quad, square)


def _crossings(board, columns, rows):
    """Where its lines cross, in the picture."""
    x, y = jnp.meshgrid(board.columns[:columns], rows)
    grid = jnp.stack([x.ravel(), y.ravel()], axis=-1)
    seen = warps.transform_points(warps.invert(board.warp), grid)
    return _points(seen[:, None], (grid <= 1).all(axis=-1)[:, None])


def between(u: Array, low: float, high: float) -> Array:
    """Uniform in [low, high] from uniform in [0, 1]."""
    return low + (high - low) * u


def _number(luck, low, high):
    return jnp.floor(low + (high - low + 1) * luck.count[0])


def _choose(number, meet, wanted):
    """The first `number` that meet none taken before: bool `[MOST]`."""
    taken = jnp.zeros(MOST, bool)
    for i in range(MOST):
        free = ~(meet[i] & taken).any() & wanted[i]
        taken = taken.at[i].set(free & (taken.sum() < number))
    return taken


def _meet(a, b):
    """Whether segments cross or nearly touch, `[MOST, MOST]`."""
    side = lambda p, q, r: _cross(q - p, r - p)
    a0, b0, a1, b1 = a[:, None], b[:, None], a[None], b[None]
    across = (side(a0, b0, a1) * side(a0, b0, b1) < 0) & (
        side(a1, b1, a0) * side(a1, b1, b0) < 0
    )
    near = _to_segment(a1, a0, b0) | _to_segment(b1, a0, b0)
    return across | near | near.T


def _to_segment(point, a, b):
    along = jnp.sum((point - a) * (b - a), -1) / jnp.maximum(
        jnp.sum((b - a) ** 2, -1), 1e-9
    )
    foot = a + jnp.clip(along, 0, 1)[..., None] * (b - a)
    return jnp.linalg.norm(point - foot, axis=-1) < 0.06


def _ring(luck, low, high, least, radius):
    """`low` to `high` corners around each centre, `[MOST, CORNERS, 2]`, and which are
    its own rather than repetitions of the last."""
    number = jnp.floor(low + (high - low + 1) * luck.extent[:, 3:4])
    place = jnp.arange(CORNERS).reshape(1, CORNERS)
    own = place < number
    place = jnp.minimum(place, number - 1)
    last = jnp.clip(number.astype(jnp.int32) - 1, 0, CORNERS - 1)
    index = jnp.minimum(jnp.arange(CORNERS).reshape(1, CORNERS), last)
    u = jnp.take_along_axis(luck.corner, index[..., None], axis=1)
    spin = 2 * math.pi * luck.extent[:, 2:3]
    # Neighbours less than half a turn apart, so that the centre sees every side.
    angle = spin + 2 * math.pi * (place + 0.35 * u[..., 0]) / number
    length = radius[:, None] * jnp.maximum(u[..., 1], least)
    return length[..., None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1), own


def _sharp(corners):
    """Corners whose sides meet at less than 130 degrees, `[MOST, CORNERS]`.

    Repeated corners at the end are skipped: the next one after them is the first.
    """
    before = jnp.roll(corners, 1, axis=1)
    last = corners[:, -1:]
    first = (corners == last).all(axis=-1)  # The last corner and its repetitions.
    after = jnp.where(first[..., None], corners[:, :1], jnp.roll(corners, -1, axis=1))
    a, b = before - corners, after - corners
    norms = jnp.linalg.norm(a, axis=-1) * jnp.linalg.norm(b, axis=-1)
    return jnp.sum(a * b, axis=-1) > _FLAT * norms


def _strokes(a, b, half, luck, there):
    """Thin quads from `a` to `b`, `half` wide to each side."""
    along = (b - a) / jnp.maximum(jnp.linalg.norm(b - a, axis=-1, keepdims=True), 1e-6)
    side = half[:, None] * jnp.stack([-along[:, 1], along[:, 0]], axis=-1)
    center = (a + b) / 2
    quad = [a - center - side, b - center - side, b - center + side]
    quad += [a - center + side] * (CORNERS - 3)
    return Figures(
        center, jnp.stack(quad, axis=1), jnp.zeros((MOST, 3)), luck.color, there
    )


def _points(xy, there):
    """Any number of points as the fixed number of places, `[MOST_POINTS, 2]`."""
    xy, there = xy.reshape(-1, 2), there.reshape(-1)
    fill = MOST_POINTS - len(xy)
    return jnp.pad(xy, [(0, fill), (0, 0)]), jnp.pad(there, (0, fill))


def _rotation(angles):
    out = jnp.eye(3)
    for axis in range(3):
        c, s = jnp.cos(angles[axis]), jnp.sin(angles[axis])
        j, k = (axis + 1) % 3, (axis + 2) % 3
        turn = jnp.eye(3).at[j, j].set(c).at[k, k].set(c)
        out = turn.at[j, k].set(-s).at[k, j].set(s) @ out
    return out


def _cross(a, b):
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]

"""Scenes: coloured solids on a softly lit grey ground, in the manner of CLEVR6.

CLEVR's factors (three shapes, eight colours, two sizes, two materials; 3 to 6 objects,
or 7 to 10), drawn instead of path-traced, hence drawn anew for every row. A pinhole
camera looks down on the ground; each solid is the exact orthographic picture of itself
at its own distance and angle, anti-aliased by its signed distance, painted from far to
near. Shadows fall on the ground, not on other objects.

Objects keep a gap on the ground, stay inside the picture, and no centre is hidden: a
nearer object's circumscribed circle stays 2.5 px (at 112) away from every centre behind
it. So `keypoints` are always seen, and occlusion goes up to about half an object.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery.data.generated import Generated
from kpdiscovery.ops import coordinates
from kpdiscovery.types import Array, Row, Tree, UserError

SHAPES = ('sphere', 'cube', 'cylinder')
SIZES = ('large', 'small')
MATERIALS = ('rubber', 'metal')
COLORS = ('gray', 'red', 'blue', 'green', 'brown', 'purple', 'cyan', 'yellow')
RGB = np.array(
    [(87, 87, 87), (173, 35, 35), (42, 75, 215), (29, 105, 20),
     (129, 74, 25), (129, 38, 192), (41, 208, 208), (255, 238, 51)], np.uint8
)  # fmt: skip

_SPLITS = {'train': 50_000, 'validation': 1_000, 'test': 10_000}  # Rows by default.
_SEED = 60_112  # Keeps the streams apart from other sources of the same seed.
_RADIUS = np.array([0.7, 0.35], np.float32)  # By size, in units of the ground.
_HALF = np.array([1, 0.8, 0.9], np.float32)  # Half width of a shape of radius 1,
_RIM = _HALF * np.sqrt([1, 3, 2], dtype=np.float32)  # and its circumscribed circle's
_FOOT = _HALF * np.sqrt([1, 2, 1], dtype=np.float32)  # radius, in space and on ground.
_GAP, _SEEN = 0.15, 2.5 / 112  # Between objects on the ground; centre to occluder.
_PITCH, _CAMERA, _FOCAL = math.radians(30), (0.0, 5.75, -9.6), 1.9
_FORWARD = (0.0, -math.sin(_PITCH), math.cos(_PITCH))
_UP = (0.0, math.cos(_PITCH), math.sin(_PITCH))
_GROUND = ((-3.4, -2.9), (3.4, 4.0))  # Where objects are thrown, (x, z).
_RESTARTS, _DARTS = 4, 64


class _Objects(NamedTuple):
    """Leaves `[N]`; x right, y up, z away from the camera."""

    shape: Array
    color: Array
    size: Array
    material: Array
    yaw: Array
    x: Array
    z: Array
    exists: Array

    @property
    def radius(self):
        return jnp.asarray(_RADIUS)[self.size]


class _View(NamedTuple):
    """How the camera sees a centre; leaves like the object's."""

    px: Array
    py: Array
    zoom: Array  # Pixels a ground unit.
    depth: Array
    tilt: Array  # Angle of the line of sight below the horizon.


def scenes(
    *,
    split: str,
    size: int = 112,
    min_objects: int = 3,
    max_objects: int = 6,
    length: int | None = None,
    seed: int = 0,
) -> Generated:
    """The split's rows; with 7 to 10 objects the counterpart of CLEVR10."""
    if split not in _SPLITS:
        raise UserError(f'scenes have the splits {list(_SPLITS)}, not {split!r}')
    seed = _SEED + 3 * seed + list(_SPLITS).index(split)
    length = _SPLITS[split] if length is None else length
    bound = _bound(size, min_objects, max_objects)
    return Generated(bound, {}, seed=seed, length=length)


@functools.cache  # Splits share one `draw`, hence one compilation.
def _bound(size, min_objects, max_objects):
    options = {'size': size, 'min_objects': min_objects, 'max_objects': max_objects}
    return functools.partial(draw, **options)


def draw(
    tables: Tree,
    key: jax.Array,
    *,
    size: int = 112,
    min_objects: int = 3,
    max_objects: int = 6,
) -> Row:
    """One scene of `min_objects` to `max_objects` = N objects, large first.

    Args:
        tables: not used.
        key: chooses everything.
        size: side of the picture.
        min_objects: fewest objects, at least 1.
        max_objects: most objects, at most 12; fields are padded to it.

    Returns:
        `image` uint8 `[size, size, 3]`, `instances [size, size]`, `boxes [N, 4]` tight
        around the visible pixels, `boxes_valid`, `keypoints [N, 1, 2]` (the centres, all
        seen), `visible`, `attributes` {'shape', 'color', 'size', 'material'}.

    Raises:
        ValueError: numbers of objects out of range.
    """
    if not 1 <= min_objects <= max_objects <= len(_LATTICE):
        wanted = f'1 <= min_objects <= max_objects <= {len(_LATTICE)}'
        raise ValueError(f'wanted {wanted}, got {min_objects} and {max_objects}')
    chance = _chance(key, max_objects)
    objects = _place(chance, _draw_objects(chance, min_objects))
    image, instances = _paint(chance.light, objects, size)
    return {'image': image, 'instances': instances, **_truth(objects, instances)}


def _truth(objects, instances):
    exists, view = objects.exists, _see(objects, len(instances))
    xy = jnp.stack([view.px, view.py], axis=-1)
    names = ('shape', 'color', 'size', 'material')
    factors = {name: jnp.where(exists, getattr(objects, name), -1) for name in names}
    return {
        'boxes': jnp.where(exists[:, None], _boxes(instances, len(exists)), -1),
        'boxes_valid': exists,
        'keypoints': jnp.where(exists[:, None], xy, -1)[:, None],
        'visible': exists[:, None],
        'attributes': factors,
    }


def _boxes(instances, n):
    """Tight boxes of the labels 0..n-1, `[n, 4]`."""
    mine = instances[None] == jnp.arange(n)[:, None, None]
    spans = []
    for axis in (1, 2):  # Over rows: columns that hold the object; then over columns.
        hit = jnp.any(mine, axis=axis)
        low = jnp.argmax(hit, axis=-1)
        high = hit.shape[-1] - jnp.argmax(hit[:, ::-1], axis=-1)
        spans.append((low - 0.5, high - 0.5))
    (x0, x1), (y0, y1) = spans
    return jnp.stack([x0, y0, x1, y1], axis=-1).astype(jnp.float32)


# Which objects, and where: lengths in units of the ground.


class _Chance(NamedTuple):
    """Uniform numbers for one scene, drawn at once: each draw costs compilation."""

    factors: Array  # [5, N]
    count: Array  # [1]
    light: Array  # [3]
    darts: Array  # [restarts, N, darts, 2]
    lattice: Array  # [cells, 3]


def _chance(key, n):
    shapes = _Chance((5, n), (1,), (3,), (_RESTARTS, n, _DARTS, 2), (len(_LATTICE), 3))
    sizes = [math.prod(shape) for shape in shapes]
    parts = jnp.split(jax.random.uniform(key, (sum(sizes),)), np.cumsum(sizes)[:-1])
    return _Chance(*(p.reshape(s) for p, s in zip(parts, shapes, strict=True)))


def _draw_objects(chance, min_objects):
    kinds = (len(SHAPES), len(COLORS), len(SIZES), len(MATERIALS))
    shape, color, size, material = (
        (u * kind).astype(jnp.int32)
        for u, kind in zip(chance.factors, kinds, strict=False)
    )
    n = len(shape)
    count = min_objects + jnp.floor(chance.count * (n + 1 - min_objects))
    exists = jnp.arange(n) < count
    # Large ones first: they are the hard ones to place.
    size = jnp.sort(jnp.where(exists, size, len(SIZES) - 1))
    yaw, nowhere = chance.factors[4] * math.pi / 2, jnp.zeros(n)
    return _Objects(shape, color, size, material, yaw, nowhere, nowhere, exists)


def _place(chance, objects):
    """Random sequential placement, restarted when it gets stuck.

    Should every start fail, small objects on a lattice keep the same promises.
    """
    tries, landed = jax.vmap(_throw_darts, (0, None))(chance.darts, objects)
    first = jax.tree.map(lambda leaf: leaf[jnp.argmax(landed)], tries)
    choose = functools.partial(jnp.where, jnp.any(landed))
    return jax.tree.map(choose, first, _on_lattice(chance.lattice, objects))


class _Spot(NamedTuple):
    """What matters to the neighbours of an object, in a picture of side 1."""

    x: Array
    z: Array
    px: Array
    py: Array
    depth: Array
    foot: Array  # Radius on the ground.
    rim: Array  # Radius in the picture.


def _spot(objects):
    view = _see(objects, 1)
    foot = objects.radius * jnp.asarray(_FOOT)[objects.shape]
    rim = view.zoom * objects.radius * jnp.asarray(_RIM)[objects.shape]
    return _Spot(objects.x, objects.z, view.px, view.py, view.depth, foot, rim)


def _throw_darts(uniform, objects):
    """Objects at the first free one of their darts; did all that exist land?"""
    n = len(objects.x)
    (x0, z0), (x1, z1) = _GROUND
    x, z = x0 + (x1 - x0) * uniform[..., 0], z0 + (z1 - z0) * uniform[..., 1]
    many = jax.tree.map(lambda leaf: jnp.repeat(leaf[:, None], _DARTS, 1), objects)
    spots = _spot(many._replace(x=x, z=z))  # [N, darts]

    def land(i, carry):
        placed, landed = carry
        mine = jax.tree.map(lambda leaf: leaf[i], spots)
        clear = _apart(_column(mine), _row(placed)) | (jnp.arange(n) >= i)[None]
        free = _inside(mine) & jnp.all(clear, axis=1)
        first = jax.tree.map(lambda leaf: leaf[jnp.argmax(free)], mine)
        placed = jax.tree.map(lambda leaf, new: leaf.at[i].set(new), placed, first)
        return placed, landed & (jnp.any(free) | ~objects.exists[i])

    start = jax.tree.map(lambda leaf: leaf[:, 0], spots), jnp.array(True)
    placed, landed = jax.lax.fori_loop(0, n, land, start)
    return objects._replace(x=placed.x, z=placed.z), landed


_LATTICE = np.array(
    [(x, z) for z in (-1, 1.2, 3.4) for x in (-1.95, -0.65, 0.65, 1.95)]
)


def _on_lattice(uniform, objects):
    n = len(objects.x)
    cells = jnp.argsort(uniform[:, 0])[:n]
    xz = jnp.asarray(_LATTICE, jnp.float32)[cells] + 0.2 * (uniform[:n, 1:] - 0.5)
    small = jnp.full(n, SIZES.index('small'))
    return objects._replace(size=small, x=xz[:, 0], z=xz[:, 1])


def _column(tree):
    return jax.tree.map(lambda leaf: leaf[:, None], tree)


def _row(tree):
    return jax.tree.map(lambda leaf: leaf[None], tree)


def _inside(spot):
    """Does the whole object lie in the picture, a pixel of 112 off its border?"""
    reach = jnp.maximum(jnp.abs(spot.px), jnp.abs(spot.py))  # The middle is 0.
    return reach + spot.rim < 0.5 - 1 / 112


def _apart(a, b):
    """Do two objects keep their gap, and the nearer one off the other's centre?"""
    gap = a.foot + b.foot + _GAP
    off_ground = (a.x - b.x) ** 2 + (a.z - b.z) ** 2 >= gap**2
    cover = jnp.where(a.depth < b.depth, a.rim, b.rim) + _SEEN
    return off_ground & ((a.px - b.px) ** 2 + (a.py - b.py) ** 2 >= cover**2)


# The camera.


def _see(objects, size):
    """Centres in a picture of side `size`."""
    height = objects.radius * jnp.asarray(_HALF)[objects.shape]
    x, y, z = (
        v - c for v, c in zip((objects.x, height, objects.z), _CAMERA, strict=True)
    )
    depth = y * _FORWARD[1] + z * _FORWARD[2]
    zoom = _FOCAL * size / depth
    middle = (size - 1) / 2
    up = y * _UP[1] + z * _UP[2]
    tilt = jnp.arctan2(-y, jnp.sqrt(x**2 + z**2))
    return _View(middle + zoom * x, middle - zoom * up, zoom, depth, tilt)


def _ground_of_pixels(size):
    """Ground (x, z) under every pixel, two constants `[H, W]`."""
    to_unit = functools.partial(coordinates.to_unit, size=(size, size))
    unit = jax.vmap(jax.vmap(to_unit))(coordinates.pixel_grid(size, size))
    u, v = unit[..., 0] / (2 * _FOCAL), -unit[..., 1] / (2 * _FOCAL)
    down = _FORWARD[1] + v * _UP[1]
    t = -_CAMERA[1] / down
    return _CAMERA[0] + t * u, _CAMERA[2] + t * (_FORWARD[2] + v * _UP[2])


# Painting: planes `[H, W]`, vectors are tuples of planes or of scalars.


def _paint(uniform, objects, size):
    """Picture uint8 `[H, W, 3]` and owners int32 `[H, W]`."""
    view = _see(objects, size)
    light, strength = _light(uniform)
    order = jnp.argsort(-view.depth)
    things = (objects, view, jnp.arange(len(order)))
    things = jax.tree.map(lambda leaf: leaf[order], things)
    canvas = _ground(light, strength, objects, size)
    owner = jnp.full((size, size), -1, jnp.int32)
    over = functools.partial(_paint_object, light, strength)
    (canvas, owner), _ = jax.lax.scan(over, (canvas, owner), things)
    # Shading is linear in light; the square root is the display's gamma.
    image = jnp.sqrt(jnp.clip(jnp.stack(canvas, axis=-1), 0, 1))
    return jnp.round(255 * image).astype(jnp.uint8), owner


def _light(uniform):
    """Direction towards the key light and its strength, both a little different."""
    turn, lift, strength = 2 * uniform - 1
    azimuth, height = math.radians(215) + 0.35 * turn, math.radians(52) + 0.1 * lift
    level = jnp.cos(height)
    direction = level * jnp.cos(azimuth), jnp.sin(height), level * jnp.sin(azimuth)
    return direction, 0.85 + 0.08 * strength


def _ground(light, strength, objects, size):
    x, z = _ground_of_pixels(size)

    def fall(carry, thing):
        lit, open_sky = carry
        shadow, contact = _shadow(light, thing, x, z)
        return (jnp.minimum(lit, 1 - shadow), open_sky * (1 - contact)), None

    (lit, open_sky), _ = jax.lax.scan(fall, (jnp.ones_like(x),) * 2, objects)
    pool = jnp.exp(-(((x + 0.8) / 11) ** 2) - ((z + 0.5) / 10) ** 2)  # Of the lamp.
    gray = 0.44 * pool * (0.45 * open_sky + 0.72 * strength * lit)
    return tuple(tint * gray for tint in (1.0, 0.985, 0.96))


def _shadow(light, thing, x, z):
    """Soft cast shadow and the darkness of the contact, each `[H, W]` in [0, 1]."""
    r = thing.radius * jnp.asarray(_HALF)[thing.shape]
    x, z = x - thing.x, z - thing.z
    sx, sz = -light[0] / light[1], -light[2] / light[1]  # Shadow of one unit of height.
    slant = jnp.sqrt(sx**2 + sz**2)
    along, across = (x * sx + z * sz) / slant, (x * sz - z * sx) / slant
    blur = 0.08 + 0.16 * jnp.clip(along, 0, 2)  # Penumbras widen away from the object.
    ball, tube = _round_shadows(along, across, r, slant)
    c, s = jnp.cos(thing.yaw) * r, jnp.sin(thing.yaw) * r
    prism = _zonogon(x - sx * r, z - sz * r, (c, s), (-s, c), (sx * r, sz * r))
    distance = _choose(thing.shape, ball, prism, tube)
    base = r * _choose(
        thing.shape, 0.35, 1.0, 1.0
    )  # Balls touch the ground at a point.
    near = jnp.maximum(jnp.sqrt(x**2 + z**2) - base, 0) / r
    cast, contact = _smooth(0.5 - distance / (2 * blur)), jnp.exp(-3 * near)
    return 0.85 * cast * thing.exists, 0.55 * contact * thing.exists


def _round_shadows(along, across, r, slant):
    """Signed distance to the shadow of a ball, about, and of an upright cylinder."""
    middle, stretch = r * slant, jnp.sqrt(1 + slant**2)
    ball = jnp.sqrt(across**2 + ((along - middle) / stretch) ** 2) - r
    beyond = along - jnp.clip(along, 0, 2 * middle)
    return ball, jnp.sqrt(across**2 + beyond**2) - r


def _paint_object(light, strength, carry, item):
    canvas, owner = carry
    thing, view, number = item
    ys, xs = jnp.mgrid[: owner.shape[0], : owner.shape[1]]
    a, b = (xs - view.px) / view.zoom, (view.py - ys) / view.zoom
    distance, normal = _solid(thing, view, a, b)
    cover = jnp.clip(0.5 - distance * view.zoom, 0, 1) * thing.exists
    color = _shade(thing, view, normal, light, strength)
    canvas = tuple(
        old + cover * (new - old) for old, new in zip(canvas, color, strict=True)
    )
    return (canvas, jnp.where(cover > 0.5, number, owner)), None


def _solid(thing, view, a, b):
    """Signed distance of the outline at (a right, b up), and the normal inside it."""
    r = thing.radius * jnp.asarray(_HALF)[thing.shape]
    c, s = jnp.cos(view.tilt), jnp.sin(view.tilt)
    soft = 0.4 * view.zoom  # Edges are rounded by about two pixels.
    ball, cube, tube = (
        _ball(a, b, r, c, s),
        _cube(a, b, r, c, s, thing.yaw, soft),
        _tube(a, b, r, c, s, soft),
    )
    return jax.tree.map(functools.partial(_choose, thing.shape), ball, cube, tube)


def _ball(a, b, r, c, s):
    far = jnp.sqrt(a**2 + b**2)
    out = jnp.sqrt(jnp.maximum(r**2 - far**2, 0))  # Towards the camera.
    size = jnp.maximum(far, r)  # Bounded outside as well: zero times infinity is not 0.
    return far - r, (a / size, (b * c + out * s) / size, (b * s - out * c) / size)


def _cube(a, b, r, c, s, yaw, soft):
    cy, sy = jnp.cos(yaw), jnp.sin(yaw)
    outline = _zonogon(a, b, (r * cy, r * sy * s), (-r * sy, r * cy * s), (0.0, r * c))
    faces = ((-cy, 0.0, -sy), (sy, 0.0, -cy), (0.0, 1.0, 0.0))  # The three in view.
    # The line of sight enters the cube where it has crossed all three planes.
    heights = []
    for nx, ny, nz in faces:
        slope = jnp.maximum(ny * s - nz * c, 1e-2)
        heights.append((r - nx * a - (ny * c + nz * s) * b) / slope)
    nearest = jnp.minimum(jnp.minimum(heights[0], heights[1]), heights[2])
    share = [_smooth(1 - (h - nearest) * soft) for h in heights]  # Rounds the edges.
    normal = [
        sum(w * n[axis] for w, n in zip(share, faces, strict=True)) for axis in range(3)
    ]
    return outline, _unit(*normal)


def _tube(a, b, r, c, s, soft):
    beyond = jnp.maximum(jnp.abs(b) - r * c, 0)
    q = jnp.sqrt(a**2 + (beyond / s) ** 2)
    slope = jnp.sqrt(a**2 + (beyond / s**2) ** 2)  # First order: offset by gradient.
    outline = (q - r) * (q + 1e-6) / (slope + 1e-6)
    lid = jnp.sqrt(a**2 + ((b - r * c) / s) ** 2) / r
    top = _smooth(0.5 + (1 - lid) * r * soft)
    nx = jnp.clip(a / r, -1, 1)
    return outline, _unit(nx * (1 - top), top, -jnp.sqrt(1 - nx**2) * (1 - top))


def _shade(thing, view, normal, light, strength):
    """Linear colour of a surface: three planes."""
    sight = (0.0, jnp.sin(view.tilt), -jnp.cos(view.tilt))
    facing = _dot(normal, sight)
    half = _unit(*(l + v for l, v in zip(light, sight, strict=True)))
    key = strength * jnp.maximum(_dot(normal, light), 0)
    fill = jnp.maximum(_dot(normal, (0.75, 0.3, -0.6)), 0)
    matte = 0.38 + 0.18 * normal[1] + 1.05 * key + 0.22 * fill
    gleam = jnp.maximum(_dot(normal, half), 0)
    sky = _smooth(0.5 + 1.1 * (2 * facing * normal[1] - sight[1]))  # Mirrored ray, up.
    metal = thing.material == MATERIALS.index('metal')
    body = jnp.where(metal, 0.5 * matte + 0.15 + 0.5 * sky, matte)
    shine = jnp.where(metal, 0.95 * gleam**64 + 0.08 * sky, 0.07 * gleam**8)
    color = jnp.asarray((RGB / 255.0) ** 2, jnp.float32)[thing.color]
    return tuple(color[i] * body + strength * shine for i in range(3))


def _zonogon(x, y, *edges):
    """Signed distance to the sum of segments from -edge to edge, negative inside."""
    distance = jnp.array(-jnp.inf)
    for ex, ey in edges:
        length = jnp.maximum(jnp.sqrt(ex**2 + ey**2), 1e-6)
        nx, ny = -ey / length, ex / length
        reach = sum(jnp.abs(nx * gx + ny * gy) for gx, gy in edges)
        distance = jnp.maximum(distance, jnp.abs(nx * x + ny * y) - reach)
    return distance


def _choose(which, *options):
    first, second, third = options
    return jnp.where(which == 0, first, jnp.where(which == 1, second, third))


def _smooth(t):
    t = jnp.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _unit(x, y, z):
    length = jnp.sqrt(x**2 + y**2 + z**2)
    return x / length, y / length, z / length

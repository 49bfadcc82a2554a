"""Ground, shadows and objects, from far to near.

Planes are `[H, W]`; vectors are tuples of planes or of scalars.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp

from kpdiscovery.data.generated.scenes.camera import ground_of_pixels, see
from kpdiscovery.data.generated.scenes.objects import HALF, MATERIALS, RGB
from kpdiscovery.data.generated.scenes.solids import (
    choose,
    dot,
    smooth,
    solid,
    unit,
    zonogon,
)


def paint(uniform, objects, size):
    """Picture uint8 `[H, W, 3]` and owners int32 `[H, W]`."""
    view = see(objects, size)
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
    x, z = ground_of_pixels(size)

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
    r = thing.radius * jnp.asarray(HALF)[thing.shape]
    x, z = x - thing.x, z - thing.z
    sx, sz = -light[0] / light[1], -light[2] / light[1]  # Shadow of one unit of height.
    slant = jnp.sqrt(sx**2 + sz**2)
    along, across = (x * sx + z * sz) / slant, (x * sz - z * sx) / slant
    blur = 0.08 + 0.16 * jnp.clip(along, 0, 2)  # Penumbras widen away from the object.
    ball, tube = _round_shadows(along, across, r, slant)
    c, s = jnp.cos(thing.yaw) * r, jnp.sin(thing.yaw) * r
    prism = zonogon(x - sx * r, z - sz * r, (c, s), (-s, c), (sx * r, sz * r))
    distance = choose(thing.shape, ball, prism, tube)
    base = r * choose(thing.shape, 0.35, 1.0, 1.0)  # Balls touch the ground at a point.
    near = jnp.maximum(jnp.sqrt(x**2 + z**2) - base, 0) / r
    cast, contact = smooth(0.5 - distance / (2 * blur)), jnp.exp(-3 * near)
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
    distance, normal = solid(thing, view, a, b)
    cover = jnp.clip(0.5 - distance * view.zoom, 0, 1) * thing.exists
    color = _shade(thing, view, normal, light, strength)
    canvas = tuple(
        old + cover * (new - old) for old, new in zip(canvas, color, strict=True)
    )
    return (canvas, jnp.where(cover > 0.5, number, owner)), None


def _shade(thing, view, normal, light, strength):
    """Linear colour of a surface: three planes."""
    sight = (0.0, jnp.sin(view.tilt), -jnp.cos(view.tilt))
    facing = dot(normal, sight)
    half = unit(*(l + v for l, v in zip(light, sight, strict=True)))
    key = strength * jnp.maximum(dot(normal, light), 0)
    fill = jnp.maximum(dot(normal, (0.75, 0.3, -0.6)), 0)
    matte = 0.38 + 0.18 * normal[1] + 1.05 * key + 0.22 * fill
    gleam = jnp.maximum(dot(normal, half), 0)
    sky = smooth(0.5 + 1.1 * (2 * facing * normal[1] - sight[1]))  # Mirrored ray, up.
    metal = thing.material == MATERIALS.index('metal')
    body = jnp.where(metal, 0.5 * matte + 0.15 + 0.5 * sky, matte)
    shine = jnp.where(metal, 0.95 * gleam**64 + 0.08 * sky, 0.07 * gleam**8)
    color = jnp.asarray((RGB / 255.0) ** 2, jnp.float32)[thing.color]
    return tuple(color[i] * body + strength * shine for i in range(3))

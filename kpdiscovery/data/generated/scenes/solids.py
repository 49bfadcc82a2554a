"""Spheres, cubes and cylinders as signed distances and normals; the geometry they need."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from kpdiscovery.data.generated.scenes.objects import HALF


def solid(thing, view, a, b):
    """Signed distance of the outline at (a right, b up), and the normal inside it."""
    r = thing.radius * jnp.asarray(HALF)[thing.shape]
    c, s = jnp.cos(view.tilt), jnp.sin(view.tilt)
    soft = 0.4 * view.zoom  # Edges are rounded by about two pixels.
    ball, cube, tube = (
        _ball(a, b, r, c, s),
        _cube(a, b, r, c, s, thing.yaw, soft),
        _tube(a, b, r, c, s, soft),
    )
    return jax.tree.map(functools.partial(choose, thing.shape), ball, cube, tube)


def _ball(a, b, r, c, s):
    far = jnp.sqrt(a**2 + b**2)
    out = jnp.sqrt(jnp.maximum(r**2 - far**2, 0))  # Towards the camera.
    size = jnp.maximum(far, r)  # Bounded outside as well: zero times infinity is not 0.
    return far - r, (a / size, (b * c + out * s) / size, (b * s - out * c) / size)


def _cube(a, b, r, c, s, yaw, soft):
    cy, sy = jnp.cos(yaw), jnp.sin(yaw)
    outline = zonogon(a, b, (r * cy, r * sy * s), (-r * sy, r * cy * s), (0.0, r * c))
    faces = ((-cy, 0.0, -sy), (sy, 0.0, -cy), (0.0, 1.0, 0.0))  # The three in view.
    # The line of sight enters the cube where it has crossed all three planes.
    heights = []
    for nx, ny, nz in faces:
        slope = jnp.maximum(ny * s - nz * c, 1e-2)
        heights.append((r - nx * a - (ny * c + nz * s) * b) / slope)
    nearest = jnp.minimum(jnp.minimum(heights[0], heights[1]), heights[2])
    share = [smooth(1 - (h - nearest) * soft) for h in heights]  # Rounds the edges.
    normal = [
        sum(w * n[axis] for w, n in zip(share, faces, strict=True)) for axis in range(3)
    ]
    return outline, unit(*normal)


def _tube(a, b, r, c, s, soft):
    beyond = jnp.maximum(jnp.abs(b) - r * c, 0)
    q = jnp.sqrt(a**2 + (beyond / s) ** 2)
    slope = jnp.sqrt(a**2 + (beyond / s**2) ** 2)  # First order: offset by gradient.
    outline = (q - r) * (q + 1e-6) / (slope + 1e-6)
    lid = jnp.sqrt(a**2 + ((b - r * c) / s) ** 2) / r
    top = smooth(0.5 + (1 - lid) * r * soft)
    nx = jnp.clip(a / r, -1, 1)
    return outline, unit(nx * (1 - top), top, -jnp.sqrt(1 - nx**2) * (1 - top))


def zonogon(x, y, *edges):
    """Signed distance to the sum of segments from -edge to edge, negative inside."""
    distance = jnp.array(-jnp.inf)
    for ex, ey in edges:
        length = jnp.maximum(jnp.sqrt(ex**2 + ey**2), 1e-6)
        nx, ny = -ey / length, ex / length
        reach = sum(jnp.abs(nx * gx + ny * gy) for gx, gy in edges)
        distance = jnp.maximum(distance, jnp.abs(nx * x + ny * y) - reach)
    return distance


def choose(which, *options):
    first, second, third = options
    return jnp.where(which == 0, first, jnp.where(which == 1, second, third))


def smooth(t):
    t = jnp.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def unit(x, y, z):
    length = jnp.sqrt(x**2 + y**2 + z**2)
    return x / length, y / length, z / length

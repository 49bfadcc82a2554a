"""What is not animal: ground, leaves, occluders, and the camera's own faults."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np

from kpdiscovery.data.generated.critters.body import LEG_RGB, hsv
from kpdiscovery.data.generated.critters.chance import CELLS, Chance, Level, between
from kpdiscovery.data.generated.critters.shapes import Shapes, join
from kpdiscovery.types import Array

_BLUR = 0.4  # Largest standard deviation at 64 px, level standard, in pixels.


def stage(luck: Chance, animals: Shapes, level: Level, size: int):
    """Ground, and the animals among leaves and occluders.

    Returns:
        Three planes, all shapes in the order of painting, and the number of those
        before the animals.
    """
    shown = which_layers(luck.layers, level)
    field = smooth_field(luck.fields[0], size)
    canvas = ground(luck.ground, shown, field, plain=level.layers == (1, 1))
    there = jnp.full(level.shapes, shown[2] | level.always)
    behind = leaves(luck.leaves, there, size)
    before = occluders(luck.occluders, size, level.reach)
    return canvas, join(behind, animals, before), level.shapes


def smooth_field(lattice: Array, size: int) -> Array:
    """Uniform numbers `[CELLS, CELLS]` as a smooth plane `[size, size]` in about +-1."""
    where = (np.arange(size) + 0.5) * CELLS / size - 0.5
    weights = np.exp(-((where[:, None] - np.arange(CELLS)) ** 2))
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    # Sums, not matrix products: their bits would depend on the batch.
    rows = sum(
        w[:, None] * row[None] for w, row in zip(weights.T, lattice, strict=True)
    )
    field = sum(w[None] * rows[:, i : i + 1] for i, w in enumerate(weights.T))
    return 6 * field - 3


def which_layers(u: Array, level: Level) -> Array:
    """Bool `[3]`: stripes, blobs, leaves; the gradient is always there."""
    fewest, most = (number - 1 for number in level.layers)
    count = fewest + jnp.floor(u[3] * (most - fewest + 1))
    rank = (u[:3, None] > u[None, :3]).sum(axis=1)
    return rank < count


def ground(u: Array, shown: Array, field: Array, *, plain: bool):
    """Three planes `[H, W]`: one colour if `plain`, else gradient, stripes and blobs."""
    h = u[0] + jnp.stack([0 * u[1], 0.4 * (u[1] - 0.5), u[2], u[3]])
    s, v = between(u[4:8], 0.1, 0.6), between(u[8:12], 0.3, 0.9)
    colors = hsv(h, s, v)
    size = len(field)
    if plain:
        return tuple(jnp.full((size, size), channel) for channel in colors[0])
    ys, xs = jnp.mgrid[:size, :size] / size - 0.5
    angle = 2 * math.pi * u[12]
    slope = jnp.clip(0.5 + xs * jnp.cos(angle) + ys * jnp.sin(angle), 0, 1)
    turn = math.pi * u[13]
    wave = jnp.sin((20 + 40 * u[14]) * (xs * jnp.cos(turn) + ys * jnp.sin(turn)))
    stripes = 0.7 * shown[0] * jnp.clip(0.5 + 2 * wave, 0, 1)
    blobs = 0.9 * shown[1] * jnp.clip(6 * (field - 0.15), 0, 1)
    planes = [colors[0, i] + slope * (colors[1, i] - colors[0, i]) for i in range(3)]
    planes = [p + stripes * (colors[2, i] - p) for i, p in enumerate(planes)]
    return tuple(p + blobs * (colors[3, i] - p) for i, p in enumerate(planes))


def leaves(u: Array, shown: Array, size: int) -> Shapes:
    """Clutter `[S]` from `u` `[S, 10]`, of the kinds and colours animals are made of."""
    length = size * between(u[:, 0], 0.03, 0.22)
    thick = size * between(u[:, 1], 0.008, 0.045)
    return _strokes(u, shown, size, length, thick, _animal_colors(u))


def occluders(u: Array, size: int, reach: float) -> Shapes:
    """Branches in front of the animals, any number of the `u` `[S, 10]` there are."""
    count = jnp.floor(u[:1, 9] * (len(u) + 1))  # One number for all of them.
    shown = jnp.arange(len(u)) < count
    length = size * between(u[:, 0], 0.25, 0.6)
    thick = size * between(u[:, 1], 0.01, 0.025, reach)
    colors = hsv(u[:, 6], between(u[:, 7], 0.1, 0.7), between(u[:, 8], 0.2, 0.9))
    return _strokes(u, shown, size, length, thick, colors)


def _strokes(u, shown, size, length, thick, colors):
    """Shapes of random kind, place and direction that nobody owns."""
    angle = 2 * math.pi * u[:, 2]
    half = 0.5 * length[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)
    middle = size * between(u[:, 3:5], -0.03, 1.03)
    kind = jnp.floor(4 * u[:, 5]).astype(jnp.int32)
    # Capsule, taper, leaf, triangle: radii in multiples of `thick`.
    kinds = jnp.array([[1, 1, 0], [1.5, 0.2, 0], [0, 0, 2.0], [0.1, 2.5, 0]])[kind]
    radii = jnp.where(shown[:, None], kinds * thick[:, None], -size)
    blunt = (kind == 3).astype(jnp.float32)
    return nobody(middle - half, middle + half, radii)._replace(
        blunt=blunt, color=colors
    )


def nobody(a: Array, b: Array, radii: Array) -> Shapes:
    """Black strokes without an owner, from geometry `[S, 2]`, `[S, 2]`, `[S, 3]`."""
    n = len(a)
    ground, none = jnp.zeros(n, jnp.int32), jnp.full(n, -1, jnp.int32)
    return Shapes(a, b, radii, jnp.zeros(n), jnp.zeros((n, 3)), ground, none)


def _animal_colors(u):
    """Half bodies', beaks' and crests', a quarter legs', a quarter white or black."""
    body = hsv(u[:, 6], between(u[:, 7], 0.1, 0.9), between(u[:, 8], 0.25, 0.95))
    leg = jnp.asarray(LEG_RGB)[jnp.floor(3 * u[:, 6]).astype(jnp.int32)]
    mono = jnp.where(u[:, 6:7] < 0.5, 0.07, 0.95) * jnp.ones((1, 3))
    kind = u[:, 9:]
    return jnp.where(kind < 0.5, body, jnp.where(kind < 0.75, leg, mono))


def light_of(u: Array, reach: float) -> Array:
    """(x, y) towards the light, mostly from above, `[2]`; its length shades by so much."""
    angle = math.pi * between(u[0], 0.15, 0.85, min(reach, 1.4))
    strength = between(u[1], 0.1, 0.4, reach)
    return strength * jnp.stack([jnp.cos(angle), -jnp.sin(angle)])


def photograph(canvas, u: Array, noise: Array, reach: float) -> Array:
    """Contrast, brightness, blur and noise: uint8 `[H, W, 3]` from three planes."""
    image = jnp.stack(canvas, axis=-1)
    contrast, bright = between(u[2], 0.75, 1.05, reach), between(u[3], -0.1, 0.1, reach)
    image = 0.5 + contrast * (image - 0.5) + bright
    image = _blur(image, _BLUR * reach * u[4], reach)
    sigma = 0.025 * reach * u[5]
    image = image + sigma * math.sqrt(12) * (noise - 0.5)
    return jnp.round(255 * jnp.clip(image, 0, 1)).astype(jnp.uint8)


def _blur(image, sigma, reach):
    """Gaussian of `sigma` pixels at 64 px, as much wider as the picture is larger."""
    zoom = len(image) / 64
    radius = max(1, math.ceil(2 * _BLUR * reach * zoom))
    offsets = jnp.arange(-radius, radius + 1)
    taps = jnp.exp(-0.5 * (offsets / jnp.maximum(sigma * zoom, 0.05)) ** 2)
    taps = taps / taps.sum()
    for _ in range(2):  # Down the columns, then, with axes swapped, along the rows.
        wide = jnp.pad(image, ((radius, radius), (0, 0), (0, 0)), mode='edge')
        shifted = [wide[i : i + len(image)] for i in range(2 * radius + 1)]
        image = sum(t * s for t, s in zip(taps, shifted, strict=True)).swapaxes(0, 1)
    return image

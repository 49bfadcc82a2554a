"""Flesh on the bones: the shapes of an animal and their colours."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from kpdiscovery.data.generated.critters.anatomy import (
    BONES,
    COLORS,
    LIMBS,
    STROKES,
    indices,
    pick,
)
from kpdiscovery.data.generated.critters.chance import between
from kpdiscovery.data.generated.critters.pose import Frames, attach
from kpdiscovery.data.generated.critters.shapes import Shapes
from kpdiscovery.types import Array

_BONE = indices(STROKES.values(), 'bone', BONES)
_LIMB = indices(STROKES.values(), 'limb', LIMBS)
_COLOR = indices(STROKES.values(), 'color', COLORS)
_GEOMETRY, _GEOMETRY_BY = pick(STROKES.values(), 'geometry')
LEG_RGB = np.array([(0.85, 0.1, 0.1), (0.98, 0.8, 0.08), (0.12, 0.3, 0.95)], np.float32)
_WHITE, _BLACK = np.full(3, 0.95, np.float32), np.full(3, 0.07, np.float32)


def dress(frames: Frames, code: Array, colors: Array, owner: Array) -> Shapes:
    """The shapes of an animal with attributes `code` `[6]` and `colors` `[COLORS, 3]`."""
    rows = np.arange(len(STROKES))
    geometry = jnp.asarray(_GEOMETRY)[rows, code[_GEOMETRY_BY]]
    return Shapes(
        a=attach(frames, _BONE, geometry[:, :2]),
        b=attach(frames, _BONE, geometry[:, 2:4]),
        radii=geometry[:, 4:7] * frames.unit[_BONE][:, None],
        blunt=geometry[:, 7],
        color=colors[_COLOR],
        limb=jnp.asarray(_LIMB),
        owner=jnp.full(len(STROKES), owner),
    )


def extent(frames: Frames) -> tuple[Array, Array]:
    """Lowest and highest (x, y) of the animal had it all variants at once, `[2]` each.

    So that an animal's size and place tell nothing of its class.
    """
    geometry, bone = jnp.asarray(_GEOMETRY.reshape(-1, 8)), np.repeat(_BONE, 3)
    thick = jnp.maximum(geometry[:, 4:6] * frames.unit[bone][:, None], 0)
    ends = [attach(frames, bone, geometry[:, i : i + 2]) for i in (0, 2)]
    low = [(end - thick[:, i, None]).min(axis=0) for i, end in enumerate(ends)]
    high = [(end + thick[:, i, None]).max(axis=0) for i, end in enumerate(ends)]
    return jnp.minimum(*low), jnp.maximum(*high)


def hsv(h: Array, s: Array, v: Array) -> Array:
    """Hue, saturation and value in [0, 1], `[...]`, as RGB `[..., 3]`."""
    hue = jnp.stack([6 * h, 6 * h + 4, 6 * h + 2], axis=-1)
    share = jnp.clip(jnp.abs(hue % 6 - 3) - 1, 0, 1)
    return v[..., None] * (1 - s[..., None] * (1 - share))


def _vivid(u: Array, low: float, high: float) -> Array:
    """A strong colour of a hue in [low, high] from three uniform numbers, `[3]`."""
    return hsv(
        between(u[0], low, high), between(u[1], 0.5, 0.9), between(u[2], 0.6, 0.95)
    )


def draw_colors(u: Array, code: Array) -> Array:
    """Colours `[COLORS, 3]` from twelve uniform numbers; only the leg's tells the class.

    Marks and patches are white or black, whichever stands out.
    """
    base = hsv(u[0], between(u[1], 0.1, 0.75), between(u[2], 0.3, 0.85))
    head = jnp.clip(base * between(u[3], 0.7, 1.3), 0, 1)
    dark = base.mean() > 0.42 + 0.2 * (u[4] - 0.5)  # Wings on bright bodies are dark.
    wing = jnp.where(dark, 0.55 * base, 0.45 + 0.55 * base)
    tail = jnp.where(u[5] < 0.5, wing, head)
    # Pink crests and yellow beaks: in any colour they are hard to tell at 64 px.
    crest = _vivid(u[6:9], 0.75, 1.0)
    beak = _vivid(u[9:12], 0.02, 0.17)
    mark = jnp.where(dark, _WHITE, _BLACK)
    patch = jnp.where(base.mean() > 0.45, _BLACK, _WHITE)
    leg = jnp.asarray(LEG_RGB)[code[4]]
    belly = 0.6 * base + 0.35
    by_name = [base, belly, head, wing, mark, tail, crest, beak, leg, 0.75 * leg, patch,
               jnp.asarray(_WHITE), jnp.asarray(_BLACK)]  # fmt: skip
    return jnp.stack(by_name)  # In the order of COLORS.

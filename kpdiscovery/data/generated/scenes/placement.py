"""Where objects stand: apart on the ground, whole and seen in the picture."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery.data.generated.scenes.camera import see
from kpdiscovery.data.generated.scenes.objects import DARTS, HALF, LATTICE, SIZES
from kpdiscovery.types import Array

# Circumscribed circles of shapes of radius 1: in space, and on the ground.
_RIM = HALF * np.sqrt([1, 3, 2], dtype=np.float32)
_FOOT = HALF * np.sqrt([1, 2, 1], dtype=np.float32)
_GAP, _SEEN = 0.15, 2.5 / 112  # Between objects on the ground; centre to occluder.
_GROUND = ((-3.4, -2.9), (3.4, 4.0))  # Where objects are thrown, (x, z).


def place(chance, objects):
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
    view = see(objects, 1)
    foot = objects.radius * jnp.asarray(_FOOT)[objects.shape]
    rim = view.zoom * objects.radius * jnp.asarray(_RIM)[objects.shape]
    return _Spot(objects.x, objects.z, view.px, view.py, view.depth, foot, rim)


def _throw_darts(uniform, objects):
    """Objects at the first free one of their darts; did all that exist land?"""
    n = len(objects.x)
    (x0, z0), (x1, z1) = _GROUND
    x, z = x0 + (x1 - x0) * uniform[..., 0], z0 + (z1 - z0) * uniform[..., 1]
    many = jax.tree.map(lambda leaf: jnp.repeat(leaf[:, None], DARTS, 1), objects)
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


def _on_lattice(uniform, objects):
    n = len(objects.x)
    cells = jnp.argsort(uniform[:, 0])[:n]
    xz = jnp.asarray(LATTICE, jnp.float32)[cells] + 0.2 * (uniform[:n, 1:] - 0.5)
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

"""MNIST-Hard: nine digits scattered on a black canvas ([jin2022], section 4.1).

The paper places digits "sampled from a Poisson distribution" and evaluates with boxes
of 20 px at 80 px. Own choice where it is silent: Poisson-disk placement, centres at
least 17 px apart and 10 px from the border at 80 px, sub-pixel; the digits' 28 px are
shrunk to 20 by exact area averages; repeats allowed; the brighter digit wins.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp

from kpdiscovery.data.files.mnist import load_digits
from kpdiscovery.data.generated import Generated
from kpdiscovery.types import Row, Tree, UserError

_SPLITS = {  # MNIST's own split, its digits, our rows.
    'train': ('train', slice(None, -10_000), 50_000),
    'validation': ('train', slice(-10_000, None), 1_000),
    'test': ('test', slice(None), 50_000),
}
_SEED = 20_220  # Keeps the streams apart from other sources of the same seed.
_DIGIT = 28
_RESTARTS, _DARTS = 6, 48


def mnist_hard(
    *,
    split: str,
    path: str | None = None,
    size: int = 80,
    length: int | None = None,
    seed: int = 0,
) -> Generated:
    """The split's scenes; `path` as in `mnist.load_digits`.

    Train scenes show the first 50,000 of MNIST's training digits, validation scenes
    the last 10,000, test scenes MNIST's test digits.
    """
    if split not in _SPLITS:
        raise UserError(f'MNIST-Hard has the splits {list(_SPLITS)}, not {split!r}')
    part, rows, default = _SPLITS[split]
    images, labels = load_digits(path, part)
    if len(images) <= 10_000 and part == 'train':
        raise UserError(
            f"MNIST-Hard needs MNIST's 60,000 training digits, got {len(images)}"
        )
    tables = {'images': images[rows], 'labels': labels[rows]}
    seed = _SEED + 3 * seed + list(_SPLITS).index(split)
    length = default if length is None else length
    return Generated(_bound(size), tables, seed=seed, length=length)


@functools.cache  # Splits share one `draw`, hence one compilation.
def _bound(size):
    return functools.partial(draw, size=size)


def draw(tables: Tree, key: jax.Array, *, size: int = 80, digits: int = 9) -> Row:
    """One scene.

    Args:
        tables: `images` uint8 `[M, 28, 28]` and `labels` int32 `[M]`.
        key: chooses digits and places.
        size: side of the canvas; lengths scale with it.
        digits: number of digits.

    Returns:
        `image` uint8 `[size, size, 3]`, `boxes [digits, 4]`, `boxes_valid`,
        `keypoints [digits, 1, 2]` (centres), `visible`, `attributes` {'digit'}.

    Raises:
        ValueError: so many digits do not fit.
    """
    which_key, place_key = jax.random.split(key)
    which = jax.random.randint(which_key, (digits,), 0, len(tables['labels']))
    xy = place(place_key, size=size, digits=digits)
    gray = _paint(tables['images'][which], xy, size)
    half = size / 8  # 10 px at 80.
    return {
        'image': jnp.repeat(gray[..., None], 3, axis=-1),
        'boxes': jnp.concatenate([xy - half, xy + half], axis=-1),
        'boxes_valid': jnp.ones(digits, bool),
        'keypoints': xy[:, None],
        'visible': jnp.ones((digits, 1), bool),
        'attributes': {'digit': tables['labels'][which]},
    }


def place(key: jax.Array, *, size: int = 80, digits: int = 9) -> jax.Array:
    """Centres `[digits, 2]`, 17/80 `size` apart, 10/80 `size` from the border.

    Random sequential placement, restarted when it gets stuck; a jittered lattice, with
    the same guarantees, should every start fail.
    """
    extent, apart = size * 60 / 80, size * 17 / 80
    side = math.ceil(math.sqrt(digits))
    # One draw for everything: every further one costs compilation.
    many = _RESTARTS * digits * _DARTS
    uniform = jax.random.uniform(key, (many + side**2, 2))
    darts = uniform[:many].reshape(_RESTARTS, digits, _DARTS, 2) * extent
    throw = functools.partial(_throw_darts, apart=apart)
    tries, landed = jax.vmap(throw)(darts)
    lattice = _lattice(uniform[many:], digits, extent, apart)
    xy = jnp.where(jnp.any(landed), tries[jnp.argmax(landed)], lattice)
    return xy + (size / 8 - 0.5)


def _throw_darts(darts, apart):
    """Each digit at the first free one of its darts `[N, darts, 2]`; did all land?"""
    n = len(darts)

    def land(i, carry):
        xy, landed = carry
        gap = jnp.sum((darts[i][:, None] - xy[None]) ** 2, axis=-1)  # [darts, N]
        clear = (gap >= apart**2) | (jnp.arange(n) >= i)[None]
        free = jnp.all(clear, axis=-1)
        return xy.at[i].set(darts[i, jnp.argmax(free)]), landed & jnp.any(free)

    return jax.lax.fori_loop(0, n, land, (darts[:, 0], jnp.array(True)))


def _lattice(uniform, digits, extent, apart):
    """Jittered lattice in random order from `[side**2, 2]` uniform numbers."""
    side = math.isqrt(len(uniform))
    jitter = (extent - apart * (side - 1)) / (2 * side)
    if jitter < 0:
        raise ValueError(f'{digits} digits do not fit on MNIST-Hard, at most 16 do')
    step = (extent - 2 * jitter) / max(side - 1, 1)  # Leaves `apart` after the jitter.
    cells = jnp.argsort(uniform[:, 0])[:digits]
    xy = jnp.stack([cells % side, cells // side], axis=-1) * step + jitter
    # A hair less than all of it, so that rounding cannot bring two points too close.
    return xy + (2 * uniform[:digits] - 1) * (0.999 * jitter)


def _paint(images, xy, size):
    """`[N, 28, 28]` uint8 digits around the points, the brightest on top."""
    images = images.astype(jnp.float32)
    weights = jax.vmap(jax.vmap(functools.partial(_area_weights, size)))(xy)
    across, down = weights[:, 0], weights[:, 1]  # [N, size, 28]
    layers = jnp.einsum('nhi,nij,nwj->nhw', down, images, across, precision='highest')
    return jnp.round(layers.max(axis=0)).astype(jnp.uint8)


def _area_weights(size, centre):
    """Share of each of 28 source pixels in each canvas pixel, `[size, 28]`."""
    scale = 112 / size  # Source pixels a canvas pixel.
    middle = (jnp.arange(size) - centre)[:, None] * scale + (_DIGIT - 1) / 2
    source = jnp.arange(_DIGIT)[None]
    low = jnp.maximum(middle - scale / 2, source - 0.5)
    high = jnp.minimum(middle + scale / 2, source + 0.5)
    return jnp.maximum(high - low, 0) / scale

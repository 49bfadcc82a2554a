"""The landmark network's maps, and points read from them.

Maps come at a quarter of the picture's size; points `[..., P, 2]` are in their cells.
Parameters lie in `variables` by net: `trunk`, and the heads `detector`, `descriptor`
(stage 1) and `landmarks` (stage 2).
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kpdiscovery.models import hourglass
from kpdiscovery.ops import heatmaps, suppression
from kpdiscovery.types import Keypoints

STRIDE = 4
CELLS = 64  # A side of the papers' maps: sizes in cells are told for those.
_READOUT = 5  # Cells a side.


@dataclasses.dataclass(frozen=True)
class Size:
    """The size of the network; defaults are the papers'. Heads are as wide as maps."""

    features: int = 256
    depth: int = 4
    groups: int = 32
    dtype: str = 'float32'  # Of convolutions; parameters and heads' outputs: float32.
    # Blocks compute again for the gradient: less memory, more time; for 256 px on a small
    # accelerator, so no config has it.
    remat: bool = False


class Maps(NamedTuple):
    """What stage 1 sees in B pictures."""

    scores: jax.Array  # [B, h, w] in (0, 1).
    descriptors: jax.Array  # [B, h, w, D]


def init(key: jax.Array, images: jax.Array, size: Size, heads: dict[str, int]) -> Any:
    """Parameters of a trunk and of heads with so many outputs each."""
    trunk_key, *keys = jax.random.split(key, 1 + len(heads))
    trunk = _trunk(size)
    params = {'trunk': trunk.init(trunk_key, images)['params']}
    features = jax.eval_shape(trunk.apply, {'params': params['trunk']}, images)
    blank = jnp.zeros(features.shape, features.dtype)
    for (name, out), head_key in zip(heads.items(), keys, strict=True):
        params[name] = _head(size, out).init(head_key, blank)['params']
    return params


def features(size: Size, variables: Any, images: jax.Array) -> jax.Array:
    """Trunk features `[B, h, w, C]` of `[B, H, W, 3]` pictures in [0, 1]."""
    return _trunk(size).apply({'params': variables['trunk']}, images)


def head(size: Size, variables: Any, name: str, features: jax.Array) -> jax.Array:
    """The named head's maps `[B, h, w, out]`, without activation."""
    params = variables[name]
    out = params['last']['conv']['bias'].shape[0]
    return _head(size, out).apply({'params': params}, features)


def stage_one(size: Size, variables: Any, images: jax.Array) -> Maps:
    """Scores and descriptors of `[B, H, W, 3]` pictures."""
    maps = features(size, variables, images)
    descriptors = head(size, variables, 'descriptor', maps)
    return Maps(_scores(size, variables, maps), descriptors)


def scores(size: Size, variables: Any, images: jax.Array) -> jax.Array:
    """The detector's scores `[B, h, w]` alone, for nets without descriptors."""
    return _scores(size, variables, features(size, variables, images))


def replace_last(key: jax.Array, size: Size, head_params: Any, out: int) -> Any:
    """A head with its last layer fresh and `out` wide: the surgery before stage 2."""
    width = head_params['conv']['conv']['bias'].shape[0]
    blank = jnp.zeros((1, 1, 1, width), jnp.float32)
    fresh = _head(size, out).init(key, blank)['params']
    return {**head_params, 'last': fresh['last']}


def scaled(cells: float, width: int) -> float:
    """So many of 64 cells a side, in cells of a map of another width."""
    return cells * width / CELLS


def apart(half: float, width: int) -> int:
    """Cells of a map between points whose boxes of `half` (in `CELLS`) do not overlap."""
    return max(2, round(scaled(2 * half, width)))


def detect(
    scores: jax.Array, count: int, *, threshold: float, half: float
) -> Keypoints:
    """Points of `[B, h, w]` score maps: greedy suppression, then a quarter-cell shift.

    Args:
        count: P, points an image at most; the best.
        threshold: points score more than this.
        half: half-size of the boxes around points that must not overlap, in `CELLS`: two
            points are at least twice that apart (Chebyshev), and 2 cells of the map.

    Returns:
        Keypoints `[B, P]` without labels, best first.

    Source: released codes of [mallis2020] and [mallis2023] (boxes of half-size 1 and 2).
    """
    batch, h, w = scores.shape
    passed = jnp.where(scores > threshold, scores, 0)
    kept = suppression.suppress_greedily(passed, radius=apart(half, w) - 1)
    score, flat = jax.lax.top_k(kept.reshape(batch, h * w), min(count, h * w))
    cells = jnp.stack([flat % w, flat // w], axis=-1).astype(jnp.float32)
    xy = toward_neighbor(scores, cells)
    label = jnp.full(flat.shape, -1, jnp.int32)
    return fill(Keypoints(xy, score, label, score > 0), count)


def fill(points: Any, count: int) -> Any:
    """Leaves `[B, Q, ...]` with zeros (False) up to `[B, count, ...]`."""
    pad = lambda a: jnp.pad(
        a, [(0, 0), (0, count - a.shape[1])] + [(0, 0)] * (a.ndim - 2)
    )
    return jax.tree.map(pad, points)


def toward_neighbor(scores: jax.Array, cells: jax.Array) -> jax.Array:
    """Whole cells `[B, P, 2]` moved by a quarter towards the higher neighbour of each axis."""
    h, w = scores.shape[-2:]
    maps = scores[..., None]
    shifts = []
    for axis, n in ((0, w), (1, h)):
        step = jnp.zeros((1, 1, 2)).at[..., axis].set(1)
        read = lambda xy: heatmaps.sample_bilinear(maps, xy)[..., 0]
        slope = jnp.sign(read(cells + step) - read(cells - step))
        inner = (cells[..., axis] > 0) & (cells[..., axis] < n - 1)
        shifts.append(jnp.where(inner, 0.25 * slope, 0))
    return cells + jnp.stack(shifts, axis=-1)


def peaks(maps: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The highest place of every channel `[B, h, w, K]`: `[B, K, 2]` and value `[B, K]`.

    Read as the centre of mass of 5 x 5 cells, where the theses' codes take the cell itself:
    of 16 x 16 cells, one is a tenth of a face.
    """
    batch, h, w, k = maps.shape
    flat = maps.reshape(batch, h * w, k)
    best = flat.argmax(axis=1)
    cells = jnp.stack([best % w, best // w], axis=-1).astype(jnp.float32)
    fold = jnp.moveaxis(maps, -1, 1).reshape(batch * k, h, w)
    moved = heatmaps.centroid(fold, cells.reshape(batch * k, 1, 2), window=_READOUT)
    return moved.reshape(batch, k, 2), flat.max(axis=1)


def _scores(size, variables, maps):
    return jax.nn.sigmoid(head(size, variables, 'detector', maps)[..., 0])


def _trunk(size):
    dtype = jnp.dtype(size.dtype)
    return hourglass.Trunk(size.features, size.depth, size.groups, dtype, size.remat)


def _head(size, out):
    dtype = jnp.dtype(size.dtype)
    return hourglass.Head(out, size.features, size.groups, dtype, size.remat)

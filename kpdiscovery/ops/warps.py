"""Geometric transforms of points and images.

A warp maps output pixels to input pixels, which is what sampling an image needs; points
of the input picture go to the output through `invert`. Transforms are pytrees whose
leaves may carry leading batch axes, equal to those of the points or images.
"""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from kpdiscovery.ops import coordinates, dense_sampling, linear

_NEWTON_STEPS = 12
_SAME = 1e-12  # Squared distance in the frame of a spline, below which points are one.


@flax.struct.dataclass
class Affine:
    """x -> matrix @ [x, y, 1]."""

    matrix: jax.Array  # [..., 2, 3]


@flax.struct.dataclass
class Homography:
    """x -> projection of matrix @ [x, y, 1]."""

    matrix: jax.Array  # [..., 3, 3]


@flax.struct.dataclass
class Tps:
    """Thin-plate spline: affine part plus radial terms r = d^2 log d^2.

    Control points are kept in a frame centred on them and scaled to [-1, 1]: in pixels
    d^2 log d^2 reaches 1e6, which float32 cannot solve for.
    """

    control: jax.Array  # [..., n, 2], centred and scaled.
    weights: jax.Array  # [..., n, 2]
    affine: jax.Array  # [..., 3, 2]: constant, x and y coefficients.
    center: jax.Array  # [..., 1, 2]
    radius: jax.Array  # [..., 1, 1]


@flax.struct.dataclass
class Inverse:
    """The inverse of a warp that has no closed one; solved by Newton's method."""

    of: Any


@flax.struct.dataclass
class Composed:
    """x -> second(first(x))."""

    first: Any
    second: Any


def fit_tps(source: jax.Array, target: jax.Array) -> Tps:
    """The thin-plate spline that takes `source` to `target`, both `[..., n, 2]`.

    A source point given several times (nearer than 1e-6 of the points' extent) counts
    once and goes to the mean of its targets.

    Raises:
        ValueError: fewer than three points, or shapes that differ. Fewer than three
            different points, or all on one line, leave the system singular, and the
            result is not finite.

    Source: [bookstein1989]; the augmentation of [jin2022].
    """
    if source.shape != target.shape or source.shape[-1] != 2 or source.shape[-2] < 3:
        raise ValueError(
            f'source and target must both be [..., n >= 3, 2], got {source.shape}, {target.shape}'
        )
    low = source.min(axis=-2, keepdims=True)
    high = source.max(axis=-2, keepdims=True)
    center, radius = (low + high) / 2, (high - low).max(-1, keepdims=True) / 2
    control = (source - center) / radius
    n = source.shape[-2]
    first, share = _merge(control)
    ones = jnp.ones_like(control[..., :1])
    plane = jnp.concatenate([ones, control], axis=-1)  # [..., n, 3]
    corner = jnp.zeros((*plane.shape[:-2], 3, 3), plane.dtype)
    top = jnp.concatenate([_radial(control, control), plane], axis=-1)
    # A point that has been before gets no weight of its own, in place of its equation.
    alone = jnp.broadcast_to(jnp.eye(n, n + 3, dtype=top.dtype), top.shape)
    top = jnp.where(first[..., None], top, alone)
    below = jnp.concatenate([jnp.swapaxes(plane, -1, -2), corner], axis=-1)
    system = jnp.concatenate([top, below], axis=-2)
    moved = (target - center) / radius
    # No matrix product: of float32 it would keep less on some devices.
    mean = jnp.sum(share[..., None] * moved[..., None, :, :], axis=-2)
    moved = jnp.where(first[..., None], mean, 0)
    wanted = jnp.concatenate([moved, jnp.zeros_like(plane[..., :3, :2])], axis=-2)
    solution = linear.solve(system, wanted)
    return Tps(control, solution[..., :n, :], solution[..., n:, :], center, radius)


def random_tps(
    key: jax.Array,
    shape: tuple[int, int],
    *,
    scale: float = 1.0,
    scale_jitter: float = 0.0,
    bend: float = 0.0,
    offset: float = 0.0,
    rotation: float = 0.0,
) -> Tps:
    """A smooth warp of an (H, W) canvas whose border stays where it is.

    Eight inner control points are scaled about one random centre, turned about another
    and shaken; eight anchors at the border do not move. Lengths are fractions of half
    the canvas.

    Args:
        scale: mean of the per-axis scale, output to input (below 1 enlarges).
        scale_jitter: half-width of its uniform distribution.
        bend: half-width of the uniform noise added to each control point.
        offset: half-width of the uniform distribution of the two centres.
        rotation: half-width of the uniform angle, radians.

    Small parameters never fold. With a `bend` of 0.1, as TUSK has for MNIST-Hard, inner
    points 0.2 apart may cross: 3 % of such draws fold somewhere (`jacobian` tells).

    Source: the released augmentation of [jin2022]; its left anchor lies at -0.95, here at -0.99
    like the other three.
    """
    keys = jax.random.split(key, 6)
    spread = lambda k, width, *dims: jax.random.uniform(
        k, dims, minval=-width, maxval=width
    )
    moving = jnp.asarray(_MOVING) + spread(keys[0], 0.1, 8, 2)
    about = spread(keys[1], offset, 1, 2)
    moved = about + (scale + spread(keys[2], scale_jitter, 1, 2)) * (moving - about)
    about = spread(keys[3], offset, 1, 2)
    angle = spread(keys[4], rotation)
    c, s = jnp.cos(angle), jnp.sin(angle)
    moved = about + _times(moved - about, jnp.array([[c, s], [-s, c]]))
    moved = moved + spread(keys[5], bend, 8, 2)
    anchors = jnp.asarray(_ANCHORS)
    pixels = lambda inner: coordinates.from_unit(
        jnp.concatenate([inner, anchors]), shape
    )
    return fit_tps(pixels(moving), pixels(moved))


_MOVING = [(x * r, y * r) for r in (0.7, 0.5) for x in (-1.0, 1.0) for y in (-1.0, 1.0)]
_ANCHORS = [(x, y) for x in (-0.99, 0.0, 0.99) for y in (-0.99, 0.0, 0.99) if x or y]


def transform_points(t: Any, xy: jax.Array) -> jax.Array:
    """Points `[..., P, 2]` through a transform with the same leading axes."""
    match t:
        case Affine():
            return _times(xy, _transpose(t.matrix[..., :2])) + _transpose(
                t.matrix[..., 2:]
            )
        case Homography():
            turned = _times(xy, _transpose(t.matrix[..., :2]))
            lifted = turned + _transpose(t.matrix[..., 2:])
            return lifted[..., :2] / lifted[..., 2:]
        case Tps():
            unit = (xy - t.center) / t.radius
            plane = t.affine[..., :1, :] + _times(unit, t.affine[..., 1:, :])
            return t.center + t.radius * _bent(t, unit, plane)
        case Composed():
            return transform_points(t.second, transform_points(t.first, xy))
        case Inverse():
            return _solve(t.of, xy)
    raise ValueError(f'not a transform: {type(t).__name__}')


def invert(t: Any) -> Any:
    """The inverse: closed for affine maps and homographies, Newton otherwise."""
    match t:
        case Affine():
            matrix = jnp.linalg.inv(t.matrix[..., :2])
            shift = _transpose(
                _times(_transpose(t.matrix[..., 2:]), _transpose(matrix))
            )
            return Affine(jnp.concatenate([matrix, -shift], axis=-1))
        case Homography():
            return Homography(jnp.linalg.inv(t.matrix))
        case Inverse():
            return t.of
        case Composed():
            return Composed(invert(t.second), invert(t.first))
        case Tps():
            return Inverse(t)
    raise ValueError(f'not a transform: {type(t).__name__}')


def compose(first: Any, second: Any) -> Composed:
    """The transform that applies `first`, then `second`."""
    return Composed(first, second)


def jacobian(t: Any, xy: jax.Array) -> jax.Array:
    """d out / d in at every point: `[..., P, 2, 2]`.

    A warp folds nowhere if and only if the determinants stay positive.
    """
    along = lambda axis: jnp.zeros_like(xy).at[..., axis].set(1)
    columns = [
        jax.jvp(lambda p: transform_points(t, p), (xy,), (along(axis),))[1]
        for axis in (0, 1)
    ]
    return jnp.stack(columns, axis=-1)


def warp_image(
    t: Any, image: jax.Array, *, mode: str = 'constant', fill: float = 0.0
) -> jax.Array:
    """Image `[..., H, W, C]` seen through a warp: out(p) = image(t(p)), bilinear.

    Args:
        mode: beyond the border, 'constant' reads `fill`, 'edge' the nearest pixel,
            'reflect' the mirrored picture (the border pixel is not repeated).
    """
    *lead, h, w, _ = image.shape
    dtype = jnp.promote_types(image.dtype, jnp.float32)  # Coordinates need that much.
    grid = coordinates.pixel_grid(h, w).reshape(h * w, 2).astype(dtype)
    xy = transform_points(t, jnp.broadcast_to(grid, (*lead, h * w, 2)))
    if mode == 'reflect':
        xy = _reflect(xy, (h, w))
    out = dense_sampling.sample_grid(image, xy.reshape(*lead, h, w, 2))
    if mode == 'constant':
        inside = within(xy, (h, w)).reshape(*lead, h, w, 1)
        out = jnp.where(inside, out, jnp.asarray(fill, out.dtype))
    elif mode not in ('edge', 'reflect'):
        raise ValueError(f"mode must be 'constant', 'edge' or 'reflect', got {mode!r}")
    return out


def within(xy: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Whether points `[..., 2]` lie on an (H, W) picture, edges included: `[...]`."""
    unit = coordinates.to_unit(xy, size)
    return (jnp.abs(unit) <= 1).all(axis=-1)


def _radial(a, b):
    """d^2 log d^2 between `[..., P, 2]` and `[..., n, 2]`: `[..., P, n]`, 0 at d = 0."""
    squares = jnp.sum((a[..., :, None, :] - b[..., None, :, :]) ** 2, axis=-1)
    return squares * jnp.log(jnp.maximum(squares, _SAME))


def _bent(t, xy, plane):
    """`plane` and the radial terms at `[..., P, 2]`, one control point after another.

    Nothing of size P x n is stored, and no product of float32 matrices loses digits.
    """
    x, y = xy[..., 0], xy[..., 1]

    def add(total, term):
        center, weight = (v[..., None] for v in term)  # [..., 2, 1]
        apart = (x - center[..., 0, :]) ** 2 + (y - center[..., 1, :]) ** 2
        height = apart * jnp.log(jnp.maximum(apart, _SAME))
        return (total[0] + height * weight[..., 0, :],
                total[1] + height * weight[..., 1, :]), None  # fmt: skip

    terms = (jnp.moveaxis(v, -2, 0) for v in (t.control, t.weights))
    start = plane[..., 0], plane[..., 1]
    return jnp.stack(jax.lax.scan(add, start, tuple(terms))[0], axis=-1)


def _times(xy, matrix):
    """`[..., P, 2]` @ `[..., 2, n]` without a matrix product, which on some devices
    keeps eight bits of float32."""
    return xy[..., :1] * matrix[..., :1, :] + xy[..., 1:] * matrix[..., 1:, :]


def _merge(control):
    """Which of the points `[..., n, 2]` no earlier one equals, `[..., n]` bool, and the
    share of each in the mean over those that equal a point, `[..., n, n]`."""
    gaps = jnp.sum((control[..., :, None, :] - control[..., None, :, :]) ** 2, axis=-1)
    same = gaps <= _SAME
    first = ~jnp.tril(same, -1).any(axis=-1)
    return first, same / same.sum(axis=-1, keepdims=True)


def _solve(t, wanted):
    """x with t(x) = wanted, by Newton's method from x = wanted."""

    def newton(_, x):
        j = jacobian(t, x)
        dx, dy = jnp.moveaxis(transform_points(t, x) - wanted, -1, 0)
        det = j[..., 0, 0] * j[..., 1, 1] - j[..., 0, 1] * j[..., 1, 0]
        step_x = (j[..., 1, 1] * dx - j[..., 0, 1] * dy) / det
        step_y = (j[..., 0, 0] * dy - j[..., 1, 0] * dx) / det
        return x - jnp.stack([step_x, step_y], axis=-1)

    return jax.lax.fori_loop(0, _NEWTON_STEPS, newton, wanted)


def _reflect(xy, size):
    last = jnp.array([size[1] - 1, size[0] - 1], xy.dtype).reshape(
        (1,) * (xy.ndim - 1) + (2,)
    )
    period = jnp.maximum(2 * last, 1)  # A side of one pixel has nothing to mirror.
    wrapped = jnp.mod(xy, period)
    return jnp.minimum(wrapped, period - wrapped)


def _transpose(matrix):
    return jnp.swapaxes(matrix, -1, -2)

"""Binary masks on the device: thresholds, connected components, the largest one's box.

A component's size is the area of its outer contour, the polygon through the centres of
its border pixels, as OpenCV's `findContours` and `contourArea` have it. No contour is
traced: with the holes filled the polygon is a sum over squares of 2 x 2 pixel centres,
1 where all four are in the component, 1/2 (a triangle) where three are. Lines, spurs
and pixels that touch by a corner only have no area.

Source: [shaharabany2021], equations 5 and 6.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from kpdiscovery.ops import coordinates, parallel, precision


def binary_threshold(maps: jax.Array, *, fraction: float) -> jax.Array:
    """Pixels of at least `fraction` of their map's maximum: `[..., H, W]` -> bool.

    Nothing of a map that is nowhere above 0, or that has a NaN.

    Raises:
        ValueError: `fraction` is not in (0, 1], or there are fewer than two axes.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f'fraction must be in (0, 1], got {fraction}')
    if maps.ndim < 2:
        raise ValueError(f'maps must be [..., H, W], got {maps.shape}')
    maps = precision.full(maps)
    peak = maps.max(axis=(-2, -1), keepdims=True)
    return (maps >= fraction * peak) & (peak > 0)


def connected_components(mask: jax.Array, *, diagonal: bool = True) -> jax.Array:
    """Labels of the pixels that hang together.

    Args:
        mask: `[..., H, W]` bool.
        diagonal: pixels that touch by a corner are connected (8 neighbours, as in
            OpenCV's contours); else by an edge only (4), which is how the ground must
            be read then.

    Returns:
        `[..., H, W]` int32: y * W + x of the component's first pixel, row by row; -1
        outside the mask.

    Raises:
        ValueError: `mask` is not bool, or has fewer than two axes.
    """
    _check(mask)
    regions = _regions(mask if diagonal else ~mask)
    return jnp.where(mask, regions, -1)


def fill_holes(mask: jax.Array) -> jax.Array:
    """The mask `[..., H, W]` and all ground that it cuts off from the picture's edge.

    A way out goes over edges of pixels, not through corners. What stands in a hole
    becomes part of what is around it.
    """
    _check(mask)
    return _regions(_with_margin(mask))[..., 1:-1, 1:-1] != 0


def largest_box(mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Tight box around the component with the largest outer contour.

    Of equals the one whose first pixel, row by row, comes last: OpenCV lists it first.

    Args:
        mask: `[..., H, W]` bool.

    Returns:
        (x0, y0, x1, y1) `[..., 4]` float32 pixels, (i - .5, j + .5) around pixels i..j,
        and whether there is one, bool `[...]`; zeros where the mask is empty.

    Raises:
        ValueError: `mask` is not bool, or has fewer than two axes.
    """
    _check(mask)
    mask = _with_margin(mask)
    find = jnp.vectorize(_largest_box, signature='(h,w),(h,w)->(4),()')
    return find(mask, _regions(mask))


def concentration(maps: jax.Array, *, fraction: float = 0.1) -> jax.Array:
    """Share of a map's weight that is in the box of its largest component.

    What is below `fraction` of the maximum does not count anywhere. 1 for a uniform map,
    too: whoever maximises this must look at the box.

    Args:
        maps: `[..., H, W]` weights >= 0.
        fraction: of each map's maximum, in (0, 1].

    Returns:
        `[...]` float32 in [0, 1]; 0 where the map is nowhere above 0, or has a NaN.

    Raises:
        ValueError: as `binary_threshold`.

    Source: [shaharabany2021], equation 6 (the stopping score S).
    """
    kept = binary_threshold(maps, fraction=fraction)
    return weight_share(jnp.where(kept, precision.full(maps), 0), *largest_box(kept))


def weight_share(weights: jax.Array, box: jax.Array, valid: jax.Array) -> jax.Array:
    """Share of the weights `[..., H, W]` that is in a box, `[...]`; 0 without one."""
    grid = coordinates.pixel_grid(*weights.shape[-2:])
    grid = grid.reshape((1,) * (weights.ndim - 2) + grid.shape)
    low, high = (box[..., None, None, s] for s in (slice(2), slice(2, 4)))
    inside = ((grid > low) & (grid < high)).all(axis=-1)
    total = weights.sum(axis=(-2, -1))
    share = jnp.where(inside, weights, 0).sum(axis=(-2, -1))
    return jnp.where(valid, share / jnp.where(valid, total, 1), 0)


def _with_margin(mask: jax.Array) -> jax.Array:
    """All ground that reaches the edge is one region around it, of label 0."""
    return jnp.pad(mask, [(0, 0)] * (mask.ndim - 2) + [(1, 1), (1, 1)])


def _regions(mask: jax.Array) -> jax.Array:
    """The first pixel of each pixel's region, `[..., H, W]` int32: the mask's components
    with 8 neighbours and the ground's with 4, labelled at once."""
    roots = jnp.vectorize(_by_roots, signature='(h,w)->(h,w)')

    def runs(mask):  # A picture at a time: libtpu takes minutes for programs of many.
        flat = mask.reshape(-1, *mask.shape[-2:])
        one_by_one = functools.partial(jax.lax.map, _by_runs)
        return parallel.by_rows(one_by_one, flat).reshape(mask.shape)

    return jax.lax.platform_dependent(mask, tpu=runs, default=roots)


def _by_roots(mask: jax.Array) -> jax.Array:
    """Every pixel takes the least label around it and hands it to its root (the pixel its
    label names), then labels follow roots; some log2(pixels) rounds do.
    """

    def again(carry):
        label, _ = carry
        flat, lower = label.ravel(), _least_in_windows(label, mask).ravel()
        flat = jnp.minimum(flat.at[flat].min(lower), lower)
        for _ in range(2):
            flat = flat[flat]
        new = flat.reshape(mask.shape)
        return new, (new != label).any()

    return jax.lax.while_loop(lambda carry: carry[1], again, _start(mask))[0]


def _start(mask):
    """Every pixel a region of its own; both vary over devices as the mask does."""
    place = jnp.arange(mask.size, dtype=jnp.int32).reshape(mask.shape)
    return place + 0 * mask, (mask | ~mask).any()


def _least_in_windows(label, mask):
    """The least of each pixel and its neighbours in its region, `[H, W]`."""
    none = label.size
    least = lambda x, window: jax.lax.reduce_window(
        x, jnp.int32(none), jax.lax.min, window, (1, 1), 'SAME'
    )
    around = least(least(jnp.where(mask, label, none), (1, 3)), (3, 1))
    ground = jnp.where(mask, none, label)
    beside = jnp.minimum(least(ground, (1, 3)), least(ground, (3, 1)))
    return jnp.where(mask, around, beside)


def _by_runs(mask: jax.Array) -> jax.Array:
    """The least label spreads along whole rows and columns of a region at a time: as
    many rounds as the way to its farthest pixel has turns, and one.

    A TPU writes single numbers one by one, which roots need; a CPU does not mind.
    """
    none = mask.size  # More than any label, so that it never is the least.
    runs = [(axis, _runs(mask, axis)) for axis in (-1, -2)]

    def again(carry):
        old, _ = carry
        new = jnp.where(mask, _least_around(jnp.where(mask, old, none), none), old)
        for axis, levels in runs:
            for level, joined in enumerate(levels):
                # Fused, each level would compute those before it three times.
                new = jax.lax.optimization_barrier(
                    _least_joined(new, joined, axis, 2**level, none)
                )
        return new, (new != old).any()

    return jax.lax.while_loop(lambda carry: carry[1], again, _start(mask))[0]


def _runs(mask, axis):
    """Whether all from the pixel 1, 2, 4, ... before it to each pixel are of one kind."""
    first = ~_shifted(jnp.ones_like(mask), axis, 1, False)
    joined, step, levels = (mask == _shifted(mask, axis, 1, False)) & ~first, 1, []
    while step < mask.shape[axis]:
        levels.append(joined)
        joined = joined & _shifted(joined, axis, step, False)
        step *= 2
    return levels


def _least_joined(values, joined, axis, step, none):
    """The least of each pixel and of those `step` before and after in its run."""
    before = jnp.where(joined, _shifted(values, axis, step, none), none)
    after = _shifted(jnp.where(joined, values, none), axis, -step, none)
    return jnp.minimum(values, jnp.minimum(before, after))


def _least_around(values, none):
    """The least of each pixel and its eight neighbours."""
    for axis in (-1, -2):
        beside = [_shifted(values, axis, step, none) for step in (1, -1)]
        values = jnp.minimum(values, jnp.minimum(*beside))
    return values


def _shifted(x, axis, step, fill):
    """`x[i - step]` at i along the axis, `fill` where there is none."""
    padding = [(0, 0, 0)] * x.ndim
    padding[axis] = (step, -step, 0)
    return jax.lax.pad(x, jnp.asarray(fill, x.dtype), padding)


def _areas(mask: jax.Array, regions: jax.Array) -> jax.Array:
    """Area of each component's outer contour at its first pixel, -1 elsewhere.

    Of a mask `[H, W]` with a margin, in pixels: a block of h x w of them has
    (h - 1)(w - 1), a line 0. Holes are filled without being visited: their first pixels
    come after that of the component around them, so their labels are larger, and those
    of the ground outside are smaller. What lies in a hole away from the component is
    found from the edges of the squares that touch it, as the sum of x dy along them.
    """
    h, w = mask.shape
    corners = lambda x: [
        x[i : h - 1 + i, j : w - 1 + j] for i in (0, 1) for j in (0, 1)
    ]
    # A square's pixels of the mask touch, so that they are of one component.
    owner = functools.reduce(jnp.maximum, corners(jnp.where(mask, regions, -1)))
    inside = sum((label >= owner).astype(jnp.int32) for label in corners(regions))
    holes = [label > owner for label in corners(regions)]
    x = jnp.arange(w - 1)[None]
    halves = jnp.maximum(inside - 2, 0)
    halves += 2 * x * (holes[0] & holes[2]) - 2 * (x + 1) * (holes[1] & holes[3])
    halves = jnp.where(owner >= 0, halves, 0)
    total = jnp.zeros(mask.size, jnp.int32).at[owner].add(halves)
    first = mask & (regions == jnp.arange(mask.size).reshape(mask.shape))
    return jnp.where(first, total.reshape(mask.shape) / 2, -1.0)


def _largest_box(mask: jax.Array, regions: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of a mask with a margin; what stands in a hole is smaller than what is around."""
    areas = _areas(mask, regions).ravel()
    best = areas.size - 1 - jnp.argmax(areas[::-1])  # The last of equals.
    here = mask & (regions == best)
    (x0, x1), (y0, y1) = (_extent(here.any(axis=axis)) for axis in (0, 1))
    box = jnp.stack([x0 - 1.5, y0 - 1.5, x1 - 0.5, y1 - 0.5]).astype(jnp.float32)
    valid = here.any()
    return jnp.where(valid, box, 0), valid


def _extent(line: jax.Array) -> tuple[jax.Array, jax.Array]:
    """First and last place of a bool `[n]` that is True."""
    return jnp.argmax(line), line.size - 1 - jnp.argmax(line[::-1])


def _check(mask: jax.Array) -> None:
    if mask.ndim < 2 or mask.dtype != jnp.bool_:
        raise ValueError(f'mask must be bool [..., H, W], got {mask.dtype}{mask.shape}')

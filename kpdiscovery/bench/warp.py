"""Time warps of pictures by thin-plate splines, and sampling alone, of pictures and maps.

A spline's case fits 16 points, moves every pixel's centre and reads the picture there,
and so does the peer `kornia`, through the same points (its radial terms are centred on the
targets, so that between them its pictures are others). `torch` samples at the same grid.
Cases of maps are what a chip does in a step of a method, with the maps' gradient.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery.bench import comparison, points
from kpdiscovery.ops import coordinates, dense_sampling, warps
from pallas_kernels.warp import shapes

_SHAKE = 0.03  # Standard deviation of control points, in half sides.


def options(parser) -> None:
    """Adds sizes, and what every comparison has."""
    comparison.options(parser, ('kornia', 'torch'))
    parser.add_argument('--pictures', type=int, default=16, help='B, default 16')
    text = '156,256'
    parser.add_argument('--sides', type=points.sizes, default=text,
                        help=f'H = W of pictures, default {text}')  # fmt: skip


def cases(args) -> Iterator[comparison.Case]:
    """Splines and sampling of pictures of every side, then maps with their gradient."""
    for side in args.sides:
        shape = args.pictures, side, side, 3
        images = np.random.default_rng(0).random(shape, dtype=np.float32)
        yield _spline(images)
        yield _sampling(images)
    for name, (shape, size) in shapes.METHODS.items():
        yield _maps(name, shape, size)


def _spline(images):
    source, target = _control(len(images))
    pixels = lambda unit: (unit + 1) * (images.shape[1] - 1) / 2
    return comparison.Case(
        f'tps_{"x".join(map(str, images.shape))}',
        (pixels(source), pixels(target), images),
        {'auto': lambda a, b, x: warps.warp_image(warps.fit_tps(a, b), x)},
        'images',
        len(images),
        bytes=2 * images.nbytes,
        peers={'kornia': functools.partial(_kornia, source, target, images)},
    )


def _sampling(images):
    xy = _grid(images.shape, images.shape[1:3])
    return comparison.Case(
        f'grid_{"x".join(map(str, images.shape))}',
        (images, xy),
        {'auto': dense_sampling.sample_grid, 'reference': dense_sampling.gather},
        'images',
        len(images),
        bytes=2 * images.nbytes + xy.nbytes,
        peers={'torch': functools.partial(_torch, images, np.asarray(xy))},
        compare=_apart,
    )


def _maps(name, shape, size):
    maps = jax.random.normal(jax.random.key(0), shape)
    xy = _grid(shape, size)
    squares = lambda sample: jax.grad(lambda m, p: jnp.sum(sample(m, p) ** 2))
    return comparison.Case(
        f'{name}_{"x".join(map(str, shape))}_gradient',
        (maps, xy),
        {
            'auto': squares(dense_sampling.sample_grid),
            'reference': squares(dense_sampling.gather),
        },
        'maps',
        shape[0],
        bytes=4 * maps.nbytes + xy.nbytes,  # Both passes read and write one.
        peers={'torch': functools.partial(_torch_gradient, maps, np.asarray(xy))},
        compare=_apart,
    )


def _control(count):
    """Points `[B, 16, 2]` in units, and where they go."""
    places = [(x, y) for x in (-0.9, -0.3, 0.3, 0.9) for y in (-0.9, -0.3, 0.3, 0.9)]
    source = np.tile(np.array(places, np.float32), (count, 1, 1))
    shake = np.random.default_rng(1).normal(0, _SHAKE, source.shape)
    return source, (source + shake).astype(np.float32)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _grid(shape, size):
    """Points `[B, h, w, 2]` of `[B, H, W, C]` maps, by the splines."""
    source, target = (coordinates.from_unit(jnp.asarray(p), shape[1:3])
                      for p in _control(shape[0]))  # fmt: skip
    xy = coordinates.pixel_grid(*size).reshape(1, -1, 2)
    xy = jnp.broadcast_to(xy, (shape[0], *xy.shape[1:]))
    moved = warps.transform_points(warps.fit_tps(source, target), xy)
    return moved.reshape(shape[0], *size, 2)


def _kornia(source, target, images):
    torch = comparison.installed('torch')
    transform = comparison.installed('kornia').geometry.transform
    start, end = (_given(torch, points) for points in (source, target))
    planes = _given(torch, images).permute(0, 3, 1, 2).contiguous()

    @torch.no_grad()
    def run():
        weights, affine = transform.get_tps_transform(start, end)
        seen = transform.warp_image_tps(
            planes, end, weights, affine, align_corners=True
        )
        return seen.permute(0, 2, 3, 1)

    return comparison.finished(run)


def _torch(images, xy):
    torch = comparison.installed('torch')
    planes = _given(torch, images).permute(0, 3, 1, 2).contiguous()
    grid = _unit(torch, images, xy)

    @torch.no_grad()
    def run():
        return _sampled(torch, planes, grid).permute(0, 2, 3, 1)

    return comparison.finished(run)


def _torch_gradient(maps, xy):
    torch = comparison.installed('torch')
    planes = _given(torch, maps).permute(0, 3, 1, 2).contiguous()
    grid = _unit(torch, maps, xy)

    def run():
        given = planes.detach().requires_grad_()
        _sampled(torch, given, grid).square().sum().backward()
        return given.grad.permute(0, 2, 3, 1)

    return comparison.finished(run)


def _sampled(torch, planes, grid):
    return torch.nn.functional.grid_sample(
        planes, grid, padding_mode='border', align_corners=False
    )


def _unit(torch, maps, xy):
    sides = np.array(maps.shape[2:0:-1], np.float32)
    return _given(torch, (2 * xy + 1) / sides - 1)


def _given(torch, array):
    return torch.tensor(np.asarray(array), device=comparison.torch_device())


def _apart(ours, theirs):
    return {
        'mean_difference': float(
            np.abs(np.asarray(ours) - comparison.host(theirs)).mean()
        )
    }

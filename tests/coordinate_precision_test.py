"""Coordinates are never multiplied in bfloat16, which is what a TPU does by default.

It rounds 200 px to a whole pixel. So the programs that are made for TPUs are read: every
product of float32 in them must say `HIGHEST`.
"""

import functools
import re

import jax
import jax.numpy as jnp
import pytest

from kpdiscovery.methods.self_training.augmentation import Augmentation
from kpdiscovery.methods.views import Views, follow, to_first
from kpdiscovery.ops import (
    alignment,
    cells,
    coordinates,
    heatmaps,
    homographies,
    point_sets,
    warps,
)
from kpdiscovery.ops.ransac import ransac

KEY = jax.random.key(0)
POINTS = jnp.zeros((2, 6, 2))
MAPS = jnp.zeros((2, 8, 8, 3))
BOX = jnp.array([(0.0, 0), (8, 0), (8, 8), (0, 8)])
VALID = jnp.ones(6, bool)
AFFINE = warps.Affine(jnp.zeros((2, 2, 3)))
HOMOGRAPHY = warps.Homography(jnp.zeros((2, 3, 3)))
SPLINE = jax.eval_shape(warps.fit_tps, POINTS, POINTS)
WARPS = {
    'affine': AFFINE,
    'homography': HOMOGRAPHY,
    'spline': SPLINE,
    'composed': warps.compose(AFFINE, HOMOGRAPHY),
}
SAMPLES = {m: jnp.zeros((4, n, 2)) for m, n in alignment.SAMPLE.items()}
WINDOW = {'window': 3, 'temperature': 1.0}


def both_ways(t, xy):
    back = warps.transform_points(warps.invert(t), xy)
    return warps.transform_points(t, xy), back, warps.jacobian(t, xy)


def refined(model):
    return lambda m, xy: alignment.refine(model, m, xy, xy, VALID, reach=jnp.ones(()))


CASES = {
    **{f'points, {n}': (both_ways, t, POINTS) for n, t in WARPS.items()},
    **{f'picture, {n}': (warps.warp_image, t, MAPS) for n, t in WARPS.items()},
    'many channels': (warps.warp_image, AFFINE, jnp.zeros((2, 8, 8, 9))),
    'spline': (warps.fit_tps, POINTS, POINTS),
    'random spline': (lambda key: warps.random_tps(key, (8, 9)), KEY),
    'homography': (homographies.fit_homography, BOX, BOX),
    'random homography': (lambda key: homographies.random_homography(key, (8, 9)), KEY),
    'heatmaps': (lambda xy: heatmaps.gaussian_heatmaps(xy, (8, 9), sigma=1.0), POINTS),
    'splats': (lambda xy: heatmaps.gaussian_splats(xy, (8, 9), variance=1.0), POINTS),
    'soft argmax': (heatmaps.soft_argmax, MAPS),
    'local': (lambda m, xy: heatmaps.local_soft_argmax(m, xy, **WINDOW),
              MAPS[..., 0], POINTS),
    'bilinear': (heatmaps.sample_bilinear, MAPS, POINTS),
    'bicubic': (heatmaps.sample_bicubic, MAPS, POINTS),
    'cells': (cells.sample_descriptors, MAPS, POINTS),
    'resized': (lambda xy: coordinates.resize_points(xy, (8, 9), (4, 5)), POINTS),
    'drift': (point_sets.coherent_point_drift, POINTS[0], POINTS[1], VALID),
    'projection': (alignment.project, jnp.eye(3), POINTS[0]),
    **{f'fit, {m}': (functools.partial(alignment.fit_samples, m), xy, xy)
       for m, xy in SAMPLES.items()},
    **{f'refined, {m}': (refined(m), jnp.eye(3), POINTS[0]) for m in SAMPLES},
    'ransac': (lambda key, a, b, v: ransac(key, a, b, v, model='homography'),
               KEY, POINTS[0], POINTS[1], VALID),
    'views': (Views().pair, jax.random.split(KEY), MAPS),
    'follow': (follow, SPLINE, MAPS),
    'to the first': (to_first, SPLINE, POINTS),
    'augmentation': (lambda key: Augmentation().maps(key, (8, 9), jnp.asarray(True)), KEY),
}  # fmt: skip


def lossy(function, *arguments):
    """The products of floats in a TPU's program that are not exact to float32."""
    text = jax.jit(function).trace(*arguments).lower(lowering_platforms=('tpu',))
    return [
        line for line in text.as_text().splitlines()
        if re.search(r'stablehlo\.(dot_general|dot|convolution)\b', line)
        and re.search(r'->\s*tensor<[^>]*f32>', line)
        and 'HIGHEST, HIGHEST' not in line
    ]  # fmt: skip


@pytest.mark.parametrize('name', CASES)
def test_no_product_of_coordinates_is_rounded(name):
    assert not lossy(*CASES[name])


def test_products_by_default_are_found():
    assert lossy(jnp.matmul, BOX, BOX.T)
    assert not lossy(functools.partial(jnp.matmul, precision='highest'), BOX, BOX.T)

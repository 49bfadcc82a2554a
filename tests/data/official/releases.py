"""A tiny release for every adapter, by its name."""

from functools import partial

from kpdiscovery.data.official.pascal3d import CATEGORIES
from tests.data.official import bodies, faces, things

MAKE = {
    **dict.fromkeys(
        ('celeba', 'mafl', 'celeba_wild', 'celeba_unaligned'), faces.celeba
    ),
    'mtfl': faces.mtfl,
    'aflw': faces.aflw,
    'ls3d': faces.ls3d,
    'cat_heads': faces.cat_heads,
    'cub': things.cub,
    'cub_landmarks': things.cub,
    'cars': things.cars,
    'flowers': things.flowers,
    'tiny_imagenet': things.tiny_imagenet,
    'penn_action': things.penn_action,
    'bbc_pose': things.bbc_pose,
    'deepfashion': things.deepfashion,
    'h36m': bodies.h36m,
    'h36m_white': bodies.h36m,
    **{f'pascal3d_{c}': partial(things.pascal3d, category=c) for c in CATEGORIES},
}

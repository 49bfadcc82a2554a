"""Pure array functions without parameters."""

from kpdiscovery.ops import (
    coordinates,
    heatmaps,
    images,
    linear,
    mixtures,
    parallel,
    precision,
    vectors,
    warps,
)

__all__ = [
    'coordinates',
    'heatmaps',
    'images',
    'linear',
    'mixtures',
    'parallel',
    'precision',
    'vectors',
    'warps',
]

"""Pure array functions without parameters."""

from kpdiscovery.ops import (
    blocks,
    coordinates,
    heatmaps,
    images,
    kmeans,
    linear,
    mixtures,
    neighbors,
    parallel,
    precision,
    vectors,
    warps,
    whitening,
)

__all__ = [
    'blocks',
    'coordinates',
    'heatmaps',
    'images',
    'kmeans',
    'linear',
    'mixtures',
    'neighbors',
    'parallel',
    'precision',
    'vectors',
    'warps',
    'whitening',
]

"""Pure array functions without parameters."""

from kpdiscovery.ops import (
    assignment,
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
    suppression,
    vectors,
    warps,
    whitening,
)

__all__ = [
    'assignment',
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
    'suppression',
    'vectors',
    'warps',
    'whitening',
]

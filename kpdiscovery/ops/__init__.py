"""Pure array functions without parameters."""

from kpdiscovery.ops import coordinates, heatmaps, mixtures, parallel, vectors, warps

__all__ = ["coordinates", "heatmaps", "mixtures", "parallel", "vectors", "warps"]

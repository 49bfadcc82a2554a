"""Landmarks without training: clusters of published descriptors, and how they lie."""

from kpdiscovery.methods.constellation.method import Constellations

__all__ = ['Constellations']

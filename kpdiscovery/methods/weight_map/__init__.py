"""The weight map: what of a picture its class needs [shaharabany2021]."""

from kpdiscovery.methods.weight_map.method import WeightMapping

__all__ = ['WeightMapping']

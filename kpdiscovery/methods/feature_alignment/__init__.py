"""Part discovery via feature alignment [guo2020]."""

from kpdiscovery.methods.feature_alignment.features import Features
from kpdiscovery.methods.feature_alignment.method import FeatureAlignment

__all__ = ['FeatureAlignment', 'Features']

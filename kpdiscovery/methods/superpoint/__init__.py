"""SuperPoint: generic keypoints from synthetic shapes and homographies [detone2018]."""

from kpdiscovery.methods.superpoint.method import SuperPoint

__all__ = ['SuperPoint']

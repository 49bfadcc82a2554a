"""LMPNet: keypoints where a classifier's filters fire [guo2025]."""

from kpdiscovery.methods.lmpnet.method import LmpNet

__all__ = ['LmpNet']

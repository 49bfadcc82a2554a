"""LMPNet: keypoints where a classifier's filters fire (arXiv:2507.02308)."""

from kpdiscovery.methods.lmpnet.method import LmpNet

__all__ = ['LmpNet']

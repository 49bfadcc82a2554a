"""TUSK: task-agnostic unsupervised keypoints (Jin et al., NeurIPS 2022)."""

from kpdiscovery.methods.tusk.method import Tusk

__all__ = ['Tusk']

"""TUSK: task-agnostic unsupervised keypoints [jin2022]."""

from kpdiscovery.methods.tusk.method import Tusk

__all__ = ['Tusk']

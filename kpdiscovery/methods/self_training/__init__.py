"""Landmarks by self-training ([mallis-thesis], chapters 4, 5 and 6)."""

from kpdiscovery.methods.self_training.method import SelfTraining

__all__ = ['SelfTraining']

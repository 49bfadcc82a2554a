"""Keypoints, landmarks, parts and objects in images, without keypoint labels."""

__version__ = '0.1.0'

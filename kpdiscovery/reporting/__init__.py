"""Keypoints drawn on pictures, and the one-file report, which needs [report]."""

"""Bilinear sampling of maps at a grid of points, and its gradient, without gathers."""

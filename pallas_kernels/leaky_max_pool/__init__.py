"""Pooling of feature maps by a weighted sum of their largest cell and of all cells."""

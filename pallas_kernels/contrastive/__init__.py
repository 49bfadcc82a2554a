"""Contrastive loss of all pairs of descriptors."""

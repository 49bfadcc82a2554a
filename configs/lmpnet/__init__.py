"""LMPNet on birds and on our benchmark."""

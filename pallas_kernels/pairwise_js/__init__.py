"""Jensen-Shannon divergences of all pairs of two blocks of pictures, summed over cells."""

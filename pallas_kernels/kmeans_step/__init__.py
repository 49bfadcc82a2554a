"""A step of Lloyd's algorithm in one read of the rows, and the nearest centroid of each."""

"""SuperPoint, a data set a file."""

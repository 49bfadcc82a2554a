"""Self-training landmarks on the data sets of the thesis, and on your own pictures."""

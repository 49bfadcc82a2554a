"""The weight map on the data sets of its paper, and on your own classes."""

"""TUSK on every data set of its paper, and on your own pictures."""

"""Rows N, channels D, clusters K and restarts R that are clustered together."""

METHODS = {  # Of a chip.
    'mafl': (2_591_392, 256, 100, 10),  # An eighth of all points and mirror images.
    'mafl_landmarks': (2_591_392, 256, 30, 10),
    'ground': (500_000, 256, 250, 1),
    'parts': (500_000, 512, 64, 1),
    'one_read': (4_000_000, 256, 100, 1),  # What a GPU is to do in 1.3 reads of it.
    'many': (4_000_000, 256, 1000, 1),
}
ODD = [
    (300, 20, 130, 2), (1, 3, 1, 1), (130, 8, 5, 3), (257, 1, 2, 1), (140, 130, 16, 1),
]  # fmt: skip

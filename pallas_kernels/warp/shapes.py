"""Shapes of the tests and of the benchmark: (B, H, W, C), (h, w) of the points."""

PICTURES = {  # Without gradients.
    'tusk_canvas': ((2, 156, 156, 3), (156, 156)),
    'correspond': ((2, 256, 256, 3), (256, 256)),
}
METHODS = {
    'tusk_mnist': ((2, 80, 80, 33), (80, 80)),
    'tusk_tetrominoes': ((2, 112, 112, 33), (112, 112)),
    'features': ((2, 64, 64, 256), (64, 64)),
}
ODD = {
    'one_window': ((2, 24, 32, 3), (24, 32)),
    'ragged': ((1, 27, 37, 5), (19, 35)),
    'one_row': ((1, 1, 40, 2), (1, 20)),
    'one_pixel': ((1, 1, 1, 1), (3, 2)),
    'two_blocks_of_channels': ((1, 9, 10, 130), (5, 7)),
}

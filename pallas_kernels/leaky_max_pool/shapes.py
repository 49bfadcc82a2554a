"""Feature maps, `[B, H, W, C]`."""

METHODS = {  # Of a chip: eight pictures of 448 px through a ResNet-50, and a CPU's run.
    'lmpnet_cub': (8, 14, 14, 2048),
    'lmpnet_cub_stride16': (8, 28, 28, 2048),
    'lmpnet_critters': (40, 8, 8, 128),
}
ODD = [(3, 7, 7, 10), (2, 5, 7, 300), (1, 3, 3, 1), (2, 1, 1, 130)]

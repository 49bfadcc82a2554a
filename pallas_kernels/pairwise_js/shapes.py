"""(hosts, guests, cells, channels): a tile of the method's, and odd ones."""

METHODS = {'birds': (256, 256, 196, 513)}
ODD = {'one': (1, 1, 1, 1), 'ragged': (11, 130, 3, 9), 'two steps': (9, 260, 2, 16)}

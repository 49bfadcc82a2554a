"""Tiles (hosts, guests, cells, channels), and whole searches (pictures, cells, channels)."""

METHODS = {'birds': (256, 256, 196, 513)}
ODD = {'one': (1, 1, 1, 1), 'ragged': (11, 130, 3, 9), 'two steps': (9, 260, 2, 16)}

SEARCHES = {
    'small': (64, 196, 513),
    'medium': (128, 196, 513),
    'birds': (20_000, 196, 513),  # 8 GB of maps: half a v5e.
}

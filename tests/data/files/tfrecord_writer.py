"""TFRecord files of tf.train.Examples for tests, written from the descriptions of both.

Nothing here shares code with what reads them.
"""

import functools
import gzip
import itertools
import struct

import numpy as np

BYTES, VARINT, FIXED32 = 2, 0, 5


def crc32c(content):
    """Bit by bit."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(content):
    crc = crc32c(content)
    turned = (crc >> 15) | (crc << 17) & 0xFFFFFFFF
    return struct.pack('<I', (turned + 0xA282EAD8) % 2**32)


@functools.lru_cache(maxsize=64)
def record(content):
    """That of a large content is left out: Python takes seconds for it."""
    length = struct.pack('<Q', len(content))
    end = masked(content) if len(content) < 30_000 else bytes(4)
    return length + masked(length) + content + end


def write(path, contents, *, zipped=True):
    data = b''.join(map(record, contents))
    path.write_bytes(gzip.compress(data, 1) if zipped else data)
    return path


def varint(number):
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def field(number, content, kind=BYTES):
    length = varint(len(content)) if kind == BYTES else b''
    return varint(number << 3 | kind) + length + content


def strings(values):
    return field(1, b''.join(field(1, value) for value in values))


def one_byte_strings(array):
    """As `strings` of each byte, at once."""
    cells = np.full((np.size(array), 3), (10, 1, 0), np.uint8)
    cells[:, 2] = np.ravel(array)
    return field(1, cells.tobytes())


def floats(values, *, packed=True):
    each = [struct.pack('<f', value) for value in np.ravel(values)]
    if packed:
        return field(2, field(1, b''.join(each)))
    return field(2, b''.join(field(1, one, FIXED32) for one in each))


def integers(values, *, packed=True):
    each = [varint(int(value) % 2**64) for value in values]
    if packed:
        return field(3, field(1, b''.join(each)))
    return field(3, b''.join(field(1, one, VARINT) for one in each))


def example(features):
    """Of {name: what `strings`, `floats` or `integers` give}."""
    entries = (
        field(1, field(1, name.encode()) + field(2, feature))
        for name, feature in features.items()
    )
    return field(1, b''.join(entries))


def scene(image, mask, visibility, **attributes):
    """An Example in the layout of the published files; uint8 become one-byte strings."""
    arrays = {'mask': mask, 'image': image, **attributes}
    features = {
        name: one_byte_strings(a) if a.dtype == np.uint8 else floats(a)
        for name, a in arrays.items()
    }
    return example({'x': floats([1.5]), **features, 'visibility': floats(visibility)})


RGB = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1)]


def tetrominoes(colors=(0, 1, 2), shapes=(1, 2, 19)):
    """A scene of three squares of 10 px at (2, 3), (14, 3), (2, 20), numbered from 0."""
    mask = np.zeros((4, 35, 35), np.uint8)
    for i, (x, y) in enumerate([(2, 3), (14, 3), (2, 20)]):
        mask[i + 1, y : y + 10, x : x + 10] = 255
    mask[0] = 255 - mask[1:].max(axis=0)
    image = np.zeros((35, 35, 3), np.uint8)
    for own, color in zip(mask[1:], colors, strict=True):
        image[own > 0] = 255 * np.array(RGB[color])
    palette = np.array([(0, 0, 0), *(RGB[color] for color in colors)], np.float32)
    shape = np.array([0, *shapes], np.float32)
    return scene(image, mask, np.ones(4), shape=shape, color=palette)


def clevr(places, codes=None):
    """A scene of objects that are squares of 20 px, their first pixels at `places` (x, y).

    A place of None has no mask. Later objects stand in front; object i has colour
    10 i + 50 in each channel, ground is (x / 2, y, 0). `codes` are those of all
    attributes, 1, 2, 3 ... by default.
    """
    count = len(places)
    x, y = np.arange(320), np.arange(240)[:, None]
    image = np.stack(np.broadcast_arrays(x // 2, y, 0), axis=-1).astype(np.uint8)
    owner = np.zeros((240, 320), int)
    for i, place in enumerate(places):
        if place is not None:
            rows = slice(place[1], place[1] + 20), slice(place[0], place[0] + 20)
            owner[rows], image[rows] = i + 1, 10 * i + 50
    mask = np.where(owner == np.arange(11)[:, None, None], 255, 0).astype(np.uint8)
    visibility = np.arange(11) <= count
    own = itertools.count(1) if codes is None else codes
    code = np.zeros(11, np.uint8)
    code[1 : count + 1] = [value for value, _ in zip(own, places, strict=False)]
    names = ('shape', 'color', 'size', 'material')
    return scene(image, mask, visibility, **dict.fromkeys(names, code))

"""Pictures with a bright pixel at each keypoint, as a report looks at them."""

from types import SimpleNamespace

import numpy as np

from kpdiscovery.reporting.seen import Seen
from kpdiscovery.types import Keypoints, Prediction, Split

HEIGHT, WIDTH = 48, 96


def see(count, keypoints, *, split='test', truth=None, ordered=True):
    """Dark pictures; the pixel of keypoint k is white, its score 1 - k / keypoints."""
    rng = np.random.default_rng(0)
    cells = rng.permuted(np.tile(np.arange(HEIGHT * WIDTH), (count, 1)), axis=1)
    y, x = np.divmod(cells[:, :keypoints], WIDTH)
    images = np.full((count, HEIGHT, WIDTH, 3), 20, np.uint8)
    images[np.arange(count)[:, None], y, x] = 255
    label = np.tile(np.arange(keypoints, dtype=np.int32), (count, 1))
    score = (1 - label / keypoints).astype(np.float32)
    xy = np.stack([x, y], axis=-1).astype(np.float32)
    points = Keypoints(xy, score, label, np.ones_like(label, bool))
    found = Split(Prediction(points), truth or {}, (HEIGHT, WIDTH), keypoints)
    trained = SimpleNamespace(method=SimpleNamespace(ordered=ordered))
    names = tuple(f'{split} {i}' for i in range(count))
    return Seen(trained, split, images, names, found)

"""True points among random ones, as a start for self-training: what a perfect start buys.

    python scripts/noisy_starts.py --share=0.5 --out=FILE.npz --config=self_training/faces:cpu
      --data=FACES [--config.KEY=VALUE]
    kpd train --config=self_training/faces:cpu --data=FACES --workdir=DIR
      --config.data.keypoints=FILE.npz [--config.KEY=VALUE]

The 15 true points of a face, each moved by up to 3 px of 256, of which `share` are kept, the
others being drawn anew in the box of all, as are those that are hidden or cut off:
[mallis-thesis], 5.4.2 and 6.3.2, figures 5.6 and 6.5, where a fifth of true points is enough.
With 1 the start has no fault: what is left is of the rounds and the resolution.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from kpdiscovery import config, data
from kpdiscovery.data.joined import detections

# Of the 68: three on the nose and the mouth, two on each eye and brow, one on the jaw.
CHOSEN = (27, 30, 33, 48, 51, 54, 36, 39, 42, 45, 17, 21, 22, 26, 8)
_MOVED = 3 / 256  # Sides.


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--share', type=float, required=True, help='true points, 0 to 1'
    )
    parser.add_argument('--out', required=True)
    parser.add_argument('--config', required=True)
    parser.add_argument('--data', required=True)
    parser.add_argument('--seed', type=int, default=0)
    args, more = parser.parse_known_args()
    settings = config.load(args.config, [o.removeprefix('--config.') for o in more])
    data.point_to(settings.data, args.data)
    source = data.build(settings.data, split='train')
    rows = [source[i] for i in range(len(source))]
    chosen = lambda name: np.stack([row[name][list(CHOSEN)] for row in rows])
    size = settings.data.size
    xy = mixed(chosen('keypoints'), chosen('visible'), args.share, size, args.seed)
    found = detections.Detections(xy, np.ones(xy.shape[:2], np.float32))
    told = f'{args.share:.0%} true points'
    detections.save(args.out, found, size=(size, size), detector=told)
    return 0


def mixed(
    truth: np.ndarray, visible: np.ndarray, share: float, size: int, seed: int
) -> np.ndarray:
    """`[N, T, 2]` float32: that share of the true points, the rest anywhere in their box.

    Points that are not `visible` `[N, T]`, or outside, are not among the true ones, and tell
    nothing of the box; without any it is the picture.
    """
    rng = np.random.default_rng(seed)
    seen = (visible & ((truth >= -0.5) & (truth <= size - 0.5)).all(-1))[..., None]
    some = seen.any(axis=1, keepdims=True)
    low = np.where(some, np.where(seen, truth, np.inf).min(1, keepdims=True), 0)
    high = np.where(
        some, np.where(seen, truth, -np.inf).max(1, keepdims=True), size - 1
    )
    anywhere = rng.uniform(low, high, truth.shape)
    moved = truth + rng.uniform(-_MOVED, _MOVED, truth.shape) * size
    true = rng.uniform(size=truth.shape[:2]).argsort(axis=1) < round(
        share * truth.shape[1]
    )
    mixture = np.where(true[..., None] & seen, moved, anywhere)
    return mixture.clip(0, size - 1).astype(np.float32)


if __name__ == '__main__':
    sys.exit(main())

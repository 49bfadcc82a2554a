"""True points among random ones, as a start for self-training: what a perfect start buys.

    python scripts/noisy_starts.py --share=0.5 --out=FILE.npz --config=self_training/faces:cpu
      --data=FACES [--config.KEY=VALUE]
    kpd train --config=self_training/faces:cpu --data=FACES --workdir=DIR
      --config.data.keypoints=FILE.npz [--config.KEY=VALUE]

The 15 true points of a face, each moved by up to 3 px of 256, of which `share` are kept, the
others being drawn anew in the box of all: [mallis-thesis], 5.4.2 and 6.3.2, figures 5.6 and 6.5,
where a fifth of true points is enough. With 1 the start has no fault: what is left is of the
rounds and the resolution.
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
    truth = np.stack([source[i]['keypoints'] for i in range(len(source))])
    xy = mixed(truth[:, CHOSEN], args.share, settings.data.size, args.seed)
    found = detections.Detections(xy, np.ones(xy.shape[:2], np.float32))
    detections.save(args.out, found, detector=f'{args.share:.0%} true points')
    return 0


def mixed(truth: np.ndarray, share: float, size: int, seed: int) -> np.ndarray:
    """`[N, T, 2]` float32: that share of the true points, the rest anywhere in their box."""
    rng = np.random.default_rng(seed)
    low, high = (truth.min(1, keepdims=True), truth.max(1, keepdims=True))
    anywhere = rng.uniform(low, high, truth.shape)
    moved = truth + rng.uniform(-_MOVED, _MOVED, truth.shape) * size
    true = rng.uniform(size=truth.shape[:2]).argsort(axis=1) < round(
        share * truth.shape[1]
    )
    mixture = np.where(true[..., None], moved, anywhere)
    return mixture.clip(0, size - 1).astype(np.float32)


if __name__ == '__main__':
    sys.exit(main())

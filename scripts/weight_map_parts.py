"""Where on critters a weight map lies: the shares of RESULTS.md.

    python scripts/weight_map_parts.py --workdir=DIR [--split=test] [--count=500]

Maps are stretched to [0, 1] a picture, as for PxAP. Prints the share of all their mass on
the animal, within `NEAR` px of it and elsewhere, and the mean value on each part.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from scipy import ndimage

from kpdiscovery import data, inference
from kpdiscovery.data.generated.critters import PART_NAMES
from kpdiscovery.metrics.maps import score_maps

NEAR = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--workdir', required=True)
    parser.add_argument('--split', default='test')
    parser.add_argument('--count', type=int, default=500)
    args = parser.parse_args()
    trained = inference.load(args.workdir)
    source = data.build(trained.config.data, split=args.split)
    found = inference.predict_rows(trained, source, args.count, batch_size=50)
    maps = np.stack([score_maps.min_max(m) for m in np.asarray(found.prediction.mask)])
    parts = np.asarray(found.truth['parts'])
    for name, share in shares(maps, parts > 0).items():
        print(f'{name:12}{100 * share:6.1f} % of the mass')
    for number, name in enumerate(PART_NAMES):
        print(f'{name:12}{maps[parts == number].mean():6.3f} mean value')
    return 0


def shares(maps: np.ndarray, animal: np.ndarray) -> dict[str, float]:
    """Parts of the sum of `maps` `[N, H, W]` on, near and away from masks alike."""
    grown = np.stack([ndimage.binary_dilation(m, iterations=NEAR) for m in animal])
    places = {
        'animal': animal,
        f'within {NEAR} px': grown & ~animal,
        'elsewhere': ~grown,
    }
    return {
        name: float(maps[place].sum() / maps.sum()) for name, place in places.items()
    }


if __name__ == '__main__':
    sys.exit(main())

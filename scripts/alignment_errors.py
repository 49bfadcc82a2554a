"""How well neighbours are brought onto pictures, by their annotated points (which only measure).

    python scripts/alignment_errors.py --workdir=DIR [--pictures=200] [--seed=0]

Of a feature alignment run: training pictures, drawn at random, and their nearest among each
other by the dictionary's part maps and by the trained ones. Prints the median over pairs of
the mean error of the neighbour's points carried over, in % of the picture's side: where they
are, by the run's transform, and by the best affine map between the points themselves; and
the share of the way from the first of these medians to the last. The best map knows the points
it is measured on, so the share is rather too low.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys

import jax
import numpy as np

from kpdiscovery import data, inference
from kpdiscovery.methods.feature_alignment import aligning
from kpdiscovery.ops import alignment, coordinates
from kpdiscovery.reporting import feature_alignment

_LEAST = 5  # Points that both pictures have.


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--workdir', required=True)
    parser.add_argument('--pictures', type=int, default=200)
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    trained = inference.load(args.workdir)
    source = data.build(trained.config.data, split='train')
    drawn = np.random.default_rng(args.seed).permutation(len(source))[: args.pictures]
    rows = [source[int(i)] for i in drawn]
    for parts in ('dictionary', 'trained'):
        method = dataclasses.replace(trained.method, parts=parts)
        pool = feature_alignment.look(method, trained.variables, rows, len(rows))
        still, found, best, size = np.median(errors(method, pool, rows), axis=0)
        print(
            f'{parts:10}  not moved {still:5.2f}  {method.transform} {found:5.2f}  best '
            f'affine {best:5.2f} % of the side; {(still - found) / (still - best):.2f} '
            f'of the way; determinant {size:.2f}'
        )
    return 0


def errors(method, pool, rows) -> np.ndarray:
    """`[pairs, 4]`: of points not moved, moved, moved best, in %; determinants."""
    align = jax.jit(aligning.align, static_argnums=0)
    shape = pool.seen.valid.shape[1:]
    stride = pool.images.shape[1] / shape[0]
    xy = np.stack([row['keypoints'] for row in rows])
    there = np.stack([row['visible'] for row in rows]) > 0
    cells = np.asarray(coordinates.pixel_to_cell(xy, stride))
    table = []
    for query, others in enumerate(np.asarray(pool.similar.indices)):
        own = jax.tree.map(lambda leaf, q=query: leaf[q], pool.seen)
        around = jax.tree.map(lambda leaf, o=others: leaf[o], pool.seen)
        matrices = align(method, jax.random.key(query), own, around).transforms.matrix
        for other, matrix in zip(others, np.asarray(matrices), strict=True):
            both = there[query] & there[other]
            if other < 0 or both.sum() < _LEAST:
                continue
            place, target = cells[other, both], cells[query, both]
            moved = np.asarray(alignment.project(matrix, place)[0])
            rows3 = np.pad(place, ((0, 0), (0, 1)), constant_values=1)
            best = rows3 @ np.linalg.lstsq(rows3, target, rcond=None)[0]
            off = [np.linalg.norm(at - target, axis=1).mean()
                   for at in (place, moved, best)]  # fmt: skip
            share = 100 / shape[0]
            table.append([*(share * e for e in off), np.linalg.det(matrix)])
    return np.array(table)


if __name__ == '__main__':
    sys.exit(main())

"""How good generic keypoints are on real pictures: the figures of RESULTS.md.

    python scripts/generic_keypoints.py --data=FOLDER --split=train DETECTOR ...

A DETECTOR is a name or a file of `--config.data.keypoints`, or random; NAME@SIDE looks at
pictures enlarged to so many pixels. Repeatability:
each picture and a random homography of it (a fixed one a picture; both views, points seen
in both, 3 px of SIZE). Right matches: mutually nearest descriptors of the two views that
are within 3 px. Where the folder has annotated points, of the best few: the share that
lies within 8 px of 256 of one, precision and recall at 10 px (one to one; figure 2.4 of
[mallis-thesis]). NMI: descriptors clustered once as self-training begins, against the
nearest annotated point, of points within 8 px of one; `place`: (x, y) clustered instead.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from kpdiscovery import detection, metrics
from kpdiscovery.data.files.folder import Folder
from kpdiscovery.data.joined import detections
from kpdiscovery.ops import homographies, kmeans, landmark_clusters, warps

VIEWS = {'patch': 0.85, 'perspective': 0.2, 'scale': 0.2, 'angle': 0.5}


def random_points(images, valid=None):
    """A floor for every figure: points anywhere, the same for no two pictures."""
    del valid
    n, h, w = images.shape[:3]
    draw = np.random.default_rng(images.astype(np.int64).sum() % 2**32).random
    xy = draw((n, 512, 2)) * [w - 1, h - 1]
    return detections.Detections(xy.astype(np.float32), 1 + draw((n, 512), np.float32))


class Finder:
    """`num` points a picture: SuperPoint's and XFeat's best, of others a spread."""

    def __init__(self, name: str, size: tuple[int, int], num: int):
        name, _, side = name.partition('@')
        run = random_points if name == 'random' else detection.detector(name, num)
        look = {'keypoints': name, 'keypoints_size': int(side or 0)}
        self.run, self.num, self.side = run, num, detection.side(look, size)

    def __call__(self, images: np.ndarray) -> detections.Detections:
        rows = [{'image': image} for image in images]
        return detections.detect(
            rows, self.run, num=self.num, side=self.side, progress=False
        )

    def milliseconds(self, images: np.ndarray) -> float:
        """A picture's, median of seven batches of 32, compiled before."""
        taken = []
        for _ in range(7):
            start = time.monotonic()
            self(images[:32])
            taken.append(time.monotonic() - start)
        return float(1e3 * np.median(taken) / 32)


def views(images: np.ndarray, seed: int):
    """The pictures through random homographies, and these (output to input pixels)."""
    size = images.shape[1:3]
    draw = lambda key: homographies.random_homography(key, size, **VIEWS)
    keys = jax.random.split(jax.random.key(seed), len(images))
    warp = jax.jit(jax.vmap(draw))(keys)
    see = jax.jit(jax.vmap(warps.warp_image))
    seen = [
        np.asarray(see(jax.tree.map(lambda m, i=i: m[i : i + 32], warp),
                       jnp.asarray(images[i : i + 32], jnp.float32)))
        for i in range(0, len(images), 32)
    ]  # fmt: skip
    return np.round(np.concatenate(seen)).astype(np.uint8), np.asarray(warp.matrix)


def through(matrix, xy):
    """Points `[n, 2]` through a homography."""
    lifted = np.concatenate([xy, np.ones_like(xy[:, :1])], axis=1) @ matrix.T
    return lifted[:, :2] / lifted[:, 2:]


def right_matches(first, second, matrices, distance=3.0):
    """Share of mutually nearest descriptors, over all pictures, that are within 3 px."""
    right = total = 0
    for a, sa, da, b, sb, db, matrix in zip(
        *first[:3], *second[:3], matrices, strict=True
    ):
        if not (sa > 0).any() or not (sb > 0).any():
            continue
        alike = da[sa > 0] @ db[sb > 0].T
        best = alike.argmax(axis=1)
        mutual = alike.argmax(axis=0)[best] == np.arange(len(best))
        moved = through(np.linalg.inv(matrix), a[sa > 0].astype(float))
        gap = np.linalg.norm(moved - b[sb > 0][best], axis=-1)
        right, total = right + (mutual & (gap <= distance)).sum(), total + mutual.sum()
    return float(right / max(total, 1))


def repeatability(first, second, matrices, size, distance=3.0, margin=4):
    """Mean over the pictures that have points in either view."""
    inside = lambda xy: (
        (xy >= margin) & (xy <= np.array(size[::-1]) - 1 - margin)
    ).all(-1)

    out = []
    for a, sa, b, sb, matrix in zip(*first[:2], *second[:2], matrices, strict=True):
        a, b = a[sa > 0].astype(float), b[sb > 0].astype(float)
        moved = through(np.linalg.inv(matrix), a)
        moved = moved[inside(moved) & inside(a)]
        b = b[inside(b) & inside(through(matrix, b))]
        if len(moved) or len(b):
            out.append(metrics.repeatability(moved, b, distance=distance))
    return float(np.mean(out)) if out else 0.0


def agreement(found, truth, distance, k):
    """NMI of clusters with the nearest annotated points: of descriptors, of places."""
    gap = np.linalg.norm(found.xy[:, :, None] - truth['keypoints'][:, None], axis=-1)
    gap = np.where(truth['visible'][:, None], gap, np.inf)
    there = found.score > 0
    nearest = np.where(there & (gap.min(-1) <= distance), gap.argmin(-1), -1)
    out = []
    for what in (found.descriptors, found.xy):
        key = jax.random.key(0)
        centres = landmark_clusters.cluster_descriptors(
            key, what, there, k, iterations=50, restarts=3
        )
        labels, _ = kmeans.assign(what.reshape(-1, what.shape[-1]), centres)
        labels = np.asarray(labels).reshape(nearest.shape)
        out.append(round(metrics.normalized_mutual_information(labels, nearest), 3))
    return out


def against_truth(few, pair, truth, args):
    """Figures that want annotated points."""
    ok, unit = few.score > 0, args.size / 256
    share = metrics.near_share(
        few.xy, truth['keypoints'], ok, truth['visible'], distance=8 * unit
    )
    met = metrics.precision_recall(
        few.xy, truth['keypoints'], ok, truth['visible'], distance=10 * unit
    )
    line = {'near_share': share, 'precision': met['precision'], 'recall': met['recall']}
    line = {name: round(value, 4) for name, value in line.items()}
    if pair[0].descriptors is not None:
        for k in args.clusters:
            both = agreement(pair[0], truth, 8 * unit, k)
            line |= {f'nmi_{k}': both[0], f'nmi_{k}_place': both[1]}
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('detectors', nargs='+')
    parser.add_argument('--data', required=True)
    parser.add_argument('--split', default='test')
    parser.add_argument('--size', type=int, default=160)
    parser.add_argument('--count', type=int, default=200, help='pictures')
    parser.add_argument('--num', type=int, default=100, help='points for repeatability')
    parser.add_argument(
        '--near', type=int, default=24, help='points near annotated ones'
    )
    parser.add_argument('--clusters', type=int, nargs='+', default=[30, 100])
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    source = Folder(args.data, size=args.size, split=args.split)
    step = max(1, len(source) // args.count)
    rows = [source[i] for i in range(0, len(source), step)][: args.count]
    images = np.stack([row['image'] for row in rows])
    seen, matrices = views(images, args.seed)
    for name in args.detectors:
        start = time.monotonic()
        find = Finder(name, images.shape[1:3], args.num)
        pair = [find(x) for x in (images, seen)]
        few = Finder(name, images.shape[1:3], args.near)(images)
        line = {
            'detector': name, 'data': args.data, 'split': args.split, 'size': args.size,
            'pictures': len(images), 'seed': args.seed,
            'repeatability': round(repeatability(*pair, matrices, images.shape[1:3]), 4),
            'points': round(float((pair[0].score > 0).sum(1).mean()), 1),
            'few': round(float((few.score > 0).sum(1).mean()), 1),
        }  # fmt: skip
        if 'keypoints' in rows[0]:
            truth = {n: np.stack([row[n] for row in rows])
                     for n in ('keypoints', 'visible')}  # fmt: skip
            line |= against_truth(few, pair, truth, args)
        if pair[0].descriptors is not None:
            line['right_matches'] = round(right_matches(*pair, matrices), 4)
        line['ms'] = round(find.milliseconds(images), 1)
        line['seconds'] = round(time.monotonic() - start, 1)
        print(json.dumps(line), flush=True)


if __name__ == '__main__':
    sys.exit(main())

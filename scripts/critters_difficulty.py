"""How hard critters are: the figures of `kpdiscovery.data.critters`, one JSON line each.

    .venv/bin/python scripts/critters_difficulty.py classifier --size=64 --seed=0

Nets print the validation rows' figures after every epoch and at the end those of the
rows of `--split`. `sift` needs opencv-python-headless, which the project does not.
"""

from __future__ import annotations

import argparse
import functools
import json
import time

import jax
import jax.numpy as jnp
import numpy as np
from critters_nets import (
    WORDS,
    Classifier,
    Regressor,
    apply,
    class_loss,
    point_loss,
    read_points,
    train,
)

from kpdiscovery.data.generated.critters import (
    ATTRIBUTES,
    CODES,
    KEYPOINTS,
    PART_NAMES,
    critters,
)
from kpdiscovery.metrics.landmarks.accuracy import pck
from kpdiscovery.metrics.landmarks.errors import nme_of, normalized_errors
from kpdiscovery.metrics.landmarks.nme import forward_nme
from kpdiscovery.metrics.landmarks.normalizers import box_length
from kpdiscovery.metrics.landmarks.points import Landmarks


def load(split: str, rows: int, args) -> dict[str, np.ndarray]:
    """The first rows of a split: picture and truth, one animal each."""
    source = critters(split=split, size=args.size, level=args.level)
    keep = ('image', 'label', 'keypoints', 'visible', 'boxes', 'parts')
    chunks = []
    for i in range(0, rows, 250):
        batch = source.batch(range(i, min(i + 250, rows)))
        chunks.append({name: np.asarray(batch[name]) for name in keep})
    return {name: np.concatenate([c[name] for c in chunks]) for name in keep}


def load_three(args):
    """Rows to train on, to watch, and to measure at the end."""
    return [
        load('train', args.rows, args),
        load('validation', 1000, args),
        load(args.split, args.held, args),
    ]


def classifier(args, hide_head=False):
    """Accuracy of the class, and of each attribute by itself; shares."""
    sets = load_three(args)
    if hide_head:
        sets = [without_head(rows) for rows in sets]
    net = Classifier()

    def measure(params, held):
        scores = apply(net, params, held['image'])
        right = scores.reshape(-1, 6, 3).argmax(-1) == CODES[held['label']]
        alone = dict(zip(ATTRIBUTES, right.mean(0).round(3).tolist(), strict=True))
        hit = (scores @ WORDS.T).argmax(-1) == held['label']
        return {'accuracy': float(hit.mean()), 'attributes': alone}

    loss = functools.partial(class_loss, hints=args.hints)
    return train(net, loss, sets, args, measure)


def without_head(data):
    """A grey box over all visible pixels of the head, beak and crest, 1 px wider."""
    images = data['image'].copy()
    for image, parts in zip(images, data['parts'], strict=True):
        y, x = np.nonzero(parts == PART_NAMES.index('head'))
        if len(y):
            around = (slice(max(v.min() - 1, 0), v.max() + 2) for v in (y, x))
            image[tuple(around)] = 127
    return {**data, 'image': images}


def regressor(args):
    """PCK@0.1 and NME of the visible keypoints, in % (of the visible box's longer side)."""
    net = Regressor()

    def measure(params, held):
        points = np.asarray(read_points(jnp.asarray(apply(net, params, held['image']))))
        truth = held['keypoints'], longer_side(held)
        hits = pck(points, *truth, visible=held['visible'], alpha=0.1)
        error = normalized_errors(points, *truth, held['visible'])
        each = dict(zip(KEYPOINTS, hits.per_landmark.round(1).tolist(), strict=True))
        return {'pck': hits.mean, 'nme': nme_of(error).mean, 'each': each}

    return train(net, point_loss, load_three(args), args, measure)


def linear(args):
    """Accuracy of ridge regression from pixels to classes, the best of four penalties."""
    data, held = load('train', args.rows, args), load(args.split, args.held, args)
    x, v = (
        d['image'].reshape(len(d['image']), -1).astype(np.float32) / 255 - 0.5
        for d in (data, held)
    )
    gram, targets = x @ x.T, np.eye(len(CODES), dtype=np.float32)[data['label']] - 0.05
    hits = {}
    for penalty in (1e2, 1e3, 1e4, 1e5):
        shift = penalty * np.eye(len(gram), dtype=np.float32)
        weights = x.T @ np.linalg.solve(gram + shift, targets)
        hits[penalty] = float(((v @ weights).argmax(-1) == held['label']).mean())
    return {'accuracy': max(hits.values()), 'penalties': hits}


def boxes(args):
    """GT-known localization (IoU .5) of the centred box that fits the train split best."""
    data, held = load('train', args.rows, args), load(args.split, args.held, args)
    sides = args.size * np.stack(np.meshgrid(*(np.linspace(0.2, 1, 33),) * 2), axis=-1)
    middle = (args.size - 1) / 2
    halves = sides.reshape(-1, 2) / 2
    guesses = np.concatenate([middle - halves, middle + halves], axis=-1)
    hits = [(overlap(g, data['boxes'][:, 0]) >= 0.5).mean() for g in guesses]
    best = guesses[np.argmax(hits)]
    return {'localization': float((overlap(best, held['boxes'][:, 0]) >= 0.5).mean())}


def overlap(box, others):
    """IoU of a box `[4]` with each of `[N, 4]`."""
    low, high = (f(box[None, s], others[:, s]) for f, s in
                 ((np.maximum, slice(2)), (np.minimum, slice(2, 4))))  # fmt: skip
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    area = lambda b: (b[..., 2:] - b[..., :2]).prod(axis=-1)
    return shared / (area(box) + area(others) - shared)


def points(args):
    """Greedy PCK@0.1 (%) of twelve random points in the true box, hidden points too."""
    held, rng = load(args.split, args.held, args), np.random.default_rng(args.seed)
    box = held['boxes'][:, 0]
    corner, sides = box[:, None, :2], (box[:, 2:] - box[:, :2])[:, None]
    guess = corner + rng.random((len(box), len(KEYPOINTS), 2)) * sides
    gaps = np.linalg.norm(held['keypoints'][:, :, None] - guess[:, None], axis=-1)
    gaps /= longer_side(held)[:, None, None]
    return {'pck': 100 * float(np.mean([pairs(g) for g in gaps])) / len(KEYPOINTS)}


def pairs(gaps):
    """Number of pairs no more than 0.1 apart, the nearest taken first."""
    gaps, count = gaps.copy(), 0
    while (best := np.unravel_index(gaps.argmin(), gaps.shape)) and gaps[best] <= 0.1:
        gaps[best[0]], gaps[:, best[1]], count = np.inf, np.inf, count + 1
    return count


def longer_side(data):
    """Of the visible box, `[N]` pixels."""
    return box_length(data['boxes'], side='longer')[0]


def sift(args):
    """Forward NME (%) of SIFT points, one for each of K clusters of descriptors."""
    import cv2  # opencv-python-headless; not among the project's requirements.

    data, held = load('train', args.rows, args), load(args.split, args.held, args)
    finder = cv2.SIFT_create(contrastThreshold=0.02)
    found, sought = (
        [described(finder, cv2, im) for im in d['image']] for d in (data, held)
    )
    every = np.concatenate([d for _, d in found])
    some = np.random.default_rng(args.seed).permutation(len(every))[:40_000]
    cv2.setRNGSeed(args.seed)
    errors = {}
    for clusters in (12, 20, 30):
        stop = (cv2.TERM_CRITERIA_MAX_ITER, 30, 0.0)
        start = cv2.KMEANS_PP_CENTERS
        centres = cv2.kmeans(every[some], clusters, None, stop, 1, start)[2]
        sets = [landmarks(f, centres, d) for f, d in ((found, data), (sought, held))]
        error = forward_nme(*sets, longer_side(held), scale=float(args.size))
        errors[clusters] = float(error.mean)
    return {'nme': min(errors.values()), 'clusters': errors}


def described(finder, cv2, image):
    """Places `[n, 2]` and descriptors `[n, 128]` (RootSIFT) of a picture."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    spots, descriptors = finder.detectAndCompute(grey, None)
    if not spots:
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
    share = descriptors / descriptors.sum(axis=1, keepdims=True)
    return np.array([spot.pt for spot in spots]), np.sqrt(share).astype(np.float32)


def landmarks(found, centres, data):
    """In each picture, for each cluster the point whose descriptor is nearest."""
    places, valid = np.zeros((len(found), len(centres), 2)), np.ones(len(found), bool)
    for i, (spots, descriptors) in enumerate(found):
        valid[i] = len(spots) > 0
        if valid[i]:  # Descriptors are of length 1.
            far = (centres**2).sum(-1) - 2 * descriptors @ centres.T
            places[i] = spots[far.argmin(axis=0)]
    there = np.repeat(valid[:, None], len(centres), axis=1)
    return Landmarks(places, data['keypoints'], there, data['visible'])


FIGURES = {
    'linear': linear,
    'boxes': boxes,
    'points': points,
    'sift': sift,
    'classifier': classifier,
    'masked': functools.partial(classifier, hide_head=True),
    'regressor': regressor,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('figure', choices=FIGURES)
    parser.add_argument('--size', type=int, default=64)
    parser.add_argument('--level', default='standard')
    parser.add_argument('--split', default='test', help='validation while tuning')
    parser.add_argument('--rows', type=int, default=20_000, help='of training')
    parser.add_argument('--held', type=int, default=2_000)
    parser.add_argument('--epochs', type=int, default=8)
    parser.add_argument('--rate', type=float, default=3e-3)
    parser.add_argument('--hints', type=float, default=1, help='weight of attributes')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    begin = time.time()
    result = FIGURES[args.figure](args)
    device = jax.devices()[0].device_kind
    print(json.dumps({**vars(args), **result, 'seconds': round(time.time() - begin),
                      'device': device}))  # fmt: skip


if __name__ == '__main__':
    main()
